"""Masked sums: the coordinator learns the sum of the clients' vectors and nothing else, and clients may be lost.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: "Practical Secure Aggregation for
Privacy-Preserving Machine Learning", CCS 2017: section 4, figure 4, against parties that follow the protocol, with the
signed keys of its step 0. The sum is one of integers modulo 2^32, or more where totals do not fit. All messages go
through the coordinator.

    client u of U                                  coordinator
    fresh keys: (c_u, C_u), (s_u, S_u)
    --- Advertised: C_u, S_u, signed ---------->   U1: who is heard; at least t, here and in every step
    <-- Directory: all of U1's ------------------
    checks what is signed; draws b_u, shares it and
    s_u t of n; e_uv: both shares for v
    --- Boxes: e_uv, closed for each v --------->  U2
    <-- Boxes: e_vu of each v in U2 -------------
    --- Masked: x_u + PRG(b_u)
          + sum over v > u in U2 of PRG(s_uv)
          - sum over v < u in U2 of PRG(s_uv) ->   U3
    <-- Unmask: U3 survived, U2 \\ U3 did not ----
    --- Revealed: for each v in U3 a share of b_v,
          for each other v one of s_v ---------->  recovers b_v, or s_v and by it all s_uv; subtracts their masks

Each sum is a session of its own, with fresh keys. With keys for a whole training, the s_v of a client that is lost in
a later round would unmask its input of each earlier one, in which its b_v was revealed. For the same reason no client
reveals both of one v: shares of either kind from t of n clients are in the coordinator's hands. Clients remember what
they revealed, and a masked input that arrives after its sender was declared lost is never looked at.

Learns: the coordinator the sum over U3, and who was lost at which step; clients who is in U1, U2 and U3; an
eavesdropper of the plaintext of all links what the coordinator learns. Messages but for the last are uniform or public:
a masked input is uniform for who does not know its sender's b_u.

Assumes parties that follow the protocol (semi-honest), X25519 (gap Diffie-Hellman in the random-oracle model, BLAKE2b),
AES as a PRF, AES-GCM, unforgeable signatures. A coordinator in the middle of the key exchange is found by the
signatures, which bind keys to the run, the sum, its clients and its form. One that tells clients different U3 is not
looked for (that is the paper's section 6.2 and its step 3); it would need t answers for each, that is with t > n/2 a
client that answers twice.

Collusion: t is more than half of the sum's clients. The coordinator with fewer than t clients (itself among them
where it trains too) learns no more than the sum over the others. With t of them it learns every input.

Two clients: t is 2, nobody may be lost. One client: refused, its sum is its input.

Cost for n clients and vectors of l words: 4 messages of each client and 3 to it. A client: 2 n key agreements, n
signatures checked, 2 n shares and n masks of l words; in bytes its vector, about 0.8 KB for each other client where
certificates sign. The coordinator: n masks, and n more with as many key agreements for each client lost at the last.
All grows with n^2 in total; beyond a few hundred clients a sparse graph of neighbours serves better (Bell et al., CCS
2020), which is not here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa

from ...errors import IdentityRefused, InvalidArgument, PeerGone, PrivsdkError, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, ask, checkpoint, collect, tell
from ...protocol.services import Identity
from . import shamir
from .base import Sum, Totals, Vector
from .masker import KEY_BYTES, PHASE, TAG_BYTES, Context, Masker, Named, Public, Secret, pairwise, self_seed
from .masks import Mask, add, add_to, bits_for, fits, kind_of, message_of, totals_of, words_of, zeros

BOX_BYTES = 2 * shamir.SHARE_BYTES + TAG_BYTES

M = TypeVar("M", bound=Message)


def by_party(*columns: str) -> pa.Schema:
    """The schema of a table of bytes by party."""
    return pa.schema(
        [
            pa.field("party", pa.string(), nullable=False),
            *(pa.field(column, pa.binary(), nullable=False) for column in columns),
        ]
    )


class Advertised(Message, frozen=True, kw_only=True, tag="fl.secagg.Advertised"):
    """A client's public keys for this sum, and its signature of them."""

    name: str
    box_key: bytes
    mask_key: bytes
    token: bytes


class Directory(Message, frozen=True, kw_only=True, tag="fl.secagg.Directory"):
    """The keys of all clients that are left."""

    SCHEMA = by_party("box_key", "mask_key", "token")
    name: str
    table: pa.Table


class Boxes(Message, frozen=True, kw_only=True, tag="fl.secagg.Boxes"):
    """Of a client: its boxes by receiver. Of the coordinator: the boxes for a client by sender."""

    SCHEMA = by_party("box")
    name: str
    table: pa.Table


class Unmask(Message, frozen=True, kw_only=True, tag="fl.secagg.Unmask"):
    """Whose masked vectors arrived, and whose did not of those who had sent boxes."""

    name: str
    survivors: tuple[str, ...]
    dropped: tuple[str, ...]


class RevealedShares(Message, frozen=True, kw_only=True, tag="fl.secagg.Revealed"):
    """A client's share of every survivor's own mask, and of every other's private key."""

    SCHEMA = by_party("share")
    name: str
    table: pa.Table


@dataclass(kw_only=True, eq=False, repr=False)
class MaskedSum(Sum):
    """Through masks: the coordinator sees sums alone, and a sum survives the loss of fewer than half of its clients.

    Parameters
    ----------
    me, coordinator : str
    session : bytes
        The run's; nothing of this sum fits into another run.
    identity : Identity
        Signs this party's keys and checks the others'.
    fewest : int
        Clients without which nobody wants a sum, as all of them know: no threshold is below it.
    floor : int
        Clients without which this client's owner lets nothing out.
    within_s : float
        How long the coordinator waits at each of the four steps.
    """

    me: str
    coordinator: str
    session: bytes
    entropy: Entropy
    identity: Identity
    fewest: int = 1
    floor: int = 1
    within_s: float = math.inf
    _begun: set[str] = field(default_factory=set, init=False)

    def contribute(self, name: str, parties: Sequence[str], vector: Vector, largest: int) -> Role[None]:
        """Mask the vector, and later reveal what unmasks the sum."""
        if name in self._begun:  # another sum over the same input and other clients would tell the difference
            raise ProtocolViolation(f"{self.coordinator} asks {self.me} for {name} again")
        self._begun.add(name)
        context = self._context(name, parties, len(vector), largest)
        words = words_of(vector, largest, context.bits, name)
        masker = Masker(self.me, context, self.entropy, max(self.floor, context.threshold))
        public, token = masker.advertised(self.identity)
        advertised = Advertised(name=name, box_key=public.box, mask_key=public.mask, token=token)
        directory = yield from self._ask(advertised, Directory)
        boxes = yield from masker.boxes(_named(directory), self.identity)
        received = yield from self._ask(Boxes(name=name, table=_table(Boxes, boxes)), Boxes)
        masks = masker.masks(_named(received))
        yield from add(words, masks, PHASE)
        unmask = yield from self._ask(message_of(words, name), Unmask)
        shares = masker.revealed(unmask.survivors, unmask.dropped)
        yield from tell(self.coordinator, RevealedShares(name=name, table=_table(RevealedShares, shares)))

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        """Carry the clients' messages between them, add their vectors and unmask the sum."""
        context = self._context(name, parties, length, largest)
        steps = _Steps(context, self.within_s)

        def signed(party: str, message: Advertised) -> bool:
            public = Public(message.box_key, message.mask_key)
            if {len(key) for key in public} != {KEY_BYTES}:
                return False
            self.identity.check(party, context.statement(party, public), message.token)
            return True

        came = yield from steps.take(parties, Advertised, {}, signed)
        keys = {party: Public(message.box_key, message.mask_key) for party, message in came.items()}
        rows = {party: (message.box_key, message.mask_key, message.token) for party, message in came.items()}
        directory = Directory(name=name, table=_table(Directory, rows))

        def for_all(party: str, message: Boxes) -> bool:
            boxes = _named(message)
            return boxes.keys() == keys.keys() - {party} and {len(box) for (box,) in boxes.values()} == {BOX_BYTES}

        boxed = yield from steps.take(tuple(keys), Boxes, dict.fromkeys(keys, directory), for_all)
        by_sender = {sender: _named(message) for sender, message in boxed.items()}
        carried: dict[str, Message] = {}
        for party in boxed:
            mail = {sender: boxes[party] for sender, boxes in by_sender.items() if sender != party}
            carried[party] = Boxes(name=name, table=_table(Boxes, mail))

        masked = yield from steps.take(
            tuple(boxed), kind_of(context.bits), carried, lambda _, message: fits(message, length, context.bits, name)
        )
        total = zeros(length, context.bits)
        for number, message in enumerate(masked.values()):
            yield from checkpoint(PHASE, number, len(masked))
            add_to(total, message)
        dropped = tuple(party for party in boxed if party not in masked)
        unmask = Unmask(name=name, survivors=tuple(masked), dropped=dropped)
        told = dict.fromkeys(masked, unmask)
        revealed = yield from steps.take(
            tuple(masked), RevealedShares, told, lambda _, message: _named(message).keys() == boxed.keys()
        )
        shares = {party: _named(message) for party, message in revealed.items()}
        yield from add(total, (yield from _unmasking(context, keys, unmask, shares)), PHASE)
        return Totals(totals_of(total, largest, name), tuple(masked), steps.lost)

    def _context(self, name: str, parties: Sequence[str], length: int, largest: int) -> Context:
        if len(set(parties)) != len(parties) or len(parties) < 2:
            raise InvalidArgument(
                f"{name} is a masked sum over {', '.join(parties) or 'nobody'}: the sum of one client is its input",
                hint='take two clients or more, or show the update to the coordinator by aggregation="clear"',
            )
        threshold = max(len(parties) // 2 + 1, self.fewest)
        return Context(self.session, name, tuple(parties), self.coordinator, threshold, length, bits_for(largest))

    def _ask(self, message: Message, kind: type[M]) -> Role[M]:
        """Send the coordinator a message of this sum, and hear its next."""
        reply = yield from ask(self.coordinator, message, kind)
        if reply.name != message.name:  # type: ignore[attr-defined]  # all messages here have a name
            raise ProtocolViolation(f"{self.coordinator} sent a message of another sum")
        return reply


class _Steps:
    """The coordinator's steps: who is lost at one stays out of all later ones, and too few end the sum."""

    def __init__(self, context: Context, within_s: float) -> None:
        self._context = context
        self._within_s = within_s
        self.lost: dict[str, PrivsdkError] = {}

    def take(
        self, parties: Sequence[str], kind: type[M], send: Mapping[str, Message], fits: Callable[[str, M], bool]
    ) -> Role[dict[str, M]]:
        """Send, then hear these parties; what came of those whose messages fit."""
        messages, lost = yield from collect(parties, kind, send=send, within_s=self._within_s)
        self.lost |= lost
        came = {}
        for number, (party, message) in enumerate(messages.items()):
            yield from checkpoint(PHASE, number, len(messages))
            try:
                if message.name != self._context.name or not fits(party, message):  # type: ignore[attr-defined]
                    raise ProtocolViolation(f"{party} sent a message that does not fit {self._context.name}")
            except (ProtocolViolation, IdentityRefused) as error:
                self.lost[party] = error
            else:
                came[party] = message
        if len(came) < self._context.threshold:
            why = "; ".join(f"{party}: {error.message}" for party, error in self.lost.items())
            raise PeerGone(
                f"{len(came)} of {len(self._context.parties)} clients are left in {self._context.name}, and unmasking "
                f"takes {self._context.threshold} ({why})",
                hint="ask again without those that were lost",
            )
        return came


def _unmasking(
    context: Context, keys: Mapping[str, Public], unmask: Unmask, shares: Mapping[str, Named]
) -> Role[list[Mask]]:
    """What takes off the masks that are left in the sum of the survivors' vectors."""
    digest = context.digest()
    masks: list[Mask] = []
    numbers = {party: number for number, party in enumerate(context.parties, 1)}

    def recovered(party: str) -> bytes:
        mine = [(numbers[holder], held[party][0]) for holder, held in shares.items()]
        return shamir.recover(mine, threshold=context.threshold)

    for number, party in enumerate(unmask.survivors):
        yield from checkpoint(PHASE, number, len(unmask.survivors))
        masks.append(Mask(self_seed(recovered(party), digest, party), plus=False))
    for number, party in enumerate(unmask.dropped):
        yield from checkpoint(PHASE, number, len(unmask.dropped))
        secret = Secret(recovered(party))
        if secret.public != keys[party].mask:
            raise ProtocolViolation(f"the shares of {party}'s key in {context.name} do not give its key")
        masks += [pairwise(digest, secret, party, survivor, keys) for survivor in unmask.survivors]
    return masks


def _table(kind: type[Message], rows: Named) -> pa.Table:
    """A message's table of bytes by party."""
    columns = [pa.array(column, pa.binary()) for column in zip(*rows.values(), strict=True)]
    return pa.table([pa.array(rows), *columns], schema=kind.SCHEMA)


def _named(message: Directory | Boxes | RevealedShares) -> Named:
    """The bytes by party; raises ProtocolViolation where a party occurs twice."""
    parties, *columns = (column.to_pylist() for column in message.table.columns)
    if len(set(parties)) != len(parties):
        raise ProtocolViolation("a message names a party twice")
    return dict(zip(parties, zip(*columns, strict=True), strict=True))

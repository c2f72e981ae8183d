"""Masked sums without a coordinator: every client sends its masked vector to every other, and each adds up itself.

Ács, Castelluccia: "I have a DREAM!", Information Hiding 2011 (masks between pairs that cancel out in the
sum), with the key agreement of Bonawitz et al., CCS 2017, section 4. For two to ten clients.

    client u                                          every other client v
    once:      <-- Key: S_u, S_v both ways -->
    each sum:  --- Share: x_u + sum over w > u of PRG(s_uw)
                       - sum over w < u of PRG(s_uw) -->
               adds up all that it heard, and its own; so does v

Links lead from each client to each other and say who is at the other end, so that nobody stands in the middle and
nothing needs a signature. Nobody can be lost: a vector that is missing leaves its pairs' masks in the sum, and nothing
takes them off, as no private key is shared out. A client that is lost ends the run at all the others. In turn one key
agreement serves a whole run, each sum with seeds of its own, since no key is ever revealed, and no self masks are
needed: they protect inputs whose keys are (CCS 2017, section 4, on double-masking).

Learns: every client the sum, and nothing else of single vectors; an eavesdropper of the plaintext of all links the sum.

Assumes parties that follow the protocol (semi-honest), X25519 (gap Diffie-Hellman in the random-oracle model, BLAKE2b)
and AES as a PRF. Collusion: any clients together learn no more than the sum over the others; all but one learn its
vector.

Cost: once a key to every other client and as many key agreements; for a sum of l words each client sends l words to
every other and expands n - 1 masks: n (n - 1) l words in all, where `masked` has n l.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, Step, altered, gather, tell_all
from .base import Sum, Totals, Vector, check_whole
from .masker import KEY_BYTES, PHASE, Context, Secret, mask_seed
from .masks import Mask, add, add_to, bits_for, fits, kind_of, message_of, totals_of, words_of, zeros

T = TypeVar("T")

MOST = 10  # clients, each of whom sends every vector to all others


class ClientKey(Message, frozen=True, kw_only=True, tag="fl.alltoall.Key"):
    """A client's public key for this run."""

    key: bytes


class PeerSum(Sum):
    """Through masks, without a coordinator: every client sees sums alone, and nobody may be lost.

    Each party runs both halves (`privsdk.protocol.roles.colocated`): `contribute` sends to all clients,
    `collect` hears what they sent, its own party among them.
    """

    def __init__(self, *, me: str, clients: Sequence[str], session: bytes, entropy: Entropy) -> None:
        if not 2 <= len(set(clients)) == len(clients) <= MOST:
            raise InvalidArgument(
                f"a sum from all to all of {len(clients)} clients",
                hint=f'take 2 to {MOST}; with more, use aggregation="masked"',
            )
        self._me = me
        self._clients = tuple(clients)
        self._session = session
        self._entropy = entropy
        self._own: Secret | None = None
        self._keys: dict[str, bytes] = {}
        self._agreed: dict[str, bytes] = {}  # keys are sent with a client's first sum
        self._begun: set[str] = set()

    def contribute(self, name: str, parties: Sequence[str], vector: Vector, largest: int) -> Role[None]:
        """Mask the vector, and send it to everyone."""
        if name in self._begun:  # its masks were used: the difference of both vectors would be bare
            raise ProtocolViolation(f"{self._me} is asked for {name} again")
        self._begun.add(name)
        check_whole(name, parties, self._clients)
        bits = bits_for(largest)
        words = words_of(vector, largest, bits, name)
        yield from self._agree()
        context = Context(self._session, name, self._clients, "", len(self._clients), len(vector), bits)
        digest = context.digest()
        masks = [
            Mask(mask_seed(agreed, digest, {party: self._keys[party] for party in (self._me, peer)}), peer > self._me)
            for peer, agreed in self._agreed.items()
        ]
        yield from add(words, masks, PHASE)
        yield from tell_all(dict.fromkeys(self._clients, message_of(words, name)))

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        """Add what came, in which all masks cancel out."""
        bits = bits_for(largest)
        came = yield from gather(parties, kind_of(bits))
        total = zeros(length, bits)
        for party, message in came.items():
            if not fits(message, length, bits, name):
                raise ProtocolViolation(f"{party} sent a vector that does not fit {name}")
            add_to(total, message)
        return Totals(totals_of(total, largest, name), tuple(parties), {})

    def _agree(self) -> Role[None]:
        if self._own is not None:
            return
        self._own = Secret.drawn(self._entropy)
        others = [party for party in self._clients if party != self._me]
        yield from tell_all(dict.fromkeys(others, ClientKey(key=self._own.public)))
        heard = yield from gather(others, ClientKey)
        self._keys = {self._me: self._own.public} | {party: message.key for party, message in heard.items()}
        if {len(key) for key in self._keys.values()} != {KEY_BYTES} or len(set(self._keys.values())) != len(self._keys):
            raise ProtocolViolation("a client's key is none, or that of another")
        self._agreed = {party: self._own.shared(party, self._keys[party]) for party in others}


def alone(me: str, role: Role[T]) -> Role[T]:
    """A coordinator's role as each client runs one of its own: what it tells all clients goes to its own party alone.

    All copies take the same steps, for they hear the same messages and draw from the same public seed.
    """

    def own(step: Step) -> Step:
        return step._replace(send={party: message for party, message in step.send.items() if party == me})

    return altered(role, own)


def to_all(me: str, clients: Sequence[str], role: Role[T]) -> Role[T]:
    """A client's role beside such a copy: what it tells its own goes to all copies."""

    def copied(step: Step) -> Step:
        copies = dict.fromkeys(clients, step.send[me]) if me in step.send else {}
        return step._replace(send={**step.send, **copies})

    return altered(role, copied)

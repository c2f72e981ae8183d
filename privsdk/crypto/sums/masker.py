"""One client in one masked sum: its secrets, what it holds of the others', and what it reveals of that.

The client's half of `masked`, without the messages: whatever the coordinator sends is checked here before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...errors import PolicyRefused, ProtocolViolation
from ...protocol.roles import Entropy, Role, checkpoint
from ...protocol.services import Identity
from . import shamir
from .agreement import KEY_BYTES, Context, Public, Secret, box_key, closed, mask_seed, opened, self_seed
from .masks import Mask

PHASE = "masked sum"

Named = Mapping[str, tuple[bytes, ...]]
"""Rows of bytes, by party."""


class HeldShares(NamedTuple):
    """What a client holds of another."""

    key: bytes
    own_mask: bytes


class Masker:
    """One client in one sum: its secrets, and what it knows of the others so far."""

    def __init__(self, me: str, context: Context, entropy: Entropy, fewest: int) -> None:
        self._me = me
        self._context = context
        self._digest = context.digest()
        self._entropy = entropy
        self._fewest = fewest
        self._numbers = {party: number for number, party in enumerate(context.parties, 1)}
        self._box, self._mask = Secret.drawn(entropy), Secret.drawn(entropy)
        self._own = entropy.draw(KEY_BYTES)
        self._public = Public(self._box.public, self._mask.public)
        self._keys: dict[str, Public] = {}
        self._agreed: dict[str, bytes] = {}
        self._held: dict[str, HeldShares] = {}
        self._revealed: dict[str, bool] = {}

    def advertised(self, identity: Identity) -> tuple[Public, bytes]:
        """Its public keys, and its signature of them."""
        return self._public, identity.sign(self._context.statement(self._me, self._public))

    def boxes(self, rows: Named, identity: Identity) -> Role[dict[str, tuple[bytes]]]:
        """Check who the others are and their keys, and share both secrets with them: a box for each."""
        for number, (party, (box, mask, token)) in enumerate(rows.items()):
            yield from checkpoint(PHASE, number, len(rows))
            self._keys[party] = Public(box, mask)
            if party not in self._numbers or {len(box), len(mask)} != {KEY_BYTES}:
                raise ProtocolViolation(f"{self._context.coordinator} sent keys that do not fit {self._context.name}")
            identity.check(party, self._context.statement(party, self._keys[party]), token)
        if self._keys.get(self._me) != self._public:
            raise ProtocolViolation(f"{self._context.coordinator} sent {self._me} other keys than its own")
        if len({key for public in self._keys.values() for key in public}) != 2 * len(self._keys):
            raise ProtocolViolation(f"two keys of {self._context.name} are the same")
        self._require(len(self._keys))
        holders, threshold = [self._numbers[party] for party in self._keys], self._context.threshold
        of_key = shamir.split(self._mask.to_share(), holders, threshold=threshold, entropy=self._entropy)
        yield from checkpoint(PHASE, len(rows), len(rows))
        of_own = shamir.split(self._own, holders, threshold=threshold, entropy=self._entropy)
        boxes: dict[str, tuple[bytes]] = {}
        for party, *shares in zip(self._keys, of_key, of_own, strict=True):
            if party == self._me:
                self._held[party] = HeldShares(*shares)
                continue
            self._agreed[party] = self._box.shared(party, self._keys[party].box)
            key = self._key_of(self._me, party)
            boxes[party] = (closed(key, b"".join(shares), self._digest, self._me, party),)
        return boxes

    def masks(self, boxes: Named) -> list[Mask]:
        """Open the boxes; the masks are of those they came from, and its own."""
        for party, (box,) in boxes.items():
            if party not in self._agreed:
                raise ProtocolViolation(f"{self._context.coordinator} sent a box of {party}, who is not in this sum")
            content = opened(self._key_of(party, self._me), box, self._digest, party, self._me)
            if len(content) != 2 * shamir.SHARE_BYTES:
                raise ProtocolViolation(f"{party} closed a box of {len(content)} bytes")
            self._held[party] = HeldShares(content[: shamir.SHARE_BYTES], content[shamir.SHARE_BYTES :])
        self._require(len(self._held))
        masks = [Mask(self_seed(self._own, self._digest, self._me), plus=True)]
        others = (party for party in self._held if party != self._me)
        return masks + [pairwise(self._digest, self._mask, self._me, party, self._keys) for party in others]

    def revealed(self, survivors: Sequence[str], dropped: Sequence[str]) -> dict[str, tuple[bytes]]:
        """The share of either kind for each, as asked, and never both of one."""
        asked = [*((party, True) for party in survivors), *((party, False) for party in dropped)]
        for party, survived in asked:
            if self._revealed.setdefault(party, survived) != survived:
                raise ProtocolViolation(
                    f"{self._context.coordinator} asks {self._me} for both of {party}'s secrets: they unmask its input"
                )
        if {party for party, _ in asked} != self._held.keys() or len(asked) != len(self._held):
            raise ProtocolViolation(f"{self._context.coordinator} asks for shares of others than those in this sum")
        if self._me not in survivors:
            raise ProtocolViolation(f"{self._context.coordinator} says that {self._me} is lost, which it is not")
        self._require(len(survivors))
        return {
            party: (self._held[party].own_mask if survived else self._held[party].key,) for party, survived in asked
        }

    def _key_of(self, sender: str, receiver: str) -> bytes:
        """The key of the box of one to the other, of whom one is this client."""
        shared = self._agreed[sender if receiver == self._me else receiver]
        ends = [(party, self._keys[party].box) for party in (sender, receiver)]
        return box_key(shared, self._digest, ends[0], ends[1])

    def _require(self, count: int) -> None:
        if count < self._fewest:
            raise PolicyRefused(
                f"{count} clients are left in {self._context.name}, and {self._me} tells nothing for fewer than "
                f"{self._fewest}",
                hint="ask again with more clients; min_parties in each owner's policy counts those beside a recipient",
            )


def pairwise(digest: bytes, secret: Secret, me: str, peer: str, keys: Mapping[str, Public]) -> Mask:
    """The mask between two clients, with its sign at the one whose private key this is."""
    shared = secret.shared(peer, keys[peer].mask)
    return Mask(mask_seed(shared, digest, {party: keys[party].mask for party in (me, peer)}), plus=peer > me)

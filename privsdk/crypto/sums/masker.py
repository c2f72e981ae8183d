"""One client in one masked sum: its keys with the others, its secrets, what it holds of theirs and reveals of that.

The client's half of `masked`, without the messages: whatever the coordinator sends is checked here before it is used.

Keys between two clients, for masks that cancel out and for boxes that only the other can open: X25519 (RFC 7748), then
BLAKE2b keyed with the shared secret over all that the key is for: the sum's context, the two names in order, their
public keys. Boxes are AES-256-GCM; each box has a key of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import ProtocolViolation
from ...protocol.roles import Entropy, Role, checkpoint
from ...protocol.services import Identity
from . import shamir
from .base import check_enough
from .masks import Mask

KEY_BYTES = 32
TAG_BYTES = 16
NONCE = bytes(12)  # a box's key closes one box


class Public(NamedTuple):
    """A client's two public keys."""

    box: bytes
    mask: bytes


class Context(NamedTuple):
    """What a sum is: all its clients derive and sign by it, so that nothing of it fits into another sum or run."""

    session: bytes
    name: str
    parties: tuple[str, ...]
    coordinator: str
    threshold: int
    length: int
    bits: int

    def digest(self) -> bytes:
        """All of it in 32 bytes."""
        return blake2b(msgspec.msgpack.encode(("privsdk masked sum 1", *self)), digest_size=32).digest()

    def statement(self, party: str, public: Public) -> bytes:
        """What a party signs: that these are its keys for this sum."""
        return msgspec.msgpack.encode(("privsdk masked sum keys 1", self.digest(), party, *public))


class Secret:
    """One X25519 private key, which makes no show of itself."""

    def __init__(self, private: bytes) -> None:
        self._private = private
        self._key = X25519PrivateKey.from_private_bytes(private)
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def drawn(cls, entropy: Entropy) -> Secret:
        """A fresh one."""
        return cls(entropy.draw(KEY_BYTES))

    def to_share(self) -> bytes:
        """The private key itself, for its owner to share out."""
        return self._private

    def shared(self, peer: str, theirs: bytes) -> bytes:
        """The secret shared with a peer."""
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError:
            raise ProtocolViolation(f"{peer} sent a public key that is none") from None


def mask_seed(shared: bytes, digest: bytes, keys: Mapping[str, bytes]) -> bytes:
    """The seed of a mask between the two parties of these public keys, in whichever order they stand."""
    return _derived(shared, ("mask", digest, *sorted(keys.items())))


def self_seed(drawn: bytes, digest: bytes, party: str) -> bytes:
    """The seed of a party's own mask, from the 32 bytes that it drew."""
    return _derived(drawn, ("self", digest, party))


def box_key(shared: bytes, digest: bytes, sender: tuple[str, bytes], receiver: tuple[str, bytes]) -> bytes:
    """The key of the one box that this sender closes for this receiver: names and public keys."""
    return _derived(shared, ("box", digest, sender, receiver))


def closed(key: bytes, content: bytes, digest: bytes, sender: str, receiver: str) -> bytes:
    """A box."""
    return AESGCM(key).encrypt(NONCE, content, _associated(digest, sender, receiver))


def opened(key: bytes, box: bytes, digest: bytes, sender: str, receiver: str) -> bytes:
    """What is in a box; raises ProtocolViolation where it is not the one that this sender closed for this receiver."""
    try:
        return AESGCM(key).decrypt(NONCE, box, _associated(digest, sender, receiver))
    except InvalidTag:
        raise ProtocolViolation(f"a box of {sender} for {receiver} does not open") from None


def _associated(digest: bytes, sender: str, receiver: str) -> bytes:
    return msgspec.msgpack.encode((digest, sender, receiver))


def _derived(secret: bytes, what: tuple[object, ...]) -> bytes:
    return blake2b(msgspec.msgpack.encode(what), key=secret, digest_size=KEY_BYTES).digest()


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
        self._require(self._keys)
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
        self._require(self._held)
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
        self._require(survivors)
        return {
            party: (self._held[party].own_mask if survived else self._held[party].key,) for party, survived in asked
        }

    def _key_of(self, sender: str, receiver: str) -> bytes:
        """The key of the box of one to the other, of whom one is this client."""
        shared = self._agreed[sender if receiver == self._me else receiver]
        ends = [(party, self._keys[party].box) for party in (sender, receiver)]
        return box_key(shared, self._digest, ends[0], ends[1])

    def _require(self, left: Collection[str]) -> None:
        check_enough(self._context.name, self._me, left, self._fewest, of=self._context.parties)


def pairwise(digest: bytes, secret: Secret, me: str, peer: str, keys: Mapping[str, Public]) -> Mask:
    """The mask between two clients, with its sign at the one whose private key this is."""
    shared = secret.shared(peer, keys[peer].mask)
    return Mask(mask_seed(shared, digest, {party: keys[party].mask for party in (me, peer)}), plus=peer > me)

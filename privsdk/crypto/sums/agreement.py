"""Keys between two clients of one sum: for masks that cancel out, and for boxes that only the other can open.

X25519 (RFC 7748) between the two, then BLAKE2b keyed with the shared secret over all that the key is for: the sum's
context, the two names in order, their public keys. Boxes are AES-256-GCM; each box has a key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import ProtocolViolation
from ...protocol.roles import Entropy

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

"""Tools for testing protocols: fixed entropy, parties that know each other, a sum in the clear, one-thread harness."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from .protocol.in_memory import Sent, pair, together
from .protocol.messages import Message
from .protocol.roles import Role, gather, tell
from .transport.identities import Members

__all__ = ["ClearSum", "Members", "Numbers", "SeededEntropy", "Sent", "pair", "together"]


class SeededEntropy:
    """A ChaCha20 stream from a seed of up to 32 bytes: the same draws in every run. Never for real data."""

    def __init__(self, seed: bytes) -> None:
        self._stream = Cipher(ChaCha20(seed.ljust(32, b"\0"), bytes(16)), mode=None).encryptor()

    def draw(self, size: int) -> bytes:
        """The next `size` bytes of the stream."""
        return self._stream.update(bytes(size))


class Numbers(Message, frozen=True, kw_only=True, tag="testing.Numbers"):
    """Integers in the clear, as text so that they may be of any size."""

    values: tuple[str, ...]


class ClearSum:
    """Sums of integers of any size without any protection: what encrypted and masked sums are compared with."""

    def __init__(self, *, contributors: tuple[str, ...], key_holder: str) -> None:
        self._contributors = contributors
        self._key_holder = key_holder

    def set_up(self) -> Role[None]:
        """No keys to agree on."""
        yield from ()

    def contribute(self, vector: Sequence[int]) -> Role[None]:
        """Send the vector as it is."""
        yield from tell(self._key_holder, Numbers(values=tuple(map(str, vector))))

    def collect(self) -> Role[list[int]]:
        """Add what came."""
        received = yield from gather(self._contributors, Numbers)
        return [sum(map(int, entries)) for entries in zip(*(m.values for m in received.values()), strict=True)]

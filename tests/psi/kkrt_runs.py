"""KKRT16 with fixed entropy, for the tests of its results and of its transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from harness import altered

from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Entropy, Role
from privsdk.psi.oprf import base_ot, parameters
from privsdk.psi.protocols.kkrt import intersection, to_table
from privsdk.psi.protocols.terms import agree
from privsdk.testing import SeededEntropy, Sent, together

SESSION = b"a session's own 32 bytes........"
Wrap = Callable[[Role[Any]], Role[Any]]


class Run(NamedTuple):
    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    transcript: list[Sent]
    salt: bytes


def numbered(*numbers: int) -> list[bytes]:
    """Keys long enough not to occur by chance."""
    return [f"customer-{n:06}".encode() for n in numbers]


def column(keys: Sequence[bytes]) -> pa.LargeBinaryArray:
    return pa.array(keys, pa.large_binary())


def party(
    me: str, peer: str, keys: Sequence[bytes], *, learner: str | None, session: bytes, entropy: Entropy
) -> Role[tuple[npt.NDArray[np.int64], bytes]]:
    """Terms and the protocol: positions of the shared keys, and the salt."""
    agreed = yield from agree(me, [peer], kind="string", size=len(keys), min_count=0, session=session, entropy=entropy)
    found = yield from intersection(column(keys), me=me, peer=peer, learner=learner, agreed=agreed, entropy=entropy)
    return found, agreed.salt


def unchanged(role: Role[Any]) -> Role[Any]:
    return role


def run(
    left: Sequence[bytes],
    right: Sequence[bytes],
    *,
    learner: str | None = None,
    session: bytes = SESSION,
    seeds: tuple[bytes, bytes] = (b"a", b"b"),
    wraps: tuple[Wrap, Wrap] = (unchanged, unchanged),
) -> Run:
    """Parties a and b with these keys; `wraps` may change what they send and hear."""
    transcript: list[Sent] = []
    given = {"learner": learner, "session": session}
    roles = {
        "a": wraps[0](party("a", "b", left, entropy=SeededEntropy(seeds[0]), **given)),
        "b": wraps[1](party("b", "a", right, entropy=SeededEntropy(seeds[1]), **given)),
    }
    outputs = together(roles, transcript)
    (found, salt), (others, _) = outputs["a"], outputs["b"]
    return Run(found, others, transcript, salt)


def octets(transcript: Sequence[Sent], tag: str) -> list[npt.NDArray[np.uint8]]:
    """What the messages of this kind held, in order."""
    tables = [s.table for s in transcript if s.tag == tag and s.table is not None]
    return [np.frombuffer(table["octets"][0].as_buffer(), np.uint8) for table in tables]


def rewriting(
    kind: type[Message], rewrite: Callable[[npt.NDArray[np.uint8], int], npt.NDArray[np.uint8]], *, heard: bool = False
) -> Wrap:
    """A wrap that changes the octets of every message of a kind that its party sends, or hears; given their number."""

    def wrap(role: Role[Any]) -> Role[Any]:
        count = 0

        def changed(_: str, message: Any) -> Any:
            nonlocal count
            if not isinstance(message, kind):
                return message
            count += 1
            return kind(table=to_table(rewrite(octets_in(message), count - 1)))  # type: ignore[call-arg]

        return altered(role, heard=changed) if heard else altered(role, sent=changed)

    return wrap


def octets_in(message: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(message.table["octets"][0].as_buffer(), np.uint8).copy()


@contextmanager
def buckets_of(keys: int) -> Iterator[None]:
    """Buckets of so few keys that small sets fill several."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parameters, "BUCKET", keys)
        parameters.parameters.cache_clear()
        try:
            yield
        finally:
            parameters.parameters.cache_clear()


@contextmanager
def dealt() -> Iterator[None]:
    """Base transfers by a dealer, where many runs are wanted and transfers are not the question."""

    def pairs(count: int, salt: bytes) -> base_ot.Pairs:
        dealer = SeededEntropy(salt)
        zero, one = ([dealer.draw(16) for _ in range(count)] for _ in range(2))
        return base_ot.Pairs(zero, one)

    def offer(count: int, *, peer: str, salt: bytes, entropy: Entropy) -> Role[base_ot.Pairs]:
        yield from ()
        return pairs(count, salt)

    def choose(count: int, *, peer: str, salt: bytes, entropy: Entropy) -> Role[base_ot.ChosenKeys]:
        yield from ()
        bits = np.unpackbits(np.frombuffer(entropy.draw(-(-count // 8)), np.uint8), count=count).view(np.bool_)
        both = pairs(count, salt)
        return base_ot.ChosenKeys(bits, [(one if bit else zero) for bit, zero, one in zip(bits, *both, strict=True)])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(base_ot, "offer", offer)
        patched.setattr(base_ot, "choose", choose)
        yield

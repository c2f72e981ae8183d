"""Running one role by hand; checks on transcripts, of what an observer could compare and of bytes that must not occur;
and leaks, planted to see that the checks find them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from claims import Cases
from scipy.stats import chi2

from privsdk.errors import ProtocolViolation
from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Heard, Role, hear, tell
from privsdk.testing import Sent

ALPHA = 1e-6  # of each check that words are uniform


def play(role: Role[Any], *arriving: Message) -> Any:
    """Run one role to its end against peers that send these messages, one for each that it waits for."""
    messages = iter(arriving)
    heard: Heard | None = None
    while True:
        try:
            step = next(role) if heard is None else role.send(heard)
        except StopIteration as stop:
            return stop.value
        heard = {peer: next(messages) for peer in step.receive}


def wire_bytes(sent: Sent) -> bytes:
    """Everything of a message: its header, and its table with schema, metadata and buffers."""
    if sent.table is None:
        return sent.header
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, sent.table.schema) as writer:
        writer.write_table(sent.table)
    return sent.header + sink.getvalue().to_pybytes()


def digest(transcript: Sequence[Sent]) -> str:
    """SHA-256 over all messages in order: who to whom, header, and the values of the table."""
    whole = hashlib.sha256()
    for sent in transcript:
        rows = None if sent.table is None else sent.table.to_pylist()
        whole.update(f"{sent.sender}>{sent.receiver}:{sent.header!r}:{rows}\n".encode())
    return whole.hexdigest()


def assert_same_shape(one: Sequence[Sent], other: Sequence[Sent], *, slack: int = 0) -> None:
    """An observer of who sends what kind of message, with which schema and of what length sees no difference.

    `slack` is how many bytes two lengths may differ by, where a length is itself random.
    """

    def kinds(transcript: Sequence[Sent]) -> list[tuple[object, ...]]:
        return [
            (s.sender, s.receiver, s.tag, len(s.header), None if s.table is None else (len(s.table), s.table.schema))
            for s in transcript
        ]

    assert kinds(one) == kinds(other)
    assert all(abs(a.size - b.size) <= slack for a, b in zip(one, other, strict=True))


def traces(vectors: list[list[int]]) -> list[bytes]:
    """Forms in which a value might be sent, of those whose bytes do not occur by chance."""
    values = [v for vector in vectors for v in vector if 2**40 < abs(v) < 2**60]
    return [
        *(str(v).encode() for v in values),
        *(v.to_bytes(8, order, signed=True) for v in values for order in ("little", "big")),
        *(struct.pack("<d", v) for v in values),
    ]


def assert_absent(secrets: Collection[bytes], transcript: Sequence[Sent]) -> None:
    """None of these byte strings, nor its hexadecimal form, occurs in any message."""
    assert transcript
    assert secrets
    assert min(map(len, secrets)) >= 8  # shorter ones occur in ciphertexts by chance
    for sent in transcript:
        data = wire_bytes(sent)
        for secret in secrets:
            assert secret not in data, f"{sent.tag} holds a secret"
            assert secret.hex().encode() not in data, f"{sent.tag} holds a secret in hexadecimal"


def words(sent: Sent) -> npt.NDArray[Any]:
    """A masked vector on the wire."""
    assert sent.table is not None
    found: npt.NDArray[Any] = sent.table.column("word").to_numpy()
    return found


def looks_uniform(found: npt.NDArray[Any]) -> bool:
    """Chi-square over the values of each byte of a word, and over the sums of neighbours, each at alpha."""
    columns = [
        *found.view(np.uint8).reshape(len(found), -1).T,
        *(found[1:] - found[:-1]).view(np.uint8).reshape(len(found) - 1, -1).T,
    ]
    for column in columns:
        counts = np.bincount(column, minlength=256)
        expected = len(column) / 256
        if chi2.sf(((counts - expected) ** 2 / expected).sum(), 255) < ALPHA:
            return False
    return True


def traces_of_key(key: bytes) -> list[bytes]:
    """A key and what anyone could compute from it alone."""
    hashes = [hashlib.new(name, key).digest() for name in ("sha256", "sha1", "md5", "sha512", "blake2b", "sha3_256")]
    return [key, *hashes, *(digest[:32] for digest in hashes if len(digest) > 32)]


class Extra(Message, frozen=True, kw_only=True, tag="test.Extra"):
    """What a role that leaks says besides."""

    said: tuple[str, ...] = ()
    table: pa.Table | None = None


def saying(role: Role[Any], to: str, leak: Callable[[Any], Message] | None) -> Role[Any]:
    """The role, which then sends one message more, made of its result."""
    found = yield from role
    if leak:
        yield from tell(to, leak(found))
    return found


def hearing(role: Role[Any], sender: str, kind: type[Message] | None = Extra) -> Role[Any]:
    """The role, which then waits for one message more."""
    found = yield from role
    if kind:
        yield from hear(sender, kind)
    return found


Change = Callable[[str, Any], Any]


def altered(role: Role[Any], *, sent: Change | None = None, heard: Change | None = None) -> Role[Any]:
    """The role, but what it sends, or hears, is changed on the way; a change is given the peer and the message."""
    arrived = None
    while True:
        try:
            step = role.send(arrived)
        except StopIteration as stop:
            return stop.value
        if sent:
            step = step._replace(send={to: sent(to, message) for to, message in step.send.items()})
        arrived = yield step
        if heard:
            arrived = {sender: heard(sender, message) for sender, message in arrived.items()}


def assert_found(check: Callable[[], object], cases: Cases) -> None:
    """The check fails on what was planted, or the protocol itself refuses it."""
    with pytest.raises((AssertionError, ProtocolViolation)):
        check()
    cases()

"""The file of one checkpoint: bytes to a state and back. A file holds, in this order,

    privsdk checkpoint 1, and a newline                  the format and its version
    32 bytes                                             SHA-256 of all that follows
    8 bytes, big-endian                                  length of the head
    head, JSON                                           whose it is, the question, what the table held, facts, arrays
    the arrays                                           little-endian, one after the other

It is read by nobody but the party that wrote it, and still as if it were from elsewhere: hash, head and lengths are
checked.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocol.services import State

MAGIC = b"privsdk checkpoint 1\n"
BEGINS = len(MAGIC) + 32 + 8  # where the head does
TYPES = ("float32", "float64", "int64")


class CheckpointHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of its state. `arrays` has the name, the type and the length of each."""

    caller: str
    purpose: str
    name: str
    part: str
    number: int
    question: str
    content: str
    facts: dict[str, Any]
    arrays: list[tuple[str, str, int]]


class Work(NamedTuple):
    """What a state belongs to."""

    caller: str
    purpose: str
    name: str
    question: str
    content: str

    @property
    def key(self) -> str:
        """The same for all questions under one name: there can be one only."""
        return hashlib.sha256(msgspec.json.encode((self.caller, self.purpose, self.name))).hexdigest()[:32]


def pack(work: Work, part: str, number: int, state: State) -> bytes:
    arrays = {name: np.ascontiguousarray(array) for name, array in state.arrays.items()}
    head = msgspec.json.encode(
        CheckpointHead(
            **work._asdict(),
            part=part,
            number=number,
            facts=dict(state.facts),
            arrays=[(name, array.dtype.name, len(array)) for name, array in arrays.items()],
        )
    )
    values = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in arrays.values()]
    rest = b"".join([len(head).to_bytes(8, "big"), head, *values])
    return MAGIC + hashlib.sha256(rest).digest() + rest


def read_head(party: str, data: bytes) -> CheckpointHead:
    if not data.startswith(MAGIC):
        version = data[:40].partition(b"\n")[0].decode("ascii", "replace")
        raise DataError(
            f"{party} has a state of another format ({version!r})", hint="give another name, or upgrade privsdk there"
        )
    try:
        length = int.from_bytes(data[BEGINS - 8 : BEGINS], "big")
        return msgspec.json.decode(data[BEGINS : BEGINS + length], type=CheckpointHead)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise damaged(party, "") from None


def read_arrays(data: bytes, head: CheckpointHead) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays; None where the file is not what was written."""
    if hashlib.sha256(data[len(MAGIC) + 32 :]).digest() != data[len(MAGIC) : len(MAGIC) + 32]:
        return None
    arrays: dict[str, npt.NDArray[Any]] = {}
    at = BEGINS + int.from_bytes(data[BEGINS - 8 : BEGINS], "big")
    for name, kind, length in head.arrays:
        if kind not in TYPES or not 0 <= length * np.dtype(kind).itemsize <= len(data) - at:
            return None
        arrays[name] = np.frombuffer(data, np.dtype(kind).newbyteorder("<"), length, at).astype(kind)
        at += arrays[name].nbytes
    return arrays if at == len(data) else None


def damaged(party: str, name: str) -> DataError:
    return DataError(f"{party}'s state of {name or 'a training'} is damaged", hint="give another name to begin anew")

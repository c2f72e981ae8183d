"""The checkpoint store: states of interrupted work at one party, in files beside its ledger; or in memory, where the
ledger is.

A file `KEY.PART.NUMBER` is one state: KEY is a hash over caller, purpose and the name that the caller gave the work,
PART which role of the party it is of, NUMBER the step that comes next. A state goes with one question over one content
of the party's table and no other. The last two of a part are kept, because a crash can leave one party a step ahead of
another. A file holds, in this order,

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
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ..atomic import remove_drafts, replacing
from ..errors import Cancelled, DataError, InvalidArgument, LedgerError
from ..protocol.failpoints import FailPoint, reach
from ..protocol.services import Checkpoints, State

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


LAST = 2  # states of a part
MOST_NAMES = 64  # the work that was kept longest ago is dropped for a new one
MOST_BYTES = 1 << 30
NAMED = re.compile(r"([0-9a-f]{32})\.([a-z]+)\.([0-9]{9})")


class Files(Protocol):
    """Where a store keeps its files."""

    def sizes(self) -> dict[str, int]:
        """Of all files, the one written longest ago first."""

    def read(self, name: str) -> bytes:
        """A whole file; raises OSError or KeyError."""

    def write(self, name: str, data: bytes) -> None:
        """Replace or make a file; it is there when this returns."""

    def remove(self, name: str) -> None:
        """Remove a file, which may be gone already."""


class Memory(dict[str, bytes]):
    """Forgotten with the process."""

    def sizes(self) -> dict[str, int]:
        return {name: len(data) for name, data in self.items()}

    def read(self, name: str) -> bytes:
        return self[name]

    def write(self, name: str, data: bytes) -> None:
        self.remove(name)
        self[name] = data

    def remove(self, name: str) -> None:
        self.pop(name, None)


class Folder:
    """On disk: readable by their owner alone, as they are made of its rows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> dict[str, int]:
        """By the times of writing; what is no state is not ours."""
        if not self._path.is_dir():
            return {}
        found = [(file.stat(), file.name) for file in self._path.iterdir() if NAMED.fullmatch(file.name)]
        return {name: stat.st_size for stat, name in sorted(found, key=lambda pair: (pair[0].st_mtime_ns, pair[1]))}

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Whole, so that a crash leaves the old file or the new one."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_drafts(self._path / name)
        reach(FailPoint.CHECKPOINT_BEFORE)
        with replacing(self._path / name) as draft:
            draft.write_bytes(data)
            reach(FailPoint.CHECKPOINT_INSIDE)
        reach(FailPoint.CHECKPOINT_AFTER)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


class CheckpointStore:
    """All states of one party; `folder=None` keeps them in memory."""

    def __init__(self, party: str, folder: Path | None) -> None:
        self._party = party
        self._storage: Files = Memory() if folder is None else Folder(folder)
        self._lock = threading.RLock()
        self._holders: dict[str, object] = {}

    def check(self, work: Work) -> None:
        """Raise InvalidArgument where the name is that of another question, or of other rows."""
        for file in self._files(work.key):
            head = read_head(self._party, self._read(file))
            if head.question != work.question:
                raise InvalidArgument(
                    f"{self._party} knows the name {work.name!r} from another question of {work.caller}",
                    hint="ask exactly as before to go on with it, or give another name to begin anew",
                )
            if head.content != work.content:
                raise InvalidArgument(
                    f"{self._party}'s table has changed since {work.name!r} was begun",
                    hint="give another name to begin anew, on the table as it is",
                )

    def open(self, work: Work) -> Callable[[str], Checkpoints]:
        """`Services.checkpoints` for a run. An older run of this name, should one go on here, keeps nothing more."""
        holder = object()
        with self._lock:
            self._holders[work.key] = holder
        return partial(PartCheckpoints, self, work, holder)

    def _files(self, key: str, part: str = "") -> dict[str, int]:
        """Names of a work's files, and the numbers of their states, ascending."""
        found: dict[str, int] = {}
        for name in self._storage.sizes():
            parsed = NAMED.fullmatch(name)
            if parsed is not None and parsed[1] == key and part in ("", parsed[2]):
                found[name] = int(parsed[3])
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _read(self, file: str) -> bytes:
        try:
            return self._storage.read(file)
        except (OSError, KeyError) as error:
            raise DataError(
                f"{self._party} cannot read its state {file} ({type(error).__name__})", hint="give another name"
            ) from None

    def _drop_oldest(self, present: str) -> None:
        sizes = self._storage.sizes()
        keys = dict.fromkeys(name.partition(".")[0] for name in reversed(sizes))  # the latest first
        for key in reversed([key for key in keys if key != present]):
            if len(keys) <= MOST_NAMES and sum(sizes.values()) <= MOST_BYTES:
                return
            for file in self._files(key):
                self._storage.remove(file)
                del sizes[file]
            del keys[key]


@dataclass(frozen=True, slots=True)
class PartCheckpoints:
    """`Checkpoints` of one part of one run."""

    store: CheckpointStore
    work: Work
    holder: object
    name: str

    def numbers(self) -> tuple[int, ...]:
        return tuple(self.store._files(self.work.key, self.name).values())

    def load(self, number: int) -> State:
        """One state, if it is whole and of this question."""
        party, work = self.store._party, self.work
        data = self.store._read(self._file(number))
        head = read_head(party, data)
        mine = (head.part, head.number, head.question, head.content) == (self.name, number, work.question, work.content)
        arrays = read_arrays(data, head)
        if not mine or arrays is None:
            raise damaged(party, work.name)
        return State(arrays, head.facts)

    def save(self, number: int, state: State) -> None:
        """Keep a state, drop all but the one before it, and older work where there is too much."""
        party, storage, data = self.store._party, self.store._storage, pack(self.work, self.name, number, state)
        if len(data) > MOST_BYTES // 4:
            raise DataError(
                f"{party} would keep {len(data):,} bytes of {self.work.name!r}; at most {MOST_BYTES // 4:,} are kept",
                hint="leave the name away: nothing is kept then",
            )
        with self.store._lock:
            if self.store._holders.get(self.work.key) is not self.holder:
                raise Cancelled(f"another run of {self.work.name!r} has begun")
            try:
                storage.write(self._file(number), data)
            except OSError as error:
                raise LedgerError(
                    f"{party} cannot keep its state: {error.strerror}",
                    hint="check that there is space beside its ledger, or leave the name away",
                ) from None
            for file in list(self.store._files(self.work.key, self.name))[:-LAST]:
                storage.remove(file)
            self.store._drop_oldest(self.work.key)

    def rewind(self, number: int) -> None:
        with self.store._lock:
            if self.store._holders.get(self.work.key) is self.holder:
                for file, at in self.store._files(self.work.key, self.name).items():
                    if at > number:
                        self.store._storage.remove(file)

    def _file(self, number: int) -> str:
        return f"{self.work.key}.{self.name}.{number:09d}"

"""Joint tables that outlive their party's process: a file for each, encrypted, beside the ledger.

A file is called by a hash of the random id that the caller of the join was given, so that neither the folder nor the
audit tells that id. It holds, in this order,

    privsdk joint table 1, and a newline        the format and its version
    4 bytes, big-endian                         length of the next part
    12 bytes, and AES-256-GCM of the head       whose it is, of which table as it was, until when, how it ended
    12 bytes, and AES-256-GCM of the rows       rows, keys, codes: int64, little-endian; none once it has ended

The key is derived from the one that signs the ledger. Name and part are authenticated, so that no file or part passes
for another. What has ended keeps its head for a while, to say why. Whether a request may use one is decided in
`joints`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..atomic import atomic_write, remove_drafts
from ..errors import StaleJoin, UnknownName
from ..errors.inputs import JointUnusable
from ..governance.events import JointEnded, JointKept, LedgerEvent, WhyEnded, expect_reason
from ..protocol.operation import Alignment
from .joint_bounds import JoinFacts
from .ledger.ledger import Ledger

MAGIC = b"privsdk joint table 1\n"
NONCE, TAG, LENGTH = 12, 16, 4
LARGEST_HEAD = 1 << 16
LARGEST = 1 << 30  # bytes of one; a larger one is not kept
SAID = timedelta(days=30)  # for so long after its time it is said how one ended
NAMED = re.compile(r"[0-9a-f]{32}")


class JointHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a use must match, and how the rows are to be read. `content` is a digest of all that the table held; `join`
    is not in files of before."""

    caller: str
    purpose: str
    table: str
    content: str
    since: datetime
    until: datetime
    min_count: int
    session: bytes
    matched: int
    rows: int
    join: JoinFacts | None = None
    ended: WhyEnded | None = None
    reason: str = ""

    @property
    def size(self) -> int:
        """Bytes of its rows."""
        return 8 * (2 * self.matched + self.rows)


def name_of(alignment: str) -> str:
    """What a file is called, and the owner calls a joint table, by the id that its caller has."""
    return hashlib.sha256(alignment.encode()).hexdigest()[:32]


class JointFiles:
    """All of one party, whose ledger has a file; `derived` gives keys by their purpose, of the one that signs it."""

    def __init__(self, party: str, path: Path, ledger: Ledger, derived: Callable[[bytes], bytes]) -> None:
        self._party = party
        self._folder = path.with_suffix(".joints")
        self._ledger = ledger
        self._cipher = AESGCM(derived(MAGIC))

    def now(self) -> datetime:
        """The ledger's time, which is never set back."""
        return self._ledger.now()

    def heads(self) -> dict[str, JointHead | None]:
        """By name, the one written longest ago first; None where a file is damaged."""
        heads: dict[str, JointHead | None] = {}
        for name in (file.name for _, file in self._written() if NAMED.fullmatch(file.name)):
            try:
                head = self.head(name)
            except StaleJoin:
                heads[name] = None
            else:
                heads |= {} if head is None else {name: head}  # another process may have removed it
        return heads

    def head(self, name: str) -> JointHead | None:
        """None where there is no such file; raises StaleJoin where it is damaged."""
        try:
            with self._path(name).open("rb") as file:
                return self._read_head(name, file)
        except FileNotFoundError:
            return None
        except OSError:
            raise self._damaged() from None

    def alignment(self, name: str) -> Alignment:
        """Its rows, read anew; raises StaleJoin where it is gone or damaged."""
        try:
            with self._path(name).open("rb") as file:
                head = self._read_head(name, file)
                words = np.frombuffer(self._open(name, b"rows", file.read()), "<i8").astype(np.int64)
        except (OSError, ValueError):
            raise self._damaged() from None
        if words.nbytes != head.size:
            raise self._damaged()
        rows, keys, codes = np.split(words, [head.matched, 2 * head.matched])
        return Alignment(rows=rows, keys=keys, codes=codes, min_count=head.min_count, session=head.session)

    def add(self, name: str, head: JointHead, alignment: Alignment) -> None:
        """Keep one; raises OSError where it cannot be written."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        words = b"".join(each.astype("<i8").tobytes() for each in (alignment.rows, alignment.keys, alignment.codes))
        self._write(name, head, self._seal(name, b"rows", words))
        self._ledger.note(JointKept(caller=head.caller, table=head.table, joint=name, until=head.until.isoformat()))

    def end(self, name: str, why: WhyEnded, reason: str = "") -> bool:
        """Remove its rows, if they are still there, and write why into file and audit."""

        def change() -> tuple[bool, LedgerEvent | None]:  # while no other process writes to this ledger
            head = self.head(name)
            if head is None or head.ended:
                return False, None
            try:
                self._write(name, msgspec.structs.replace(head, ended=why, reason=reason))
            except OSError:  # such as of a full disk: it ends all the same, and its caller is not told why
                self._path(name).unlink(missing_ok=True)
            return True, JointEnded(caller=head.caller, table=head.table, joint=name, why=why, reason=reason)

        return self._ledger.record(change)

    def revoke(self, name: str, reason: str) -> None:
        """As its owner: from now on nobody can use it.

        Raises
        ------
        InvalidArgument
            No reason is given.
        UnknownName
            None that is in use is called so.
        """
        known = [each for each, head in self.heads().items() if head is not None and not head.ended]
        if name not in known:
            raise UnknownName.among("joint table", name, known, where=f"at {self._party}")
        expect_reason(reason)
        self.end(name, "revoked", reason)

    def sweep(self, keep: timedelta, most: int) -> timedelta | None:
        """End what is over its time or of more than `most` the oldest, and forget what ended long ago; how long it is
        until the next one's time. None is kept longer than its owner says now."""
        now, ends, in_use, heads = self.now(), list[datetime](), list[str](), self.heads()
        for written, file in self._written():
            if heads.get(file.name) is None and written + keep <= now:  # damaged, or a draft that a crash left behind
                file.unlink(missing_ok=True)
        for name, head in heads.items():
            if head is None:
                continue
            until = min(head.until, head.since + keep)
            if head.ended and head.until + SAID <= now:
                self._path(name).unlink(missing_ok=True)
            elif not head.ended and until <= now:
                self.end(name, "expired")
            elif not head.ended:
                in_use.append(name)
                ends.append(until)
        for name in in_use[: max(0, len(in_use) - most)]:
            self.end(name, "replaced")
        return min(ends) - now if ends else None

    def _written(self) -> list[tuple[datetime, Path]]:
        """All files and when each was written, the oldest first."""
        found = list[tuple[datetime, Path]]()
        for file in self._folder.iterdir() if self._folder.is_dir() else ():
            with suppress(FileNotFoundError):  # another process may have removed it
                found.append((datetime.fromtimestamp(file.stat().st_mtime, UTC), file))
        return sorted(found)

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _read_head(self, name: str, file: BinaryIO) -> JointHead:
        begin = file.read(len(MAGIC) + LENGTH)
        length = int.from_bytes(begin[len(MAGIC) :], "big")
        if not begin.startswith(MAGIC) or length > LARGEST_HEAD:
            raise self._damaged()
        try:
            return msgspec.json.decode(self._open(name, b"head", file.read(length)), type=JointHead)
        except msgspec.DecodeError:
            raise self._damaged() from None

    def _write(self, name: str, head: JointHead, rows: bytes = b"") -> None:
        sealed = self._seal(name, b"head", msgspec.json.encode(head))
        remove_drafts(self._path(name))
        atomic_write(self._path(name), MAGIC + len(sealed).to_bytes(LENGTH, "big") + sealed + rows)

    def _seal(self, name: str, part: bytes, content: bytes) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, content, MAGIC + name.encode() + part)

    def _open(self, name: str, part: bytes, sealed: bytes) -> bytes:
        if len(sealed) < NONCE + TAG:
            raise self._damaged()
        try:
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], MAGIC + name.encode() + part)
        except InvalidTag:
            raise self._damaged() from None

    def _damaged(self) -> StaleJoin:
        return StaleJoin(JointUnusable(party=self._party, problem="damaged"))

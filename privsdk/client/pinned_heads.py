"""The last signed head of every party that a caller saw, kept across restarts of the notebook.

Each request shows a party its own head, and a party whose ledger was put back from an older copy refuses. The caller in
turn notices a party that answers with another key. Not a proof: a party that means to deceive can ignore what it is
shown, and what then speaks against it are the heads.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from ..atomic import SHARED, atomic_write
from ..errors import InvalidArgument, LedgerChanged, PrivsdkError, ProtocolViolation
from ..governance.chain import Head

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

VERSION = 1


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of the file."""

    version: int = VERSION
    heads: dict[str, Head] = {}


_HEADS = msgspec.json.Decoder(Heads)


class PinnedHeads:
    """What one caller saw of its parties' chains; `path=None` forgets it at the end.

    Several notebooks may share a file: it is locked while it is read or changed, replaced as a whole, and a head is
    only ever replaced by a later one of the same key.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept: dict[str, Head] = {}

    @classmethod
    def of(cls, caller: str, folder: Path, name: str = "") -> PinnedHeads:
        """Kept in this folder, in a file named after the caller."""
        return cls(folder / f"{name}{quote(caller, safe='')}.heads.json")

    def seen(self, party: str) -> Head | None:
        """The last head of this party that was seen."""
        with self._open():
            return self._kept.get(party)

    def recognise(self, party: str, head: Head) -> None:
        """Check a head that came without a head having been shown: it is kept only if it is the first of its party.

        A later one is not: it may be of a chain that went on from an older copy, and would hide that.
        """
        with self._open():
            self._check(party, head)
            if party not in self._kept:
                self._kept[party] = head

    def remember(self, heads: Mapping[str, Head], shown: Mapping[str, Head | None] | None = None) -> None:
        """Keep the heads of parties that have been shown what was seen of them, where they are later ones.

        Raises
        ------
        LedgerChanged
            A party has another key, or another row where one was seen. What was kept stays.
        ProtocolViolation
            A head is not signed, or a party took a request although it is behind the head that it was shown.
        """
        problems: list[PrivsdkError] = []
        with self._open():
            for party, head in heads.items():
                try:
                    self._check(party, head)
                    before = (shown or {}).get(party)
                    if before is not None and head.order < before.order:
                        raise ProtocolViolation(
                            f"{party} took a request although it is behind the head of {before.rows} rows that it was "
                            "shown",
                            hint="ask its owner",
                        )
                    known = self._kept.get(party)
                    if known is not None and known.order == head.order and known.hash != head.hash:
                        raise LedgerChanged(
                            f"{party} shows another audit row {head.rows} than it did before: its ledger was put back "
                            "from an older copy, or it keeps two",
                            hint=f"ask its owner; both heads are signed, and the first is kept. {_deliberately(party)}",
                        )
                    if known is None or known.order < head.order:
                        self._kept[party] = head
                except PrivsdkError as error:
                    problems.append(error)
        if problems:
            raise problems[0]

    def forget(self, party: str) -> None:
        """Accept whatever this party shows next as the first of it."""
        with self._open():
            self._kept.pop(party, None)

    def _check(self, party: str, head: Head) -> None:
        if not head.is_signed():
            raise ProtocolViolation(
                f"{party}'s audit head is not signed by the key that it names", hint="ask its owner"
            )
        known = self._kept.get(party)
        if known is not None and known.public_key != head.public_key:
            raise LedgerChanged(
                f"{party} signs with another key than before (was {known.public_key[:16]}..., "
                f"is {head.public_key[:16]}...): its ledger and key were made anew, and what was spent in the "
                f"{known.rows} audit rows before is forgotten; or it is another party",
                hint=f"ask its owner. {_deliberately(party)}",
            )

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Read the file, and write it if the heads were changed."""
        with self._lock:
            if self._path is None:
                yield
                return
            try:
                with _locked(self._path.with_suffix(".lock")):
                    self._kept = self._read(self._path)
                    before = dict(self._kept)
                    try:
                        yield
                    finally:
                        if self._kept != before:
                            atomic_write(
                                self._path, msgspec.json.encode(Heads(heads=self._kept), order="sorted"), mode=SHARED
                            )
            except OSError as error:
                raise InvalidArgument(
                    f"the heads seen before cannot be kept in {self._path}: {error.strerror}",
                    hint="make its folder writable, or open the federation from one that is",
                ) from None

    def _read(self, path: Path) -> dict[str, Head]:
        try:
            kept = _HEADS.decode(path.read_bytes())
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise InvalidArgument(
                f"{path} is unreadable: {error}",
                hint="restore it; removing it forgets what was seen, and an older ledger would pass",
            ) from None
        if kept.version != VERSION:
            raise InvalidArgument(f"{path} has version {kept.version}; this privsdk knows {VERSION}", hint="upgrade it")
        return dict(kept.heads)


def _deliberately(party: str) -> str:
    return f"To accept what it shows from now on: fed.forget_head({party!r})"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file that other threads and processes wait for; it goes with the process."""
    with path.open("a") as file:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

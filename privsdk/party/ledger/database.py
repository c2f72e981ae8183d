"""The ledger's SQLite file: opened and checked, read, and written in transactions that each append a signed audit row.

Rollback journal, `synchronous=EXTRA`, every write in a `BEGIN IMMEDIATE` transaction: threads and processes take turns,
and what was committed survives a crash. Time never runs backwards in it: a row's time is the clock's or the last row's,
whichever is later. What the tables mean is in `ledger`.

The file and that of the signing key beside it are on a local disk and readable by their owner alone.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ...atomic import replacing
from ...errors import InvalidArgument, LedgerError, PrivsdkError
from ...governance.chain import GENESIS, chain_hash
from ...governance.events import LedgerEvent, LedgerMigrated, LedgerOpened, encode
from ...protocol.failpoints import FailPoint, reach
from . import schema
from .verification import Snapshot, snapshot

_CLOCK_SLACK = timedelta(seconds=1)  # clocks are set back by less when they are disciplined

T = TypeVar("T")


class _Stamp(msgspec.Struct, frozen=True):
    """The time in an audit row's body."""

    at: str


_STAMP = msgspec.json.Decoder(_Stamp)


class Database:
    """One party's ledger file, as `Ledger` opens it; `path=None` keeps it in memory only."""

    def __init__(self, party: str, path: Path | None, signer: Signer) -> None:
        self.party = party
        self.path = path
        self._signer = signer
        self._lock = threading.RLock()  # a check within a write reads
        if path is not None:
            refuse_network_mount(party, path)
            touch_private(party, path)
        with self._explained():
            self.connection = sqlite3.connect(
                path or ":memory:", timeout=30, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:  # whatever it was goes on; the file must not stay open
                self.connection.close()
                raise

    def close(self) -> None:
        with self._lock:
            self.connection.close()

    def read(self, query: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock, self._explained():
            return self.connection.execute(query, arguments).fetchall()

    def write(self, change: Callable[[], tuple[T, LedgerEvent | None]], name: str) -> T:
        """One transaction: what `change` does, and the event that it returns as an audit row, or neither.

        Parameters
        ----------
        change : function
            Its result, and the event; None where nothing was changed.
        name : str
            Of the fail points before, inside and after: "ledger.NAME.before", ...
        """
        with self._lock, self._explained():
            reach(FailPoint(f"ledger.{name}.before"))
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                result, event = change()
                if event is not None:
                    self._append(event)
                reach(FailPoint(f"ledger.{name}.inside"))
                self.connection.execute("COMMIT")
            except BaseException:  # whatever it was goes on; a change without its audit row is not kept
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            reach(FailPoint(f"ledger.{name}.after"))
            return result

    def now(self) -> datetime:
        """The clock's time, or that of the last audit row where the clock was set back since."""
        last = self.read("SELECT body FROM audit ORDER BY sequence DESC LIMIT 1")
        with self._explained():
            return max(_clock(), datetime.fromisoformat(_STAMP.decode(last[0][0]).at)) if last else _clock()

    def snapshot(self) -> Snapshot:
        """The audit chain and the tables at this moment."""
        with self._lock, self._explained():
            return snapshot(self.connection)

    def _append(self, event: LedgerEvent) -> None:
        last = self.connection.execute("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
        sequence, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
        at, clock = self.now(), _clock()
        event = msgspec.structs.replace(event, at=at.isoformat(timespec="microseconds"))
        if at - clock > _CLOCK_SLACK:
            event = msgspec.structs.replace(event, clock_set_back_to=clock.isoformat(timespec="microseconds"))
        body = encode(event)
        digest = chain_hash(previous, sequence, body)
        row = (sequence, body, digest, self._signer.sign(digest))
        self.connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", row)

    def _prepare(self) -> None:
        self.connection.execute("PRAGMA journal_mode=DELETE")
        self.connection.execute("PRAGMA synchronous=EXTRA")
        self.connection.execute("PRAGMA foreign_keys=ON")
        self.connection.execute("BEGIN IMMEDIATE")
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        tables = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        try:
            if version == 0 and tables == 0:
                schema.create(self.connection)
                facts = {"party": self.party, "public_key": self._signer.public_key.hex()}
                self.connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
                self._append(LedgerOpened())
            elif version > schema.VERSION:
                raise LedgerError(
                    f"{self.party}'s ledger {self.path} has version {version}; this privsdk knows {schema.VERSION}",
                    hint="upgrade privsdk at this party",
                )
            elif version < 1:
                raise LedgerError(f"{self.path} is not a privsdk ledger", hint=f"give {self.party} another store path")
            else:
                self._check_owner()
                if version < schema.VERSION and self.path is not None:
                    copy = schema.back_up(self.path, version)
                    schema.migrate(self.connection, version)
                    self._append(LedgerMigrated(version=version, to=schema.VERSION, copy=copy.name))
            self.connection.execute("COMMIT")
        except BaseException:  # whatever it was goes on; nothing half-made is kept
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def _check_owner(self) -> None:
        facts = dict(self.connection.execute("SELECT key, value FROM meta").fetchall())
        if facts.get("party") != self.party:
            raise LedgerError(
                f"{self.path} is the ledger of {facts.get('party')}, not of {self.party}",
                hint="give each party a store of its own",
            )
        if facts.get("public_key") != self._signer.public_key.hex():
            raise LedgerError(
                f"{self.party}'s ledger {self.path} was signed with another key than the one beside it",
                hint="restore the ledger and its .ed25519 file together",
            )
        problem = self.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise LedgerError(f"{self.party}'s ledger {self.path} is damaged ({problem})", hint=_RESTORE)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as LedgerErrors that say whose ledger it is and what to do."""
        try:
            yield
        except PrivsdkError:
            raise
        except sqlite3.IntegrityError as error:
            raise InvalidArgument(f"{self.party} has this run id already ({error})") from None
        except sqlite3.OperationalError as error:
            raise LedgerError(
                f"{self.party}'s ledger {self.path or 'in memory'} cannot be used: {error}",
                hint="check that its folder exists and is writable, the disk has space, no other program holds it",
            ) from None
        except sqlite3.ProgrammingError as error:
            raise LedgerError(f"{self.party}'s ledger is closed ({error})", hint="open the federation again") from None
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise LedgerError(f"{self.party}'s ledger {self.path} is unreadable: {error}", hint=_RESTORE) from None


_RESTORE = "restore the file from a backup; do not delete it, or what was spent is forgotten"


def _clock() -> datetime:
    return datetime.now(UTC)


_NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb",
    "smb3",
    "smbfs",
    "afs",
    "afpfs",
    "ncpfs",
    "9p",
    "fuse.sshfs",
    "webdav",
    "fuse.glusterfs",
)


def touch_private(party: str, path: Path) -> None:
    """Make a new ledger readable by its owner alone: it holds answers."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise LedgerError(
            f"{party}'s ledger {path} cannot be opened: {error.strerror}",
            hint="check that its folder exists and is writable, or give another store",
        ) from None


def refuse_network_mount(party: str, path: Path) -> None:
    """SQLite's locks cannot be relied on over a network file system."""
    folder = path.resolve().parent
    mounts = [
        (Path(p.mountpoint), p.fstype.lower(), p.opts)
        for p in psutil.disk_partitions(all=True)
        if folder.is_relative_to(p.mountpoint)
    ]
    if not mounts:
        return
    mount, kind, options = max(mounts, key=lambda m: len(m[0].parts))
    if kind in _NETWORK or "remote" in options.split(","):
        raise LedgerError(
            f"{party}'s ledger {path} would be on a network mount ({kind} at {mount}), where locks cannot be relied on",
            hint="keep the ledger on a local disk: store=..., or `ledger` in party.toml",
        )


class Signer:
    """A party's Ed25519 key; signs chain hashes."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def sign(self, digest: bytes) -> bytes:
        return self._key.sign(digest)

    def derived(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for a purpose, which only who has this key can derive (HKDF, RFC 5869)."""
        return HKDF(hashes.SHA256(), 32, None, purpose).derive(self._key.private_bytes_raw())

    @classmethod
    def fresh(cls) -> Signer:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def at(cls, path: Path, *, create: bool) -> Signer:
        """The key in this PEM file; made, readable by its owner alone, where there is none and `create` is set."""
        if not path.exists():
            if not create:
                raise LedgerError(
                    f"the signing key {path} is missing, and the ledger beside it was signed with it",
                    hint="restore the key file from a backup; if the file beside it is no ledger, give another path",
                )
            try:
                pem = cls.fresh()._key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                # whole before it has its name, so that a crash leaves none or all of it; another may have been first
                with suppress(FileExistsError), replacing(path, exclusive=True) as draft:
                    draft.write_bytes(pem)
            except OSError as error:
                raise LedgerError(
                    f"the signing key {path} cannot be made: {error.strerror}",
                    hint="check that its folder is writable and the disk has space, or give another store",
                ) from None
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, OSError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise LedgerError(f"{path} is not an Ed25519 private key", hint="restore the key file from a backup")
        return cls(key)

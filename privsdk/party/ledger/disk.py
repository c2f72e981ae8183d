"""Where a ledger may lie: on a local disk, in a file that its owner alone can read."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from ...errors import LedgerError

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

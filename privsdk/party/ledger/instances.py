"""Which of the instances that opened a ledger still run: what a killed one had under way is not under way any more.

For what is shown alone. A charge counts as spent whoever made it, and only the instance that reserved it gives it back.
"""

from __future__ import annotations

import os
import secrets

import psutil

_open: set[str] = set()  # in this process


def enter() -> str:
    """A name for a ledger that this process opens: its process, when that began, and a random part."""
    name = f"{_process(os.getpid())}-{secrets.token_hex(8)}"
    _open.add(name)
    return name


def leave(name: str) -> None:
    _open.discard(name)


def runs(name: str) -> bool:
    """Whether it still has the ledger open; one of an earlier version, or of another machine, is taken for gone."""
    process, _, _ = name.rpartition("-")
    number = process.partition(".")[0]
    if not number.isdecimal() or process != _process(int(number)):
        return False
    return int(number) != os.getpid() or name in _open


def _process(number: int) -> str:
    try:
        return f"{number}.{round(psutil.Process(number).create_time() * 1000)}"
    except (psutil.Error, ValueError, OverflowError):
        return ""

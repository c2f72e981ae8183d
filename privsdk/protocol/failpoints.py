"""Named places where a crash test may kill the process; in normal use each is one dictionary look-up.

`PRIVSDK_FAILPOINT=name` makes the process end itself, as by `kill -9`, when it reaches that point; `name:3` when it
does so for the third time. `python -m privsdk failpoints` lists them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from enum import StrEnum


class FailPoint(StrEnum):
    RESERVE_BEFORE = "ledger.reserve.before"
    RESERVE_INSIDE = "ledger.reserve.inside"
    RESERVE_AFTER = "ledger.reserve.after"
    RELEASE_BEFORE = "ledger.release.before"
    RELEASE_INSIDE = "ledger.release.inside"
    RELEASE_AFTER = "ledger.release.after"
    START_BEFORE = "ledger.start.before"
    START_INSIDE = "ledger.start.inside"
    START_AFTER = "ledger.start.after"
    PAY_BEFORE = "ledger.pay.before"
    PAY_INSIDE = "ledger.pay.inside"
    PAY_AFTER = "ledger.pay.after"
    FINISH_BEFORE = "ledger.finish.before"
    FINISH_INSIDE = "ledger.finish.inside"
    FINISH_AFTER = "ledger.finish.after"
    DISCLOSE_BEFORE = "ledger.disclose.before"
    DISCLOSE_INSIDE = "ledger.disclose.inside"
    DISCLOSE_AFTER = "ledger.disclose.after"
    NOTE_BEFORE = "ledger.note.before"
    NOTE_INSIDE = "ledger.note.inside"
    NOTE_AFTER = "ledger.note.after"
    OWNER_BEFORE = "ledger.owner.before"
    OWNER_INSIDE = "ledger.owner.inside"
    OWNER_AFTER = "ledger.owner.after"
    CHECKPOINT_BEFORE = "checkpoint.save.before"
    CHECKPOINT_INSIDE = "checkpoint.save.inside"
    CHECKPOINT_AFTER = "checkpoint.save.after"
    SEND_BEFORE = "wire.send.before"
    SEND_AFTER = "wire.send.after"
    ANSWER_BEFORE = "wire.answer.before"
    ANSWER_AFTER = "wire.answer.after"


_reached: Counter[FailPoint] = Counter()
_lock = threading.Lock()


def reach(point: FailPoint) -> None:
    """Mark that execution is at `point`; ends the process if a crash test asked for it."""
    wanted = os.environ.get("PRIVSDK_FAILPOINT")
    if wanted:
        _end_at(point, wanted)


def _end_at(point: FailPoint, wanted: str) -> None:
    name, _, times = wanted.partition(":")
    if name != point:
        return
    with _lock:
        _reached[point] += 1
        due = _reached[point] == int(times or 1)
    if due:
        # SIGKILL cannot be caught or cleaned up after; Windows has none, and its exit without handlers comes closest.
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)

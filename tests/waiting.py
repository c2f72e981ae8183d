"""Waiting for what comes in the end, however busy the machine: no test fails for how soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

HANGS_S = 120.0  # what takes seconds and has not come by then hangs, also beside a load


def until(fact: Callable[[], Any], what: str = "it did not come true") -> float:
    """Wait until this is so; returns the seconds that it took, to be printed."""
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < HANGS_S, what
        time.sleep(0.02)
    return time.monotonic() - began

"""The form of an error on the wire."""

from __future__ import annotations

from typing import Any

import msgspec


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it crosses the wire: its code, where it happened, its fields, and its English for those who do not
    know its reason."""

    code: str
    message: str
    hint: str = ""
    party: str = ""
    run_id: str = ""
    phase: str = ""
    lost: tuple[str, ...] = ()
    detail: dict[str, Any] | None = None
    own_hint: bool = False  # where what to do is not what the detail advises

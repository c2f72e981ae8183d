"""How long is waited and how much is kept: a party's timeouts and limits, and a caller's timeouts."""

from __future__ import annotations

import math

import msgspec

from ..errors import InvalidArgument

READ_S = 600.0  # a request cannot give its steps longer
KEEPALIVE_S = 40.0
MOST_DAYS = 366  # that a joint table is kept on disk
LEAST_KEEPALIVE_S = 1.0  # parties answer pings twice as often


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a party waits, in seconds: `[timeouts]` in party.toml.

    Parameters
    ----------
    prepared_s : float
        For a run that is prepared to be started; then its reservation is given back.
    connect_s : float
        For a peer to open its stream, from when a run first needs it.
    read_s : float
        For the next part of a message.
    step_s : float
        For all messages that one step of a protocol waits for; inf for as long as parts of them come.
    keepalive_s : float
        For a sign of life of a peer or caller who says nothing, 1 at least: it is asked after half of it, and is lost
        where it has not answered after the other half.
    linger_s : float
        For what was sent to arrive after a run has ended; then its streams are cut.
    """

    prepared_s: float = 60.0
    connect_s: float = 30.0
    read_s: float = READ_S
    step_s: float = math.inf
    keepalive_s: float = KEEPALIVE_S
    linger_s: float = 20.0

    def __post_init__(self) -> None:
        _check_positive("timeout", self)
        _check_keepalive(self.keepalive_s)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much callers may keep a party busy with: `[limits]` in party.toml.

    Parameters
    ----------
    runs : int
        Prepared or under way at one time. A caller who has none is let in all the same.
    joint_tables : int
        Kept; of more the oldest goes.
    joint_table_s : float
        How long one is kept, in seconds.
    runs_each : int
        Runs of one caller.
    calls_each : int
        Calls and streams of one caller at one time.
    calls : int
        Those of all callers.
    quote_s : float
        Processor seconds for one quote; one caller's are answered one after the other.
    """

    runs: int = 64
    joint_tables: int = 1000
    joint_table_s: float = 8 * 3600.0
    runs_each: int = 32
    calls_each: int = 128
    calls: int = 1024
    quote_s: float = 10.0

    def __post_init__(self) -> None:
        _check_positive("limit", self)


class Joins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether joint tables outlive a party's process: `[joins]` in party.toml.

    Parameters
    ----------
    keep_days : float
        How long each is kept on disk, at most 366 days; 0 for not: it is in memory then, for `joint_table_s`.
    """

    keep_days: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.keep_days <= MOST_DAYS:
            raise InvalidArgument(
                f"joint tables are kept for {self.keep_days:g} days", hint=f"give 0 to {MOST_DAYS} days"
            )


class CallerTimeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a notebook waits, in seconds: `timeouts` of `[analyst]` in federation.toml.

    Parameters
    ----------
    call_s : float
        For a call that a party answers at once; a run's own answer may take longer.
    stragglers_s : float
        For parties that a run went on without, once the others have ended.
    keepalive_s : float
        For a sign of life of a party whose answer is waited for; as a party's.
    """

    call_s: float = 30.0
    stragglers_s: float = 5.0
    keepalive_s: float = KEEPALIVE_S

    def __post_init__(self) -> None:
        _check_positive("timeout", self)
        _check_keepalive(self.keepalive_s)


def _check_keepalive(seconds: float) -> None:
    if not LEAST_KEEPALIVE_S <= seconds < math.inf:
        raise InvalidArgument(
            f"the timeout keepalive_s is {seconds}", hint=f"give a finite number, {LEAST_KEEPALIVE_S:g} at least"
        )


def _check_positive(kind: str, given: msgspec.Struct) -> None:
    for name, value in msgspec.structs.asdict(given).items():
        if not value > 0:
            raise InvalidArgument(f"the {kind} {name} is {value}", hint="give a number above 0")

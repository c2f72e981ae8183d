"""Pooled exact results as each of their contributors keeps them: whose tables entered, and what of them is told.

Only what is kept: the rule is `party.differencing.parties`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

SCHEMA = """
CREATE TABLE pooled_run (run_id TEXT PRIMARY KEY REFERENCES run, tbl TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX pooled_run_table ON pooled_run (tbl);
"""

Place: TypeAlias = tuple[str, str]  # a party, and the table of its own that it contributes


class PooledRun(msgspec.Struct, frozen=True, kw_only=True):
    """An exact result of several contributors, as each of them keeps it.

    Parameters
    ----------
    table : str
        The keeper's own.
    columns : tuple of str
        Those of it that the result tells of; the number of rows is one.
    tables : mapping of party to str
        All contributors, each with its table.
    min_parties : mapping of party to int
        What they ask for.
    recipients : tuple of str
        Who sees the result.
    """

    table: str
    columns: tuple[str, ...]
    tables: dict[str, str]
    min_parties: dict[str, int]
    recipients: tuple[str, ...]

    @property
    def places(self) -> frozenset[Place]:
        return frozenset(self.tables.items())

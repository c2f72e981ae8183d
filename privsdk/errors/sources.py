"""What errors of the sources of tables say: fix the file, the folder, the query or the connection."""

from __future__ import annotations

from typing import Literal

from .details import Detail

Misread = Literal["unreadable", "empty", "encoding", "delimiter", "names", "header", "ragged", "readings", "type"]


class FileMisread(Detail, frozen=True, kw_only=True, tag="file"):
    """Why the file of table `where` is not read.

    `column` and `row`, counted from 1 without the header, say where; `readings` what fits, as what is to be declared;
    for a ragged row how many fields it has and should have. `declare` is a line to add beside the table's path.
    """

    where: str
    file: str
    problem: Misread
    column: str = ""
    row: int = 0
    readings: tuple[str, ...] = ()
    declare: str = ""


class RangeUnusable(Detail, frozen=True, kw_only=True, tag="range"):
    """What is declared as the range of a column is none."""

    where: str
    column: str
    given: str


Unusable = Literal[
    "declared",  # not by exactly one of `names`
    "folder",  # a plain path is of one file
    "pattern",  # the same
    "no-match",
    "mixed",  # `name` is of another kind than the others
    "below",  # `name` lies in a folder of the folder
    "hive",  # the path of `name` does not say what `column` is, or not as a `due`
    "columns",  # in `name`, `column` is `found` where others have `due`
    "changed",  # since opening: `column` was `due`
    "statement",  # no single SELECT
    "locked",
    "driver",
    "connection",  # where it is told from, `name`, says nothing
    "refused",  # the password
    "unreachable",
    "database",
    "string",  # the connection's, not to be shown
    "value",  # one of `column` is no `due`
]


class SourceUnusable(Detail, frozen=True, kw_only=True, tag="source"):
    """Why table `where` cannot be had from its source. What the other fields hold, its `problem` says."""

    where: str
    problem: Unusable
    name: str = ""
    column: str = ""
    found: str = ""
    due: str = ""
    names: tuple[str, ...] = ()


class QueryFailed(Detail, frozen=True, kw_only=True, tag="query"):
    """The owner's query behind table `where` fails; `words` are those of the database, for the owner alone."""

    where: str
    database: str
    words: str = ""


class ChangedWhileRead(Detail, frozen=True, kw_only=True, tag="changed-while-read"):
    """A run reads one version of table `where`."""

    where: str

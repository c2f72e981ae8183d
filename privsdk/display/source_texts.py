"""The texts of errors about the sources of tables: files, folders, queries, databases."""

from __future__ import annotations

from ..errors.details import Text
from ..errors.sources import (
    ChangedWhileRead,
    FileMisread,
    Misread,
    QueryFailed,
    RangeUnusable,
    SourceUnusable,
    Unusable,
)
from .input_texts import Language


def _file(d: FileMisread) -> Text:
    what, row = f"{d.where} cannot be read from {d.file}", f"row {d.row}" if d.row else "a row"
    readings = " or ".join(d.readings)
    add = f"declare it beside the table's path, as in csv = {{ {d.declare} }}, or in ps.csv(...)"
    said: dict[Misread, Text] = {
        "unreadable": Text(what, "check that the file is intact, and of the kind that its name says"),
        "empty": Text(f"{what}: it is empty", "give a file with a header and rows"),
        "encoding": Text(f"{what}: {row} is in another encoding", add),
        "delimiter": Text(f"{what}: more than one delimiter fits", f"declare csv = {{ ... }} with {readings}"),
        "names": Text(f"{what}: the first row has names that are empty or there twice", f"repair them, or {add}"),
        "header": Text(f"{what}: the first row reads as data", f"{add}, or header = true where it has the names"),
        "ragged": Text(
            f"{what}: {row} has {d.readings[0] if d.readings else 'other'} fields where there are "
            f"{d.readings[-1] if d.readings else 'others'} columns",
            "repair the row; fields with a delimiter need quotes",
        ),
        "readings": Text(f"{what}: more than one reading fits {d.column}", f"declare csv = {{ ... }} with {readings}"),
        "type": Text(f"{what}: {d.column} is not {readings} in {row}", f"repair the value, or {add}"),
    }
    return said[d.problem]


def _range(d: RangeUnusable) -> Text:
    return Text(
        f"the range of {d.where}.{d.column} is {d.given}", "declare the least and the largest value, as in [0, 1e9]"
    )


def _unusable(d: SourceUnusable) -> Text:
    what = f"{d.where} cannot be read"
    where_to = f'name it in party.toml, as in postgres = {{ env = "{d.where.rpartition("/")[2].upper()}_DB" }}'
    several = f'declare files = "{d.name}" in party.toml, or give ps.files("{d.name}")'
    said: dict[Unusable, Text] = {
        "declared": Text(
            f"{what}: {' and '.join(d.names)} do not go together" if d.names else f"{what}: nothing says where it is",
            f"declare one of {d.due}",
        ),
        "folder": Text(f"{what}: {d.name} is a folder, and a path is of one file", several),
        "pattern": Text(f"{what}: there is no file {d.name}, and a path is of one file", several),
        "no-match": Text(f"{what}: no file fits {d.name}", f"check the folder, or write a pattern that fits: {d.due}"),
        "mixed": Text(
            f"{what}: {d.name} is not of the kind of the other files, or of none that is known",
            f'declare those that are meant, as in files = "folder/*.parquet"; known: {d.due}',
        ),
        "below": Text(
            f"{what}: {d.name} lies in a folder below",
            f'declare what the folders say, as in hive = {{ {d.column or "year"} = "int32" }}, '
            'or the files that are meant, as in files = "folder/**/*.parquet"',
        ),
        "hive": Text(
            f"{what}: the path of {d.name} does not say what {d.column} is, as {d.column}=...",
            f"move the file, or declare another hive = {{ ... }}; {d.column} is {d.due}",
        ),
        "columns": Text(
            f"{what}: {d.column} of {d.name} is {d.found or 'missing'}, and {d.due or 'missing'} in the first file",
            "write the file anew, declare types in csv = { ... }, or declare the files as sources of a view of casts",
        ),
        "changed": Text(
            f"{what}: {d.column} is no longer {d.due}, as it was when the party opened",
            "ask its owner to open the party again",
        ),
        "statement": Text(f"{what}: a query is one SELECT", "write one SELECT, without others before or after it"),
        "locked": Text(
            f"{what}: {d.name} is open for writing",
            "close it where it is open, in this process too: con.close(); or serve a copy of the file",
        ),
        "driver": Text(
            f"{what}: PostgreSQL's driver is not installed", "pip install 'privsdk[postgres]' where the party runs"
        ),
        "connection": Text(f"{what}: {d.name} says no connection string", f"set it, or {where_to}"),
        "refused": Text(
            f"{what}: PostgreSQL refuses the user or its password",
            "check both in the connection string, and pg_hba.conf",
        ),
        "unreachable": Text(
            f"{what}: PostgreSQL does not answer", "check host and port of the connection string, and whether it runs"
        ),
        "database": Text(
            f"{what}: PostgreSQL has no database or user of this name", "check both in the connection string"
        ),
        "string": Text(
            f"{what}: PostgreSQL does not take the connection string",
            "write it as postgresql://user:password@host:5432/database, "
            "with %40 for @, %3A for : and %25 for % in the password",
        ),
        "value": Text(
            f"{what}: a value of {d.column} is no {d.due}",
            f"write in its query what it is, as in {d.column}::numeric(38, 6), NULLIF({d.column}, 'NaN') or "
            f"NULLIF({d.column}, 'infinity')",
        ),
    }
    return said[d.problem]


def _query(d: QueryFailed) -> Text:
    said = f"; {d.database} says:\n  {d.words}" if d.words else ""
    hint = "correct the query" if d.words else f"ask its owner: the party's log has what {d.database} says of it"
    return Text(f"{d.where} cannot be read: its owner's query fails{said}", hint)


def _changed(d: ChangedWhileRead) -> Text:
    return Text(f"{d.where} changed while it was read", "ask again: a run reads one version of a table")


ENGLISH: Language = {
    FileMisread: _file,
    SourceUnusable: _unusable,
    RangeUnusable: _range,
    QueryFailed: _query,
    ChangedWhileRead: _changed,
}

"""A party's tables: the store that hands out the columns asked for, and the sources they come from.

A new source is one entry of `SOURCES` or of `DECLARED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, InvalidArgument, UnknownName
from ..errors.sources import RangeUnusable, SourceUnusable
from ..governance.charges import Unit
from ..governance.policy import ROWS
from ..protocol.columns.arrow import table_of
from ..protocol.columns.ordering import most_equal
from .row_hashes import RowHash, Words, digest_of, hashes_of
from .sources.connection import connected
from .sources.csv import CsvFile, CsvTable
from .sources.dataset import DatasetTable, local_files
from .sources.duckdb_file import DuckDBFile, DuckDBTable
from .sources.files import FileSet, FilesTable
from .sources.parquet import ParquetFile
from .sources.postgres import Postgres, PostgresTable
from .sources.source import Source, existing
from .sources.view import SqlView, ViewTable


class InMemoryTable:
    """A table in memory: what a notebook gives, as Arrow, in the types that operations know."""

    def __init__(self, where: str, given: Any) -> None:
        self._table = table_of(where, given)

    @property
    def schema(self) -> pa.Schema:
        return self._table.schema

    def version(self) -> str:
        return "memory"  # it never changes

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        return self._table.select(list(columns))

    def scan(self) -> pa.Table:
        return self._table


# By the end of a path, or by the scheme of an address with its "://"; opened with its name in errors, and the path.
SOURCES: Mapping[str, Callable[[str, str], Source]] = {
    ".parquet": ParquetFile,
    ".csv": CsvTable,
    ".csv.gz": CsvTable,
}
# By what declares it; opened with that name and the declaration.
DECLARED: Mapping[type, Callable[[str, Any], Source]] = {
    CsvFile: lambda where, given: CsvTable(where, given.path, given.format),
    FileSet: FilesTable,
    DuckDBFile: DuckDBTable,
    Postgres: PostgresTable,
    SqlView: lambda where, given: ViewTable(where, given, opened=open_source),
}


def open_source(where: str, given: Any) -> Source:
    """The source of a table that was given as a path or address, as a declaration, or as a table in memory; errors call
    it by `where`.

    Raises
    ------
    UnknownName, InvalidArgument
        There is no such file, it cannot be read or is of no known kind, or what was given is no table.
    """
    if declared := DECLARED.get(type(given)):
        return declared(where, given)
    if not isinstance(given, str | Path):
        files = local_files(given) if hasattr(given, "scanner") else None
        return InMemoryTable(where, given) if files is None else DatasetTable(where, given, files)
    text = str(given)
    for kind, source in SOURCES.items():
        if text.startswith(kind) if kind.endswith("://") else text.endswith(kind):
            return source(where, text)
    existing(text, where)
    raise InvalidArgument(f"{where}: {Path(text).name} is of no known kind", hint=f"known: {', '.join(SOURCES)}")


def read_columns(where: str, given: Any, columns: tuple[str, ...]) -> pa.Table:
    """These columns of a table that is the notebook's own, in any form in which a party is given one."""
    source = open_source(where, given)
    names = source.schema.names
    for column in columns:
        if column not in names:
            raise UnknownName.among("column", column, names, where=f"in {where}")
        if names.count(column) > 1:
            raise InvalidArgument(f"{where} has two columns {column!r}", hint="rename one of them")
    return source.read(columns)


ROW = Unit()
T = TypeVar("T")
Range = tuple[float, float]


class Store:
    """Named tables of one party.

    Parameters
    ----------
    party : str
    sources : mapping of table name to source
        Anything of `table_of`, the path of a Parquet or CSV file, or what `DECLARED` opens. Files and databases are
        read anew at each use.
    ranges : mapping of table name to mapping of column to (low, high)
        What its owner declares of the values of columns, for all to see. A field of an Arrow table may declare it
        too, by its metadata: `pa.field("turnover", pa.float64(), metadata={"range": "0, 1e9"})`.
    """

    def __init__(self, party: str, sources: Mapping[str, Any], ranges: Mapping[str, Mapping[str, Range]] = {}) -> None:
        self._party = party
        self._hashes: dict[tuple[str, tuple[str, ...], RowHash], tuple[str, Words]] = {}
        self._digests: dict[tuple[str, tuple[str, ...]], tuple[str, str]] = {}
        self._sources = {name: open_source(f"{party}/{name}", given) for name, given in sources.items()}
        self._schemas = {name: source.schema for name, source in self._sources.items()}
        self._ranges = {
            name: {**_in_metadata(f"{party}/{name}", given), **ranges.get(name, {})} for name, given in sources.items()
        }
        for name, schema in self._schemas.items():
            _check_ranges(f"{party}/{name}", schema, self._ranges[name])
            if len(set(schema.names)) != len(schema.names):
                raise InvalidArgument(f"{party}/{name} has two columns of one name", hint="rename one of them")
            if ROWS in schema.names:  # a grant to count the rows would permit that column's sum
                raise InvalidArgument(
                    f"{party}/{name} has a column {ROWS!r}, which in grants stands for the rows themselves",
                    hint="rename the column",
                )

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._schemas))

    def schema(self, name: str) -> pa.Schema:
        if name not in self._schemas:
            raise UnknownName.among("table", name, self._schemas, where=f"at {self._party}")
        return self._schemas[name]

    def range(self, name: str, column: str) -> Range | None:
        """What its owner declares of a column's values."""
        return self._ranges[name].get(column)

    def check(self, name: str, columns: tuple[str, ...]) -> None:
        """Raise UnknownName where the table or a column does not exist."""
        schema = self.schema(name)
        for column in columns:
            if column not in schema.names:
                raise UnknownName.among("column", column, schema.names, where=f"in {self._party}/{name}")

    def version(self, name: str) -> str:
        """Changes whenever the table's rows may have changed."""
        self.schema(name)
        return self._sources[name].version()

    def read(self, name: str, columns: tuple[str, ...], unit: Unit = ROW) -> pa.Table:
        """These columns of a table, rows in their own order; with no columns the rows can still be counted.

        Where `unit` names an id column, at most `unit.rows` rows of each id come along, and none of a null id: such a
        row is nobody's, so nobody's loss would bound it. The id column itself comes only if it is among `columns`.
        """
        wanted = tuple(dict.fromkeys((*columns, unit.id))) if unit.id else columns
        self.check(name, wanted)
        table = self._sources[name].read(wanted)
        for column in wanted:
            if table.schema.field(column).type != (due := self._schemas[name].field(column).type):
                where = f"{self._party}/{name}"
                raise DataError(SourceUnusable(where=where, problem="changed", column=column, due=str(due)))
        if unit.id:
            table = table.filter(self._within(name, table.column(unit.id), unit)).select(list(columns))
        return table

    def within(self, name: str, unit: Unit) -> npt.NDArray[np.bool_]:
        """For each row whether `read` would hand it out for this unit, which is of an id column."""
        ids = self.read(name, (unit.id,)).column(unit.id)
        return np.asarray(self._within(name, ids, unit))

    def _within(self, name: str, ids: pa.ChunkedArray, unit: Unit) -> pa.Array | pa.ChunkedArray:
        known = pc.invert(pc.is_null(ids, nan_is_null=True))
        return _first_rows(ids, known, unit.rows) if most_equal(self.hashes(name, (unit.id,))) > unit.rows else known

    def hashes(self, name: str, columns: tuple[str, ...], how: RowHash = RowHash.WORDS) -> Words:
        """For each row 64 bits by what these columns hold. Kept until the table's version changes."""
        version, key = self.version(name), (name, columns, how)
        if key not in self._hashes or self._hashes[key][0] != version:
            self._hashes[key] = version, self._told_apart(name, columns, partial(hashes_of, how=how))
        return self._hashes[key][1]

    def digest(self, name: str, columns: tuple[str, ...]) -> str:
        """Of all that these columns hold."""
        version, key = self.version(name), (name, columns)
        if key not in self._digests or self._digests[key][0] != version:
            self._digests[key] = version, self._told_apart(name, columns, digest_of)
        return self._digests[key][1]

    def _told_apart(self, name: str, columns: tuple[str, ...], by: Callable[[pa.Table], T]) -> T:
        import duckdb

        table = self.read(name, columns)
        try:
            return by(table)
        except duckdb.Error:  # its message may quote a value
            raise DataError(
                f"the rows of {self._party}/{name} cannot be told apart",
                hint="ask its owner for columns of plain types",
            ) from None


def _in_metadata(where: str, given: Any) -> dict[str, Range]:
    """The ranges that the fields of an Arrow table declare."""
    if not isinstance(given, pa.Table):
        return {}
    declared = {field.name: (field.metadata or {}).get(b"range") for field in given.schema}
    return {column: _range(where, column, text.decode()) for column, text in declared.items() if text is not None}


def _range(where: str, column: str, text: str) -> Range:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise InvalidArgument(RangeUnusable(where=where, column=column, given=text)) from None
    return low, high


def _check_ranges(where: str, schema: pa.Schema, ranges: Mapping[str, Range]) -> None:
    for column, (low, high) in ranges.items():
        if column not in schema.names:
            raise UnknownName.among("column", column, schema.names, where=f"in {where}")
        if not -math.inf < low < high < math.inf:
            raise InvalidArgument(RangeUnusable(where=where, column=column, given=f"{low:g}, {high:g}"))


def _first_rows(ids: pa.ChunkedArray, known: pa.ChunkedArray, rows: int) -> pa.Array:
    """A mask of at most so many rows of each id that is known.

    Which rows of an id are kept is pseudo-random, and depends on its own rows and their order alone. Their position in
    the table, or the table's version, must not enter: one more id would then change the choice for all others, and the
    noise covers the rows of one id only.
    """
    numbered = pa.table({"id": ids.filter(known), "position": pa.array(np.flatnonzero(known.to_numpy()))})
    with connected() as connection:
        connection.register("numbered", numbered)
        kept = connection.sql(_BOUNDED, params=[rows]).to_arrow_table()
    mask = np.zeros(len(ids), dtype=bool)
    mask[kept.column("position").to_numpy()] = True
    return pa.array(mask)


_BOUNDED = """
    WITH counted AS (SELECT *, row_number() OVER (PARTITION BY id ORDER BY position) AS nth FROM numbered)
    SELECT position FROM counted
    QUALIFY row_number() OVER (PARTITION BY id ORDER BY hash(concat(hash(id), '.', nth)), nth) <= ?"""

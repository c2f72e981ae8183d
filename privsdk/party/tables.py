"""A party's tables: the store that hands out the columns asked for, and the sources they come from.

A new source is one entry of `SOURCES` or of `DECLARED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, InvalidArgument, UnknownName
from ..errors.sources import SourceUnusable
from ..governance.charges import Unit
from ..governance.policy import ROWS
from ..protocol.columns.arrow import table_of
from .sources.connection import connected
from .sources.csv import CsvFile, CsvTable
from .sources.dataset import DatasetTable, local_files
from .sources.duckdb_file import DuckDBFile, DuckDBTable
from .sources.files import FileSet, FilesTable
from .sources.parquet import ParquetFile, existing
from .sources.postgres import Postgres, PostgresTable
from .sources.source import Source
from .sources.view import SqlView, ViewTable


class InMemoryTable:
    """A table in memory: what a notebook gives, as Arrow, in the types that operations know."""

    def __init__(self, party: str, name: str, given: Any) -> None:
        self._table = table_of(f"{party}/{name}", given)

    @property
    def schema(self) -> pa.Schema:
        return self._table.schema

    def version(self) -> str:
        return "memory"  # it never changes

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        return self._table.select(list(columns))

    def scan(self) -> pa.Table:
        return self._table


# By the end of a path, or by the scheme of an address with its "://"; opened with a party, a table's name and the path.
SOURCES: Mapping[str, Callable[[str, str, str], Source]] = {
    ".parquet": ParquetFile,
    ".csv": CsvTable,
    ".csv.gz": CsvTable,
}
# By what declares it; opened with a party, a table's name and the declaration.
DECLARED: Mapping[type, Callable[[str, str, Any], Source]] = {
    CsvFile: lambda party, name, given: CsvTable(party, name, given.path, given.format),
    FileSet: FilesTable,
    DuckDBFile: DuckDBTable,
    Postgres: PostgresTable,
    SqlView: lambda party, name, given: ViewTable(party, name, given, opened=open_source),
}


def open_source(party: str, name: str, given: Any) -> Source:
    """The source of a table that was given as a path or address, as a declaration, or as a table in memory.

    Raises
    ------
    UnknownName, InvalidArgument
        There is no such file, it cannot be read or is of no known kind, or what was given is no table.
    """
    if declared := DECLARED.get(type(given)):
        return declared(party, name, given)
    if not isinstance(given, str | Path):
        files = local_files(given) if hasattr(given, "scanner") else None
        return InMemoryTable(party, name, given) if files is None else DatasetTable(party, name, given, files)
    text = str(given)
    for kind, source in SOURCES.items():
        if text.startswith(kind) if kind.endswith("://") else text.endswith(kind):
            return source(party, name, text)
    existing(text, f"{party}/{name}")
    raise InvalidArgument(f"{party}/{name}: {Path(text).name} is of no known kind", hint=f"known: {', '.join(SOURCES)}")


ROW = Unit()


class Store:
    """Named tables of one party.

    Parameters
    ----------
    party : str
    sources : mapping of table name to source
        Anything of `table_of`, the path of a Parquet or CSV file, or what `DECLARED` opens. Files and databases are
        read anew at each use.
    """

    def __init__(self, party: str, sources: Mapping[str, Any]) -> None:
        self._party = party
        self._hashes: dict[tuple[str, tuple[str, ...]], tuple[str, npt.NDArray[np.uint64]]] = {}
        self._sources = {name: open_source(party, name, given) for name, given in sources.items()}
        self._schemas = {name: source.schema for name, source in self._sources.items()}
        for name, schema in self._schemas.items():
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
            table = table.filter(_first_rows(table.column(unit.id), unit.rows)).select(list(columns))
        return table

    def hashes(self, name: str, columns: tuple[str, ...]) -> npt.NDArray[np.uint64]:
        """For each row 64 bits of the MD5 of what these columns hold, the same wherever and whenever it is computed.

        Kept until the table's version changes.
        """
        version, key = self.version(name), (name, columns)
        if key not in self._hashes or self._hashes[key][0] != version:
            self._hashes[key] = version, self._hash(name, self.read(name, columns))
        return self._hashes[key][1]

    def _hash(self, name: str, table: pa.Table) -> npt.NDArray[np.uint64]:
        import duckdb

        known = [_known_to_duckdb(column) for column in table.columns]
        # as columns c0, c1, ...: the text of a row does not depend on what they are called
        held = pa.table(known, names=[f"c{n}" for n in range(len(known))])
        try:
            with connected() as connection:
                connection.register("held", held)
                rows = connection.sql("SELECT md5_number_lower(CAST(held AS VARCHAR)) AS hash FROM held")
                result: npt.NDArray[np.uint64] = rows.to_arrow_table()["hash"].to_numpy()
        except duckdb.Error:  # its message may quote a value
            raise DataError(
                f"the rows of {self._party}/{name} cannot be told apart",
                hint="ask its owner for columns of plain types",
            ) from None
        return result


def _known_to_duckdb(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Rows as different as they are, in types that DuckDB has: no half precision and no unions, and of decimals only
    those of up to 38 digits."""
    known = _known_type(column.type)
    if known == column.type:
        return column
    try:
        return column.cast(known)
    except pa.ArrowNotImplementedError:
        return pa.chunked_array([pa.array(map(repr, chunk.to_pylist()), pa.string()) for chunk in column.chunks])


def _known_type(type_: pa.DataType) -> pa.DataType:
    kinds, known = pa.types, type_
    if kinds.is_float16(type_):
        known = pa.float32()
    elif kinds.is_decimal256(type_) or kinds.is_union(type_) or (kinds.is_decimal(type_) and type_.scale < 0):
        known = pa.string()
    elif kinds.is_struct(type_):
        known = pa.struct([_known_field(field) for field in type_])
    elif kinds.is_map(type_):
        known = pa.map_(_known_field(type_.key_field), _known_field(type_.item_field))
    elif kinds.is_fixed_size_list(type_):
        known = pa.list_(_known_field(type_.value_field), type_.list_size)
    elif kinds.is_list(type_) or kinds.is_large_list(type_):
        known = (pa.list_ if kinds.is_list(type_) else pa.large_list)(_known_field(type_.value_field))
    return known


def _known_field(field: pa.Field) -> pa.Field:
    return field.with_type(_known_type(field.type))


def _first_rows(ids: pa.ChunkedArray, rows: int) -> pa.Array:
    """A mask of at most so many rows of each id, and of none whose id is null or NaN.

    Which rows of an id are kept is pseudo-random, and depends on its own rows and their order alone. Their position in
    the table, or the table's version, must not enter: one more id would then change the choice for all others, and the
    noise covers the rows of one id only.
    """

    known = pc.invert(pc.is_null(ids, nan_is_null=True))
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

"""One SELECT of an owner in DuckDB. It is never a caller's.

Where each row of its result is made of one row of one relation, whatever else is asked and whenever, only the columns
that are wanted are read, anew at each use. That is found in its syntax tree: what is not known to be so is not. Any
other result, such as of a join, of groups, of LIMIT or of now(), is computed once for each version of what it reads,
and kept in memory: rows would else come in another order, or be others, between two reads of one run.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...errors import DataError, InvalidArgument
from ...errors.sources import ChangedWhileRead, QueryFailed, SourceUnusable
from ...protocol.columns.arrow import plain
from .connection import identifier

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger("privsdk.party")

_OF_ONE_ROW = {  # classes of expressions whose value is one row's
    *("COLUMN_REF", "CONSTANT", "FUNCTION", "CAST", "TYPE", "CASE"),
    *("COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "STAR"),
}
_TEXT = {"TIME WITH TIME ZONE", "BIT", "BIGNUM"}  # of which Arrow has the offset or the digits not
_SELECT = {"type", "select_list", "from_table", "where_clause", "aggregate_handling", "cte_map"}
_TABLE = {"type", "alias", "query_location", "query_location_length", "table_name", "schema_name", "qualified_name"}
# Functions of what they are given alone: those with forms that are not are so of zoned times, whose zone is fixed here;
# but of clocks all forms are, except of age, whose form of one date takes today for the other.
_CONSISTENT = """SELECT function_name FROM duckdb_functions() WHERE function_name <> 'age' GROUP BY ALL
    HAVING bool_and(function_type = 'scalar' AND stability <> 'VOLATILE') AND bool_or(stability = 'CONSISTENT')"""


class Query:
    """Of table `where`; `connect` opens a sealed connection, and `version` changes whenever its result may.

    `relations` are the names, part by part and in lower case, of those in it whose rows have an order that stays.
    """

    def __init__(
        self,
        where: str,
        sql: str,
        *,
        connect: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
        version: Callable[[], str],
        relations: Collection[tuple[str, ...]],
    ) -> None:
        import duckdb

        self._where, self._connect, self._version = where, connect, version
        self._sql = sql.strip().rstrip(";")
        self._as_text: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._kept: tuple[str, str, pa.Table] | None = None
        try:
            with connect() as connection:
                self._by_row = self._is_by_row(connection, relations)
                rows = connection.sql(f"FROM (\n{self._sql}\n) LIMIT 0")
                self._as_text = frozenset(
                    name for name, type_ in zip(rows.columns, rows.types, strict=True) if str(type_) in _TEXT
                )
                self.schema: pa.Schema = self._rows(connection, rows.columns, " LIMIT 0").schema
        except duckdb.Error as error:  # the owner's eyes: no row was read yet
            raise InvalidArgument(QueryFailed(where=where, database="DuckDB", words=str(error))) from None

    def version(self) -> str:
        return self._version() if self._by_row else self._result()[0]

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        names = columns or (self.schema.names[0],)  # so that the rows can still be counted
        return self._read(names) if self._by_row else self._result()[1].select(list(names))

    def scan(self) -> pa.Table:
        return self.read(tuple(self.schema.names))

    def _result(self) -> tuple[str, pa.Table]:
        """The whole of it, and its version."""
        with self._lock:
            version = self._version()
            if self._kept is None or self._kept[0] != version:
                self._kept = version, secrets.token_hex(8), self._read(self.schema.names)
                if self._version() != version:
                    self._kept = None
                    raise DataError(ChangedWhileRead(where=self._where))
            return f"{version}-{self._kept[1]}", self._kept[2]

    def _read(self, names: Collection[str]) -> pa.Table:
        import duckdb

        try:
            with self._connect() as connection:
                return self._rows(connection, names)
        except duckdb.Error as error:
            raise failed_later(self._where, "DuckDB", error) from None

    def _rows(self, connection: duckdb.DuckDBPyConnection, names: Collection[str], more: str = "") -> pa.Table:
        # names are quoted identifiers of the query's own schema, and the query is the owner's
        quoted = {name: identifier([name]) for name in names}
        wanted = ", ".join(f"{q}::VARCHAR AS {q}" if name in self._as_text else q for name, q in quoted.items())
        return plain(connection.sql(f"SELECT {wanted} FROM (\n{self._sql}\n){more}").to_arrow_table())  # noqa: S608

    def _is_by_row(self, connection: duckdb.DuckDBPyConnection, relations: Collection[tuple[str, ...]]) -> bool:
        """Whether each row is made of one row of one relation, by nothing but what that row holds."""
        ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [self._sql]).fetchall()
        parsed = json.loads(text)
        if parsed.get("error_type") == "parser":  # DuckDB says where
            connection.execute(self._sql)
        if len(parsed.get("statements", ())) != 1:
            raise InvalidArgument(SourceUnusable(where=self._where, problem="statement"))
        node = parsed["statements"][0]["node"]
        table = node.get("from_table") or {}
        path = table.get("qualified_name", {}).get("path", ())
        if (
            node["type"] != "SELECT_NODE"
            or table["type"] != "BASE_TABLE"
            or tuple(map(str.lower, path)) not in relations
            or node["aggregate_handling"] != "STANDARD_HANDLING"
            or node["cte_map"]["map"]
            or any(value for key, value in node.items() if key not in _SELECT)
            or any(value for key, value in table.items() if key not in _TABLE)
        ):
            return False
        known = connection.sql(f"SELECT * FROM {identifier(path)} LIMIT 0").columns  # noqa: S608
        columns = {name.lower() for name in known}
        functions = {name for (name,) in connection.sql(_CONSISTENT).fetchall()}
        return all(
            each["class"] in _OF_ONE_ROW
            and (each["class"] != "COLUMN_REF" or not columns.isdisjoint(map(str.lower, each["column_names"])))
            and (each["class"] != "FUNCTION" or each["function_name"] in functions)
            for each in _expressions([node["select_list"], node["where_clause"]])
        )


def _expressions(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from _expressions(each)


def select_of(where: str, table: str, query: str) -> str:
    """The SELECT of a table, by its name with or without its schema's, or of a query."""
    if bool(table) == bool(query):
        names = ("table", "query") if table else ()
        due = 'table = "..." and query = "SELECT ..."'
        raise InvalidArgument(SourceUnusable(where=where, problem="declared", names=names, due=due))
    return query or f"SELECT * FROM {identifier(table.split('.'))}"  # noqa: S608 - quoted, and the owner's


def failed_later(where: str, database: str, error: Exception) -> DataError:
    """What a caller is told of a query that fails when rows are read. The log has the database's words, without what
    may be values in them."""
    words = re.sub(r"['\"].*['\"]|\d+", "...", str(error).split("\n", 1)[0])
    log.error("the query of %s fails: %s", where, words)
    return DataError(QueryFailed(where=where, database=database))

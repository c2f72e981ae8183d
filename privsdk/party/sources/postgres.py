"""Tables and queries of PostgreSQL, by ADBC, which pip install 'privsdk[postgres]' brings.

Of a row one more value is fetched, a 64-bit hash of its text by the server. Rows are sorted by it, because a server
promises no order, and the sum of all is the version, so that every read says which version it was of. The hashes are
asked for again only when a transaction was committed since, or is under way.

Types are those of Arrow. numeric(12, 2) is decimal128(12, 2); without precision it is decimal128(38, s) for the most
digits s behind the point that it had at opening. money is numeric, and what Arrow has no type for is text, as
PostgreSQL writes it.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError, InvalidArgument, MissingLibrary
from ...errors.calls import verb
from ...errors.sources import QueryFailed, SourceUnusable, Unusable
from ...protocol.columns.arrow import plain
from .connection import identifier
from .query import failed_later, select_of

log = logging.getLogger("privsdk.party")

_ROW = identifier(["privsdk row"])
_HASH = f"hashtextextended({_ROW}::text, 0)"
_SESSION = """SELECT set_config('transaction_read_only', 'on', true), set_config('TimeZone', 'UTC', true),
    set_config('DateStyle', 'ISO', true), set_config('extra_float_digits', '1', true)"""
_INFINITE = {  # by width, as the driver has it: counted from 1970 in place of 2000, beyond what the type holds
    bits: [-(1 << bits - 1) + since, -(1 << bits - 1) + since - 1]
    for bits, since in ((32, 10_957), (64, 946_684_800_000_000))
}
_PROBLEMS: tuple[tuple[str, Unusable], ...] = (  # what libpq says, whose words may quote the connection string
    (r"authentication failed|no password supplied|no pg_hba.conf entry", "refused"),
    (r"FATAL: +(database|role) .* does not exist", "database"),
    (
        r"ConnectionString refused|could not translate host|timeout expired|timed out|Is the server running",
        "unreachable",
    ),
)


class ConnectionString(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the connection string is: in a variable of the environment, in a file, or here."""

    env: str = ""
    file: str = ""
    string: str = ""

    def __repr__(self) -> str:
        return f"ConnectionString({self.place})"

    @property
    def place(self) -> str:
        return f"the variable {self.env}" if self.env else f"the file {Path(self.file).name}" if self.file else "string"


class Postgres(NamedTuple):
    """A table of PostgreSQL, or a query."""

    connection: ConnectionString
    table: str = ""
    query: str = ""


@verb
def declared(*, env: str = "", file: str | Path = "", string: str = "", table: str = "", query: str = "") -> Postgres:
    """A table of PostgreSQL for `ps.embedded`, or a query; needs pip install 'privsdk[postgres]'.

    Parameters
    ----------
    env, file, string : str
        Where the connection string is: in this variable of the environment, in this file, or in the notebook itself,
        which then holds the password. It is as PostgreSQL takes it: postgresql://user:password@host:5432/database.
    table : str
        Such as "cards" or "public.cards".
    query : str
        In place of a table: one SELECT, in PostgreSQL's words.

    Examples
    --------
    >>> query = "SELECT id, paid::numeric(12, 2) AS paid FROM visits WHERE NOT test"
    >>> fed = ps.embedded(north=ps.postgres(env="VISITS_DB", query=query))
    """
    return Postgres(ConnectionString(env=env, file=str(file), string=string), table, query)


class _Field(NamedTuple):
    """A column as it is asked for, and its type."""

    sql: str
    type_: pa.DataType


class PostgresTable:
    """Read anew at each use, in a transaction of its own that can write nothing."""

    def __init__(self, where: str, given: Postgres) -> None:
        self._where, self._connection = where, given.connection
        said = tuple(name for name in ConnectionString.__struct_fields__ if getattr(given.connection, name))
        if len(said) != 1:
            due = "env, file and string"
            raise InvalidArgument(SourceUnusable(where=self._where, problem="declared", names=said, due=due))
        self._driver = _driver(self._where)
        self._sql = f"({select_of(self._where, given.table, given.query).strip().rstrip(';')}\n) AS {_ROW}"
        self._lock = threading.Lock()
        self._seen = ("", "")  # the server's snapshot, and the version in it
        self._versions = 0  # that were seen: one that comes back is another
        self._warn()
        with self._asking(opening=True) as ask:
            described = ask(f"SELECT * FROM {self._sql} LIMIT 0").schema  # noqa: S608 - here and below the owner's own
            self._fields = {field.name: self._field(ask, field) for field in described}
            table = ask(f"SELECT {self._listed(described.names)} FROM {self._sql} LIMIT 0")  # noqa: S608
            self.schema: pa.Schema = self._typed(table, described.names).schema

    def version(self) -> str:
        with self._asking() as ask:
            now = ask("SELECT pg_current_snapshot()::text")[0][0].as_py()
            with self._lock:
                if self._seen[0] == now:
                    return self._seen[1]
            totals = f"SELECT pg_current_snapshot()::text, count(*), sum({_HASH})::text FROM {self._sql}"  # noqa: S608
            now, rows, total = (column[0].as_py() for column in ask(totals))
        return self._observed(now, rows, int(total or 0))

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        names = columns or (self.schema.names[0],)  # so that the rows can still be counted
        with self._asking() as ask:
            table = ask(f"SELECT {self._listed(names)}, {_HASH} FROM {self._sql}")  # noqa: S608
        hashes = table[-1].to_numpy()
        self._observed("", len(hashes), sum(map(int, hashes.tolist())))
        return self._typed(table.take(np.argsort(hashes, kind="stable")), names)

    def scan(self) -> pa.Table:
        return self.read(tuple(self.schema.names))

    def _observed(self, snapshot: str, rows: int, total: int) -> str:
        """The version that these rows are of."""
        found = f"{rows}-{total}"
        with self._lock:
            if self._seen[1].partition(".")[0] != found:
                self._versions += 1
                self._seen = snapshot, f"{found}.{self._versions}"
            elif snapshot:
                self._seen = snapshot, self._seen[1]
            return self._seen[1]

    def _listed(self, names: Any) -> str:
        return ", ".join(f"{self._fields[name].sql} AS {identifier([name])}" for name in names)

    def _field(self, ask: Any, field: pa.Field) -> _Field:
        said, name = field.metadata or {}, identifier([field.name])
        kind, modifier = said.get(b"POSTGRESQL:type", b"").decode(), int(said.get(b"POSTGRESQL:typmod", -1))
        if kind == "numeric" and modifier >= 0:
            modifier -= 4  # precision and scale, as PostgreSQL packs them; the scale has 11 bits and a sign
            precision, scale = modifier >> 16 & 0xFFFF, ((modifier & 0x7FF) ^ 0x400) - 0x400
            precision, scale = precision - min(scale, 0), max(scale, 0)  # tens and hundreds are whole numbers, too
            return _Field(name, pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale))
        if kind in ("numeric", "money"):
            scale = ask(f"SELECT max(scale({name}::numeric)) FROM {self._sql}")[0][0].as_py() or 0  # noqa: S608
            return _Field(f"{name}::numeric", pa.decimal128(38, min(scale, 38)))
        if kind == "oid":  # of 32 bits without a sign, which ADBC takes for one with
            return _Field(f"{name}::bigint", pa.int64())
        if "opaque" in str(field.type):
            return _Field(f"{name}::text", pa.string())
        return _Field(name, field.type)

    def _typed(self, table: pa.Table, names: Any) -> pa.Table:
        columns = []
        for name, column in zip(names, table.columns, strict=False):
            type_ = self._fields[name].type_
            try:
                columns.append(_values(column, type_))
            except pa.ArrowException:  # its message may quote a value
                problem = SourceUnusable(where=self._where, problem="value", column=name, due=str(type_))
                raise DataError(problem) from None
        return plain(pa.table(columns, names=list(names)))

    @contextmanager
    def _asking(self, *, opening: bool = False) -> Iterator[Any]:
        """A function from a query to its Arrow table, all of one connection."""
        connection = self._connected()
        try:
            with connection.cursor() as cursor:
                cursor.execute(_SESSION)
                yield lambda sql: (cursor.execute(sql), cursor.fetch_arrow_table())[1]
        except self._driver.Error as error:
            if opening:  # the owner's eyes
                words = re.sub(r"\s*Query was: .*", "", str(error), flags=re.DOTALL)
                raise InvalidArgument(QueryFailed(where=self._where, database="PostgreSQL", words=words)) from None
            raise failed_later(self._where, "PostgreSQL", error) from None
        finally:
            connection.close()

    def _connected(self) -> Any:
        try:
            return self._driver.connect(self._string())
        except self._driver.Error as error:
            found = (problem for words, problem in _PROBLEMS if re.search(words, str(error)))
            raise InvalidArgument(SourceUnusable(where=self._where, problem=next(found, "string"))) from None

    def _string(self) -> str:
        """Read anew for each connection: passwords change."""
        of, string = self._connection, self._connection.string
        if of.env:
            string = os.environ.get(of.env, "")
        elif of.file:
            try:
                string = Path(of.file).read_text().strip()
            except OSError:
                string = ""
        if not string:
            raise InvalidArgument(SourceUnusable(where=self._where, problem="connection", name=of.place))
        return string

    def _warn(self) -> None:
        of = self._connection
        if re.search(r"password\s*=|://[^/@]*:[^/@]*@", of.string):
            log.warning("%s: its password stands in the clear; give env = or file = in place of string =", self._where)
        if of.file and Path(of.file).exists() and Path(of.file).stat().st_mode & 0o077:
            log.warning("%s: others than its owner may read %s; chmod 600", self._where, of.place)


def _values(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """As values of the type. Raises ArrowException where one is none: NaN and infinity have no decimal or time."""
    if pa.types.is_decimal(type_):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string()).cast(type_)
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        infinite = pa.array(_INFINITE[type_.bit_width], f"int{type_.bit_width}").cast(type_)
        if pc.any(pc.is_in(column, infinite)).as_py():
            raise pa.ArrowInvalid("infinity")
    return column


def _driver(where: str) -> Any:
    try:
        import adbc_driver_postgresql.dbapi as driver
    except ImportError:
        raise MissingLibrary(SourceUnusable(where=where, problem="driver")) from None
    return driver

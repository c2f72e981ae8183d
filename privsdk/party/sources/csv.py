"""CSV files: read as their owner declares them. What is not declared is worked out from the whole file, and where more
than one reading fits, the file is refused with all of them and the line to add.

Every column is read as text and then converted, so that an error names its row and column, never a value. Undeclared
columns are, whichever is the first that all values fit:

    bool              true, false
    int64, uint64     whole numbers without leading zeros; with them, and beyond 64 bits, text
    double            numbers with a decimal point or an exponent
    date32[day]       2024-01-31, or one order of day, month and year alone fits
    timestamp[us]     2024-01-31 12:00:00, also with T, a fraction, and an offset (then in UTC)
    time64[us]        12:00, 12:00:00
    string            anything

Empty fields are null. Rows count from 1, without the header.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.csv

from ...errors import InvalidArgument, UnknownName
from ...errors.sources import FileMisread, Misread
from .readings import TEXT, Reading, fits, readings_of, type_named
from .source import existing, unreadable, version_of

_HEAD = 1 << 18  # bytes that delimiter and encoding are seen in
_DELIMITERS = (",", ";", "\t", "|")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class CsvFormat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a CSV file is to be read.

    Parameters
    ----------
    types : mapping of column to type, optional
        Arrow's names: "int64", "double", "string", "bool", "date32", "timestamp[us]", "timestamp[us, tz=UTC]",
        "decimal128(12, 2)" and so on. Other columns are worked out.
    dates : str or mapping of column to str, optional
        The format of dates and of timestamps that are declared so, as of strptime: "%d/%m/%Y". Without it ISO 8601.
    decimal : "." or ","
        The decimal mark.
    encoding : str, optional
        As Python calls it: "latin-1", "utf-16". Default UTF-8, or what the file's byte order mark says.
    nulls : list of str
        What stands for null where it is not in quotes.
    delimiter : str, optional
        One character; worked out of comma, semicolon, tab and bar.
    header : bool, optional
        Whether the first row has the names of the columns, which else are column0, column1, ...; worked out.
    """

    types: dict[str, str] = {}
    dates: str | dict[str, str] = {}
    decimal: Literal[".", ","] = "."
    encoding: str = ""
    nulls: tuple[str, ...] = ("",)
    delimiter: str = ""
    header: bool | None = None

    def format_of(self, column: str) -> str:
        return self.dates if isinstance(self.dates, str) else self.dates.get(column, "")


PLAIN = CsvFormat()


class CsvFile(NamedTuple):
    """A CSV file and how it is to be read."""

    path: Path
    format: CsvFormat


def declared(path: str | Path, **how: Any) -> CsvFile:
    """A CSV file for `ps.embedded`, with how it is to be read.

    Parameters
    ----------
    path : str or path
    types, dates, decimal, encoding, nulls, delimiter, header
        As in `csv` of a table in party.toml; see `CsvFormat`.

    Examples
    --------
    >>> ps.embedded(north=ps.csv("cards.csv", types={"born": "date32"}, dates="%m/%d/%Y", delimiter=";"))
    """
    return CsvFile(Path(path), declared_format("ps.csv", how))


def declared_format(verb: str, how: Mapping[str, Any]) -> CsvFormat:
    """How files are to be read, as arguments of a verb say."""
    try:
        return msgspec.convert(how, CsvFormat)
    except msgspec.ValidationError as error:
        fields = ", ".join(CsvFormat.__struct_fields__)
        raise InvalidArgument(f"{verb}: {error}", hint=f"known: {fields}") from None


class CsvTable:
    """One file, by its very name, read anew at each use; names and types are those of when it was opened."""

    def __init__(self, where: str, given: str | Path, format_: CsvFormat = PLAIN) -> None:
        self._where = where
        self._path = existing(given, where)
        self._format = format_
        declared_types = {column: type_named(text, f"{where}.{column}") for column, text in format_.types.items()}
        self._encoding, self._delimiter, names = self._head()
        self._names = tuple(names) if format_.header is not False else tuple(f"column{n}" for n in range(len(names)))
        for column in declared_types:
            if column not in self._names:
                raise UnknownName.among("column", column, self._names, where=f"in {self._path.name}")
        worked_out = self._worked_out([column for column in self._names if column not in declared_types])
        self._readings = {
            column: Reading(declared_types[column], format_.format_of(column))
            if column in declared_types
            else worked_out[column]
            for column in self._names
        }
        if format_.header is None and self._header_is_data(names):
            raise self._misread("header", declare="header = false")

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(column, reading.type_) for column, reading in self._readings.items()])

    def version(self) -> str:
        return version_of(self._path, self._where)

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        names = columns or self._names[:1]  # so that the rows can still be counted
        text = self._text(names)
        return pa.table([self._values(text.column(name), name) for name in names], names=list(names))

    def scan(self) -> pa.Table:
        return self.read(self._names)

    def _head(self) -> tuple[str, str, list[str]]:
        """Encoding, delimiter and first row."""
        try:
            with pa.input_stream(str(self._path)) as stream:
                head = stream.read(_HEAD)
        except (OSError, pa.ArrowException):
            raise unreadable(self._path, self._where) from None
        encoding = self._format.encoding or next(
            (name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8"
        )
        try:
            text = codecs.getincrementaldecoder(encoding)("replace").decode(head).lstrip("\ufeff")
        except LookupError:
            raise self._misread("encoding", declare='encoding = "latin-1"') from None
        if "\0" in text:
            raise self._misread("encoding", declare='encoding = "utf-16"')
        rows = {mark: _rows(text, mark, cut=len(head) == _HEAD) for mark in self._format.delimiter or _DELIMITERS}
        if not any(rows.values()):
            raise self._misread("empty")
        fitting = [mark for mark, found in rows.items() if len({len(row) for row in found}) == 1 < len(found[0])]
        fitting = fitting or [mark for mark, found in rows.items() if len(found[0]) > 1] or [next(iter(rows))]
        if len(fitting) > 1:
            raise self._misread("delimiter", readings=tuple(f"delimiter = {json.dumps(mark)}" for mark in fitting))
        first = rows[fitting[0]][0]
        if self._format.header is not False and ("" in first or len(set(first)) < len(first)):
            raise self._misread("names", declare="header = false")
        return encoding, fitting[0], first

    def _text(self, names: Sequence[str]) -> pa.Table:
        """Columns as text, null where it says so outside quotes."""
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            return "error"

        header = self._format.header is not False
        try:
            return pyarrow.csv.read_csv(
                self._path,
                pyarrow.csv.ReadOptions(
                    column_names=self._names,
                    skip_rows_after_names=int(header),
                    encoding=self._encoding,
                    use_threads=False,
                ),
                pyarrow.csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=note),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self._names, pa.string()),
                    include_columns=list(names),
                    null_values=list(self._format.nulls),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except (pa.ArrowException, OSError, UnicodeError) as error:  # its message may quote a line
            if ragged:
                row, due = ragged[0], len(self._names)
                raise self._misread(
                    "ragged", row=(row.number or 0) - header, readings=(str(row.actual_columns), str(due))
                ) from None
            if isinstance(error, UnicodeError) or "UTF8" in str(error):
                found = re.search(r"Row #(\d+)", str(error))
                raise self._misread(
                    "encoding", row=int(found[1]) - header if found else 0, declare='encoding = "latin-1"'
                ) from None
            raise unreadable(self._path, self._where) from None

    def _values(self, text: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
        reading = self._readings[column]
        try:
            return reading.convert(text, self._format.decimal)
        except pa.ArrowException:
            row = _first_wrong(text, reading, self._format.decimal) + 1
            raise self._misread(
                "type", column=column, row=row, readings=(str(reading.type_),), declare=TEXT.declaration(column)
            ) from None

    def _worked_out(self, columns: Sequence[str]) -> dict[str, Reading]:
        """The one reading of each, from one pass over the file."""
        found: dict[str, Reading] = {}
        text = self._text(columns) if columns else pa.table({})
        for column in columns:
            first, *others = readings_of(text.column(column), self._format.decimal)
            if others:
                declarations = tuple(each.declaration(column) for each in (first, *others))
                raise self._misread("readings", column=column, readings=declarations)
            found[column] = first
        return found

    def _header_is_data(self, names: Sequence[str]) -> bool:
        """Whether the first row reads as one more of data: what is not text below is not text in it."""
        typed = [(pa.chunked_array([[name]]), self._readings[name]) for name in names if self._readings[name] != TEXT]
        return bool(typed) and all(fits(reading, name, self._format.decimal) for name, reading in typed)

    def _misread(self, problem: Misread, **more: Any) -> InvalidArgument:
        return InvalidArgument(FileMisread(where=self._where, file=self._path.name, problem=problem, **more))


def _rows(text: str, delimiter: str, *, cut: bool) -> list[list[str]]:
    """The first rows, without blank ones and without a last one that may be cut."""
    rows = list(islice(csv.reader(StringIO(text), delimiter=delimiter), 100))
    return [row for row in (rows[:-1] if cut and len(rows) > 1 else rows) if row]


def _first_wrong(text: pa.ChunkedArray, reading: Reading, decimal: str) -> int:
    """The place of the first value that is not read so: of the prefixes, the shorter ones are."""
    low, high = 0, len(text)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(reading, text.slice(low, middle - low), decimal) else (low, middle)
    return low

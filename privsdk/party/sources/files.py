"""Several files as one table: a folder, or a pattern, that its owner declares as such. Rows come file by file, in the
order of the files' paths.

All files have the same columns of the same types. In a folder every file counts, but those whose names begin with a
point or an underscore: one of another kind is refused, as is a folder below it that `hive` does not declare. Columns of
`hive` are those that the names of folders say, as in year=2024/.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.calls import verb
from ...errors.sources import SourceUnusable, Unusable
from .csv import PLAIN, CsvFormat, CsvTable, declared_format
from .parquet import ParquetFile
from .readings import type_named
from .source import Source

KINDS = (".parquet", ".csv", ".csv.gz")
_NULL = "__HIVE_DEFAULT_PARTITION__"


class FileSet(NamedTuple):
    """A folder or a pattern, the types of columns that folders' names say, and how files of CSV are to be read."""

    pattern: str | Path
    hive: Mapping[str, str] = {}
    csv: CsvFormat = PLAIN


@verb
def declared(pattern: str | Path, *, hive: Mapping[str, str] | None = None, **how: Any) -> FileSet:
    """Several Parquet or CSV files as one table, for `ps.embedded`.

    Parameters
    ----------
    pattern : str or path
        A folder, of which every file counts, or a pattern: ``sales/*.parquet``, ``sales/**/*.csv``.
    hive : mapping of column to type, optional
        The columns that the names of folders say, as in year=2024/month=3/, from the outermost on.
    types, dates, decimal, encoding, nulls, delimiter, header
        As in `ps.csv`.

    Examples
    --------
    >>> fed = ps.embedded(north=ps.files("sales", hive={"year": "int32"}))
    """
    return FileSet(pattern, hive or {}, declared_format("ps.files", how))


class FilesTable:
    """Looked up anew at each use: a file that came, went or changed makes another version."""

    def __init__(self, where: str, given: FileSet) -> None:
        self._where = where
        self._pattern, self._csv = str(given.pattern), given.csv
        self._hive = {column: type_named(type_, f"{self._where}.{column}") for column, type_ in given.hive.items()}
        self._open: dict[Path, Source] = {}
        first = next(iter(self._files().values()))
        self.schema = pa.schema([*first.schema, *(pa.field(column, type_) for column, type_ in self._hive.items())])

    def version(self) -> str:
        versions = [f"{path} {source.version()}" for path, source in self._files().items()]
        return hashlib.sha256("\n".join(versions).encode()).hexdigest()

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        names = columns or (self.schema.names[0],)  # so that the rows can still be counted
        own = tuple(name for name in names if name not in self._hive)
        tables = []
        for path, source in self._files().items():
            table, said = source.read(own), self._said(path)
            arrays = [table[name] if name in own else pa.repeat(said[name], len(table)) for name in names]
            tables.append(pa.table(arrays, names=list(names)))
        return pa.concat_tables(tables)

    def scan(self) -> Any:
        import pyarrow.dataset

        paths = list(self._files())
        if paths[0].suffix != ".parquet":
            return self.read(tuple(self.schema.names))
        hive = pyarrow.dataset.partitioning(pa.schema(list(self._hive.items())), flavor="hive") if self._hive else None
        return pyarrow.dataset.dataset([str(path) for path in paths], format="parquet", partitioning=hive)

    def _files(self) -> dict[Path, Source]:
        """By their paths, in their order. Those that are new are opened, and must have the columns of the first."""
        paths = self._found()
        opened = {path: self._open.get(path) or self._opened(path) for path in paths}
        due = {field.name: str(field.type) for field in opened[paths[0]].schema}
        for path in paths:
            if path not in self._open:
                found = {field.name: str(field.type) for field in opened[path].schema}
                for column in dict.fromkeys((*due, *found)):
                    if due.get(column) != found.get(column):
                        has, has_not = found.get(column, ""), due.get(column, "")
                        raise self._unusable("columns", name=path.name, column=column, found=has, due=has_not)
                self._said(path)
        self._open = opened
        return opened

    def _found(self) -> list[Path]:
        folder = Path(self._pattern)
        if folder.is_dir():
            places = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
            paths = [folder / place for place in places if not any(part[0] in "._" for part in place.parts)]
        else:
            folder = folder.parent
            paths = [path for path in map(Path, glob.glob(self._pattern, recursive=True)) if path.is_file()]
        if not paths:
            of = Path(self._pattern).name if self._open else self._pattern  # later callers see it, too
            raise self._unusable("no-match", name=of, due=", ".join(f"*{kind}" for kind in KINDS))
        kinds = {path: next((kind for kind in KINDS if path.name.endswith(kind)), "") for path in paths}
        usual = max(filter(None, kinds.values()), key=[*kinds.values()].count, default="")
        for path, kind in sorted(kinds.items()):
            if not kind or kind != usual:
                raise self._unusable("mixed", name=path.name, due=", ".join(KINDS))
            if folder == Path(self._pattern) and len(path.relative_to(folder).parts) > 1 + len(self._hive):
                raise self._unusable("below", name=str(path.relative_to(folder)))
        return sorted(path.absolute() for path in paths)

    def _opened(self, path: Path) -> Source:
        if path.suffix == ".parquet":
            return ParquetFile(self._where, path)
        return CsvTable(self._where, path, self._csv)

    def _said(self, path: Path) -> dict[str, pa.Scalar]:
        """What the names of the folders that it lies in say."""
        texts = dict(part.split("=", 1) for part in path.parts[:-1] if "=" in part)
        said = {}
        for column, type_ in self._hive.items():
            try:
                text = None if texts[column] == _NULL else unquote(texts[column])
                said[column] = pa.scalar(text, pa.string()).cast(type_)
            except (KeyError, pa.ArrowException):
                raise self._unusable("hive", name=path.name, column=column, due=str(type_)) from None
        return said

    def _unusable(self, problem: Unusable, **more: Any) -> InvalidArgument:
        return InvalidArgument(SourceUnusable(where=self._where, problem=problem, **more))

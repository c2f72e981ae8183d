"""What is tabular comes out as an Arrow table, and from there as a pandas DataFrame, in one way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..atomic import SHARED, replacing
from ..errors import DataError, MissingLibrary, UnknownName
from ..errors.inputs import NotWritable
from .cards import Displayed, page_of

if TYPE_CHECKING:
    import pandas as pd


def _write_arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


PAGE = ".html"
_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    ".arrow": _write_arrow,
    ".csv": lambda table, path: pyarrow.csv.write_csv(table, path),
    ".parquet": lambda table, path: pyarrow.parquet.write_table(table, path),
}


class Tabular(ABC):
    """Mixin: `to_arrow()`, which a class gives, and `to_pandas()` and `save()`, which follow from it."""

    __slots__ = ()

    @abstractmethod
    def to_arrow(self) -> pa.Table: ...

    def to_pandas(self) -> pd.DataFrame:
        """The same as a DataFrame; pandas is not a dependency of privsdk.

        Raises
        ------
        MissingLibrary
            pandas is not installed.
        """
        try:
            import pandas  # noqa: F401 - pyarrow would say less
        except ImportError:
            raise MissingLibrary(
                "to_pandas() needs pandas, which is not installed",
                hint="pip install pandas, or use to_arrow(): DuckDB and polars read Arrow tables as they are",
            ) from None
        return self.to_arrow().to_pandas()

    def save(self, path: str | Path) -> None:
        """Write it to a file, in the place of one of that name: .csv, .parquet, .arrow, or .html for a page of it.

        Raises
        ------
        UnknownName
            The name ends otherwise.
        DataError
            CSV has no form for it, such as for lists.
        """
        path = Path(path)
        if path.suffix not in (*_WRITERS, PAGE):
            raise UnknownName.among("kind of file", path.suffix, (*_WRITERS, PAGE))
        page = page_of(self._card()) if path.suffix == PAGE and isinstance(self, Displayed) else None
        table = self.to_arrow() if page is None else None
        with replacing(path, mode=SHARED) as draft:
            if page is not None:
                draft.write_text(page, encoding="utf-8")
            else:
                try:
                    _WRITERS[path.suffix](table, draft)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                    raise DataError(NotWritable(kind=path.suffix)) from None


def table_of(columns: Mapping[str, pa.DataType], rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """An Arrow table of these columns, from rows with a value for each."""
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, schema=pa.schema(columns))

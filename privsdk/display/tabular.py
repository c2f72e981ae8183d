"""What is tabular comes out as an Arrow table, and from there as a pandas DataFrame, in one way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import MissingLibrary

if TYPE_CHECKING:
    import pandas as pd


class Tabular(ABC):
    """Mixin: `to_arrow()`, which a class gives, and `to_pandas()`, which follows from it."""

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


def table_of(columns: Mapping[str, pa.DataType], rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """An Arrow table of these columns, from rows with a value for each."""
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, schema=pa.schema(columns))

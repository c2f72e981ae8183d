"""Covariances and correlations, as verbs of several faces return them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..display.cards import Card, Displayed, Grid, at_most, cell
from ..display.tabular import Tabular
from ..protocol.groups import label_names


class Matrix(Displayed, Tabular):
    """Covariances or correlations of each two columns, over all complete rows.

    Attributes
    ----------
    columns : tuple of str
    values : float64 array of shape (columns, columns)
        NaN where there is none: too few rows, or for a correlation a column that is constant to within its grid.
    errors : float64 array of the same shape
        Bounds on the differences from exact arithmetic; NaN where the value is.
    count : int
        Rows in which no column is null.
    undefined : tuple of str
        Columns that have no correlations because they are constant to within their grid.
    capped : tuple of str
        Columns of which their owners capped the most extreme values, so that no unit makes up too much of them.
    """

    def __init__(
        self,
        *,
        name: str,
        columns: tuple[str, ...],
        values: npt.NDArray[np.float64],
        errors: npt.NDArray[np.float64],
        count: int,
        undefined: tuple[str, ...] = (),
        capped: tuple[str, ...] = (),
    ) -> None:
        self.columns = columns
        self.values = values
        self.errors = errors
        self.count = count
        self.undefined = undefined
        self.capped = capped
        self._name = name

    def _card(self) -> Card:
        known = self.errors[~np.isnan(self.errors)]
        facts = [("error", f"at most {at_most(float(known.max()))}")] if len(known) else []
        if self.undefined:
            facts.append(("undefined", f"of {', '.join(self.undefined)}: constant to within the grid"))
        if self.capped:
            facts.append(("capped", f"the most extreme values of {', '.join(self.capped)}"))
        rows = [(name, *map(cell, line)) for name, line in zip(self.columns, self.values.tolist(), strict=True)]
        grid = Grid(header=("", *self.columns), rows=rows)
        return Card(
            title=f"{self._name} of {len(self.columns)} columns over {self.count:,} rows",
            answers=(("matrix", grid),),
            facts=facts,
        )

    def to_arrow(self) -> pa.Table:
        """A row for each column: its name, then its values with the others, null where there is none."""
        values = {name: pa.array(line, from_pandas=True) for name, line in zip(self.columns, self.values, strict=True)}
        return pa.table(
            [pa.array(self.columns), *values.values()], names=[*label_names(["column"], self.columns), *self.columns]
        )

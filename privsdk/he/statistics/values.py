"""What the verbs' plans return; `moments` makes it from the key holder's answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...display.cards import Card, Displayed, Grid, at_most, cell
from ...display.tabular import Tabular
from ...protocol.groups import label_names


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pooled:
    """A count, sum or mean over all parties' rows.

    Attributes
    ----------
    value : float
        The statistic, in the column's unit; NaN for a mean of no rows.
    count : int or None
        Rows in it, for a mean.
    error : float
        Bound on the difference from exact arithmetic: rounding to the grid, and CKKS noise where that preset was used.
    count_error : float
        Bound on the error of `count`: 0 but for the CKKS preset.
    """

    value: float
    count: int | None
    error: float
    count_error: float = 0.0

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        over = "" if self.count is None else f" over {self.count:,} rows"
        if self.count_error:
            over = f" over about {self.count:,} rows (within {at_most(self.count_error)})"
        return f"{self.value:.10g}{over} (error at most {at_most(self.error)})"

    __repr__ = __str__


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Variance:
    """A variance over all parties' rows, with what the same totals give besides.

    Attributes
    ----------
    value, std, mean : float
        Variance, in the square of the column's unit, standard deviation and mean; NaN where there are not enough rows.
    error, std_error, mean_error : float
        Bounds on their differences from exact arithmetic; not statistical errors.
    count : int
        Rows in it.
    ddof : int
        Delta degrees of freedom: squares are divided by count - ddof.
    """

    value: float
    error: float
    std: float
    std_error: float
    mean: float
    mean_error: float
    count: int
    ddof: int

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return (
            f"{self.value:.10g} over {self.count:,} rows (error at most {at_most(self.error)}); standard deviation "
            f"{self.std:.10g}, mean {self.mean:.10g}"
        )

    __repr__ = __str__


class Matrix(Displayed, Tabular):
    """Covariances or correlations of each two columns, over all parties' complete rows.

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
    ) -> None:
        self.columns = columns
        self.values = values
        self.errors = errors
        self.count = count
        self.undefined = undefined
        self._name = name

    def _card(self) -> Card:
        known = self.errors[~np.isnan(self.errors)]
        facts = [("error", f"at most {at_most(float(known.max()))}")] if len(known) else []
        if self.undefined:
            facts.append(("undefined", f"of {', '.join(self.undefined)}: constant to within the grid"))
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

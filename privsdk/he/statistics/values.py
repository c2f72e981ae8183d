"""What the verbs' plans return; `moments` makes it from the key holder's answer."""

from __future__ import annotations

from dataclasses import dataclass

from ...display.cards import at_most


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

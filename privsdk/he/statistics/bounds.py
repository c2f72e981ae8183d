"""The bounds and grids of columns where a caller names none: of what owners declare, else of what the types hold.

Nothing is guessed of the data, and no bound tells of them.

- A column whose owners all declare a range: its largest value.
- Whole numbers and decimals: the largest value of the type, up to 2**53 units of the last place or 2**40.
- Floats: 2**40 for a value, 2**80 for a total, on a grid of 2**-20.

A total is of `max_rows` such values, up to 2**56 for whole numbers, so that totals of many parties are 64-bit integers,
and 10**36 units for decimals, so that they are decimals. What is beyond is refused, and needs a bound of the caller's.
"""

from __future__ import annotations

import math
import re

from ...client.pooling import PooledTables
from .fixedpoint import FixedPoint

_VALUE, _TOTAL, _FINEST = 2.0**40, 2.0**80, 2.0**-20  # of floats
_UNITS, _WHOLE, _DECIMAL = 2**53, 2**56, 10**36
_PLACES = 18  # of decimals that are added by their digits
_BITS = 52  # of a float within its declared range


def grid_of(
    pooling: PooledTables, column: str, *, bound: float | None, resolution: float | None, rows: int
) -> FixedPoint:
    """The grid of a column, with what is given; for totals of so many rows, or for values where they are 0."""
    places, declared = pooling.places(column), _declared(pooling, column)
    if bound is None:
        types = [table.type_of(column) for table in pooling.group]
        largest = min(max(map(_largest, types)), math.inf if declared is None else declared)
        finest, total = None, largest * max(1, rows)
        if places is None or (rows and places > _PLACES):
            finest = _FINEST if declared is None else 2.0 ** (math.ceil(math.log2(declared)) - _BITS)
            bound = total if declared is not None else min(total, _TOTAL if rows else _VALUE)
        elif rows:
            finest = float(f"1e-{places}")
            bound = min(total, (_DECIMAL if any(map(_is_decimal, types)) else _WHOLE) / 10**places)
        else:
            bound = min(largest, max(_VALUE, _UNITS / 10**places))
        resolution = finest if resolution is None else resolution
    return FixedPoint.choose(bound=bound, resolution=resolution, places=places)


def _declared(pooling: PooledTables, column: str) -> float | None:
    """The largest absolute value in the ranges that owners declare; None where one declares none."""
    ranges = [table.range_of(column) for table in pooling.group]
    ends = [abs(end) for each in ranges if each is not None for end in each]
    return None if None in ranges else max(ends)


def _is_decimal(type_: str) -> bool:
    return type_.startswith("decimal")


def _largest(type_: str) -> float:
    """The largest absolute value that a column of this type holds; of floats infinite."""
    if found := re.fullmatch(r"u?int(\d+)", type_):
        return 2.0 ** (int(found[1]) - (not type_.startswith("u")))
    if found := re.fullmatch(r"decimal\d+\((\d+), (-?\d+)\)", type_):
        return 10.0 ** (int(found[1]) - int(found[2]))
    return 1.0 if type_ in ("bool", "null") else math.inf

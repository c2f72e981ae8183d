"""A pooled statistic as a value: which integers each party makes of its rows, to be added under encryption or masks.

Every statistic is one vector of integers, of components times groups; its value is made from the totals afterwards, in
`moments`. Parties compute it in the clear from their own rows, so that only additions happen under encryption. It never
sees data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Literal, get_args

import msgspec

from ...crypto.seal.presets import Scheme
from ...crypto.seal.schemes import ApproximateScheme, ExactScheme
from ...errors import InvalidArgument, UnknownName
from ...governance.learns import Knowledge, Quantity, RoleName
from ...governance.members import combine
from ...governance.prices import Factor, Lever, Told
from ...protocol.columns.keys import By, Key, PublicGroups
from ...protocol.columns.kinds import Kind, TypeCheck
from ...protocol.columns.predicates import Where, check_own, columns_of
from .fixedpoint import FixedPoint

Aggregation = Literal["encrypted", "masked"]
Name = Literal["count", "sum", "mean", "variance", "covariance", "correlation", "histogram"]

OF_VALUES = ("variance", "covariance", "correlation")  # whose bound is of a value, not of a total
MATRICES = ("covariance", "correlation")
MAX_COLUMNS = 128
MAX_BINS = 1 << 12
MAX_ENTRIES = 1 << 18  # of a vector: 64 ciphertexts a limb
MAX_UNITS = 1 << 62  # of a value's bound: products are summed from halves of 31 bits
MAX_ROWS = 1 << 40


class Statistic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of an operation, public to all.

    Parameters
    ----------
    columns : tuple of str
        The value columns. A row enters the statistic of a column where its value there is not null, and a matrix where
        none of its values is.
    grids : tuple of FixedPoint
        One for each column. `bound` is the largest absolute total of a group for a sum or mean, the largest absolute
        value where second moments are taken. None for a count or histogram.
    whole : tuple of bool
        For each column, whether it holds integers or decimals, and all of their places are on the grid, so that
        nothing is rounded.
    max_rows : int
        Most rows of one party.
    by, keys, others : str or tuple of str, tuple, bool
        Group columns, their public keys, and whether all other rows are a group.
    where : tuple of conditions
        Of each party's own columns: which rows enter.
    edges : tuple of float
        Public bins of a histogram: bin i is [edges[i], edges[i + 1]), the last one includes its upper edge.
    aggregation : "encrypted" or "masked"
        How vectors are added: `crypto.sums.encrypted` or `crypto.sums.masked`.
    """

    name: Name
    columns: tuple[str, ...] = ()
    grids: tuple[FixedPoint, ...] = ()
    whole: tuple[bool, ...] = ()
    max_rows: int
    preset: Scheme = "exact"
    by: By = None
    keys: tuple[Key | tuple[Key, ...], ...] | None = None
    others: bool = False
    where: Where = ()
    edges: tuple[float, ...] | None = None
    aggregation: Aggregation = "encrypted"

    def __post_init__(self) -> None:
        if not 1 <= self.max_rows <= MAX_ROWS:
            raise InvalidArgument(f"max_rows is {self.max_rows}", hint="give a number of rows, 1 or more")
        self._check_columns()
        self.public.check()
        check_own(self.where)
        for column in self.public.columns:
            if column in self.columns:
                raise InvalidArgument(f"a {self.name} of {column} by itself", hint="group by another column")
        if self.by is not None and self.name in (*MATRICES, "histogram"):
            raise InvalidArgument(f"{self.name} is not computed by group", hint="leave by and keys out")
        of = " by group" if self.by is not None else " of several columns" if len(self.columns) > 1 else ""
        if self.preset == "ckks" and (of or self.name not in ("sum", "mean")):
            raise InvalidArgument(f"a {self.name}{of} is exact only", hint="leave preset out")
        if self.aggregation not in get_args(Aggregation):
            raise UnknownName.among("aggregation", str(self.aggregation), get_args(Aggregation))
        if self.aggregation == "masked" and self.preset == "ckks":
            raise InvalidArgument(
                "aggregation='masked' adds exact integers, and preset asks for approximate reals",
                hint="leave preset out",
            )
        self._check_edges()
        if self.length > MAX_ENTRIES:
            raise InvalidArgument(
                f"{self.groups} groups of {len(self.parts)} totals each",
                hint=f"an answer holds at most {MAX_ENTRIES} totals: give fewer keys",
            )

    def _check_columns(self) -> None:
        number = len(self.columns)
        least = 0 if self.name == "count" else 2 if self.name in MATRICES else 1
        most = least if self.name in ("count", "histogram") else MAX_COLUMNS
        if not least <= number <= most:
            wanted = f"{least} to {most}" if most > least else f"{least}"
            raise InvalidArgument(f"{self.name} of {number} column{'' if number == 1 else 's'}", hint=f"give {wanted}")
        if len(set(self.columns)) != number:
            raise InvalidArgument(f"a {self.name} of a column twice", hint="name each column once")
        grids = 0 if self.name in ("count", "histogram") else number
        if len(self.grids) != grids or len(self.whole) != grids:
            raise InvalidArgument(f"a {self.name} of {number} columns on {len(self.grids)} grids")
        for grid, whole in zip(self.grids, self.whole, strict=True):
            if whole and not grid.holds(0):
                raise InvalidArgument(f"integers on a grid of {grid.resolution:g} are rounded")
            if self.name in OF_VALUES and grid.max_units > MAX_UNITS:
                raise InvalidArgument(
                    f"a resolution of {grid.resolution:g} is too fine for values within {grid.bound:g}",
                    hint="make it coarser, or declare a smaller bound",
                )

    def _check_edges(self) -> None:
        if (self.edges is not None) != (self.name == "histogram"):
            raise InvalidArgument(f"a {self.name} {'needs' if self.edges is None else 'takes no'} edges")
        if self.edges is None:
            return
        if not 1 <= len(self.edges) - 1 <= MAX_BINS:
            raise InvalidArgument(
                f"{len(self.edges)} edges of bins", hint=f"give 2 to {MAX_BINS + 1}: each bin lies between two"
            )
        if not all(map(math.isfinite, self.edges)) or any(
            low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)
        ):
            raise InvalidArgument(
                "edges are not finite and in rising order", hint="give finite edges of bins, each above the one before"
            )

    @property
    def used(self) -> tuple[str, ...]:
        """All columns that it reads."""
        return tuple(dict.fromkeys((*self.columns, *self.compared)))

    @property
    def public(self) -> PublicGroups:
        """The groups by public keys."""
        return PublicGroups.of(self.by, self.keys, self.others)

    @property
    def compared(self) -> tuple[str, ...]:
        """Columns that say in which group a row is, if in any."""
        named = [
            *self.public.columns,
            *(self.columns if self.edges else ()),
            *columns_of(self.where),
        ]
        return tuple(dict.fromkeys(named))

    @property
    def grouped(self) -> bool:
        """Whether the answer is by groups, or bins: small ones are then suppressed."""
        return self.keys is not None or self.edges is not None

    @property
    def groups(self) -> int:
        if self.keys is not None:
            return len(self.keys) + self.others
        return 1 if self.edges is None else len(self.edges) - 1

    @property
    def each(self) -> tuple[Statistic, ...]:
        """The statistics in one vector: one of each column, but of all columns together where it is a matrix."""
        if self.name in MATRICES or len(self.columns) < 2:
            return (self,)
        return tuple(
            msgspec.structs.replace(self, columns=(column,), grids=(grid,), whole=(whole,))
            for column, grid, whole in zip(self.columns, self.grids, self.whole, strict=True)
        )

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The columns whose products are summed, by their positions."""
        return tuple(combinations_with_replacement(range(len(self.columns)), 2)) if self.name in OF_VALUES else ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The components of the vector that make the statistic: so many totals has each group."""
        if len(self.each) > 1:
            return tuple(f"{part} of {each.columns[0]}" for each in self.each for part in each.parts)
        sums = [f"sum {i}" for i in range(len(self.grids))]
        rows = [] if self.name == "sum" else ["rows"]
        return (*sums, *(f"product {i} {j}" for i, j in self.pairs), *rows)

    @property
    def length(self) -> int:
        """Integers in the vector."""
        return self.groups * len(self.parts)

    @property
    def max_units(self) -> int:
        """Largest absolute entry of a party's vector."""
        grids = [grid.max_units for grid in self.grids]
        if self.name in OF_VALUES:
            return self.max_rows * max(grids) ** 2
        return max([self.max_rows, *grids])

    def largest(self, parties: int) -> int:
        """Largest absolute total over so many parties."""
        return parties * self.max_units

    @property
    def kinds(self) -> Mapping[str, TypeCheck]:
        """What the columns must hold."""
        return {**self.public.kinds, **dict.fromkeys(self.columns, Kind.NUMBER)}

    def told(self, among: int) -> tuple[Told, ...]:
        """Its totals, over the units of so many parties; by group also how many have a part in it, and beyond all."""
        if not self.grouped:
            return (Told((Factor(self.length),), among),)
        lever = Lever.INTERVALS if self.edges is not None else Lever.KEYS
        each = len(self.each)
        return Told((Factor(self.groups, lever, len(self.parts) + each),), among), Told((Factor(each),), among)

    def scheme(self, parties: int) -> ExactScheme | ApproximateScheme:
        """How the vectors of so many parties are encrypted.

        Raises
        ------
        InvalidArgument
            No float holds what could come out, or it needs more limbs than there are.
        """
        for grid in self.grids:
            power = 2 if self.name in OF_VALUES else 1
            most = parties * (self.max_rows if power == 2 else 1)
            if grid.bound > (2.0**1023 / most) ** (1 / power) / 2:
                raise InvalidArgument(
                    f"a {self.name} of {'values' if power == 2 else 'totals'} within {grid.bound:g} may be beyond what "
                    "a float can hold",
                    hint="declare a smaller bound",
                )
        if self.preset == "ckks":
            bounds = (self.grids[0].bound, float(self.max_rows))[: self.length]
            return ApproximateScheme(parties=parties, length=self.length, bounds=bounds)
        return ExactScheme(parties=parties, length=self.length, max_units=self.max_units)


# What is learned of pooled statistics

_MATRIX = (
    "the number of complete rows over all parties, each column's total and that of its squares, and that of each two "
    "columns' products"
)
_TOTALS = {
    "count": "the number of rows over all parties",
    "sum": "the total over all parties",
    "mean": "the total over all parties and the number of rows",
    "variance": "the total over all parties, that of the squares, and the number of rows",
    "covariance": _MATRIX,
    "correlation": _MATRIX,
    "histogram": "the number of values over all parties",
}


class PooledTotals(Knowledge, frozen=True):
    """Those that a pooled statistic is made of; `groups` is 0 where there are none."""

    statistic: str
    groups: int = 0
    kind: Quantity = Quantity.GROUPS
    where: str = ""
    columns: int = 1

    def __str__(self) -> str:
        each = f", of each of {self.columns} columns" if self.columns > 1 else ""
        totals = f"{_TOTALS[self.statistic]}{each}{f', of rows where {self.where}' if self.where else ''}"
        if not self.groups:
            return totals
        return (
            f"{totals}, in each of the {self.groups} {self.kind} that enough parties have a part in; rows that a party "
            "left out, as of too few of its units, are in none"
        )


class TotalsOfOthers(Knowledge, frozen=True):
    """Of every total that is known, the part of so many contributors."""

    number: int

    def __str__(self) -> str:
        whose = f"the {self.number} other contributors'" if self.number > 1 else "the one other contributor's own"
        return f"{whose} part of each total"


combine(
    PooledTotals,
    role=RoleName.CONTRIBUTOR,
    gives=lambda _, others: TotalsOfOthers(number=len(others)) if others else None,
    because="the total less its own part",
)


class ShownGroupNumbers(Knowledge, frozen=True):
    template = "which {kind} are shown"
    kind: Quantity


class LargestMinimum(Knowledge, frozen=True):
    template = "the largest number of parties that an owner asks for"


class PartiesByGroup(Knowledge, frozen=True):
    template = (
        "how many parties have a part in each of the {kind}, and how many have rows in none; how many parties "
        "each owner asks for"
    )
    kind: Quantity


class SharesOnly(Knowledge, frozen=True):
    tells = False
    template = "nothing but public keys, and shares of secrets that take all contributors to open"


class TotalOfOthers(Knowledge, frozen=True):
    template = "no more than the total over the other contributors"

"""Whether a vector plus some combination of others can be light: few units behind all that is not zero.

One affine space of small dimension: a vector b and rows W, both by columns that each stand for some units. Exact where
it ends within its bounds, which most do: columns that are multiples of each other vanish together, and such a group of
k units or more must vanish, which fixes one of the rows' coefficients. For spaces in general position there is a
certificate instead: k disjoint sets of units, on none of which b is a combination of W. A light vector misses one of
them and would vanish there. Where a unit stands behind many columns, it is often such a set by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .modular import Residues, inverses

MOST_WORK = 30_000_000
_TRIED = 32  # units for each of those sets, where it may be of fewer
_CALL = 1_000  # entries that numpy goes through in the time of one of its calls

Units = Sequence[Sequence[npt.NDArray[np.int64]]]  # by kind of unit: for each column the units behind it


class Weight(StrEnum):
    """What was found of an affine space."""

    HEAVY = "none is light"
    LIGHT = "one is light"
    UNDECIDED = "not found out within the bounds"


class OutOfWork(Exception):
    """What an answer may take is used up."""


class SearchWork:
    """How many entries of matrices may still be gone through for one answer, so that none takes long.

    They are counted, and no clock is read: a verdict is the same on any machine.
    """

    def __init__(self, most: int | None = None) -> None:
        self.left = MOST_WORK if most is None else most

    def spend(self, entries: int, calls: int = 1) -> None:
        """Raise OutOfWork where they are more than are left."""
        self.left -= entries + calls * _CALL
        if self.left < 0:
            raise OutOfWork


class _Node(NamedTuple):
    """A part of the space: rows still free, their columns, and the units behind columns that are not zero for sure."""

    rows: Residues  # the last one is b
    masks: list[tuple[int, ...]]  # by column, for each kind of unit a set of units as bits
    behind: tuple[int, ...]


def lightest(base: Residues, rows: Residues, units: Units, k: int, prime: int, work: SearchWork) -> Weight:
    """Whether `base` plus a combination of `rows` has fewer than k units of some kind behind its nonzero columns.

    Cheap certificates come first; UNDECIDED where the work is used up.
    """
    try:
        base, rows, columns = _connected(base, rows, work)
        units = [[kind[c] for c in columns] for kind in units]
        alone = np.flatnonzero(~rows.any(axis=0)).tolist()  # there the combination is what the base is, not zero
        if all(_number([kind[c] for c in alone]) >= k for kind in units):
            return Weight.HEAVY
        both = np.vstack([rows, base])
        if all(met(both, kind, k, prime, work) for kind in units):
            return Weight.HEAVY
        return _searched(both, units, k, prime, work)
    except OutOfWork:
        return Weight.UNDECIDED


def _number(columns: Sequence[npt.NDArray[np.int64]]) -> int:
    """How many units are behind some columns."""
    return len(np.unique(np.concatenate(columns))) if columns else 0


def _connected(base: Residues, rows: Residues, work: SearchWork) -> tuple[Residues, Residues, npt.NDArray[np.int64]]:
    """Without the rows that share no column with the base, nor with rows that do, and so on."""
    work.spend(rows.size)
    nonzero = rows != 0
    columns, taken = base != 0, np.zeros(len(rows), np.bool_)
    while True:
        work.spend(int((~taken).sum()) * len(columns))
        more = nonzero[:, columns].any(axis=1) & ~taken
        if not more.any():
            break
        taken |= more
        columns |= nonzero[more].any(axis=0)
    return base[columns], rows[taken][:, columns], np.flatnonzero(columns)


def met(rows: Residues, columns: Sequence[npt.NDArray[np.int64]], k: int, prime: int, work: SearchWork) -> bool:
    """Whether k disjoint sets of units were found on none of which the last row is a combination of the others: then
    nothing that has it is zero on any of them."""
    of_unit: dict[int, list[int]] = {}
    for c in sorted(range(len(columns)), key=lambda c: -len(columns[c])):
        for unit in columns[c].tolist():
            of_unit.setdefault(unit, []).append(c)
    left = sorted(of_unit, key=lambda unit: -len(of_unit[unit]))[: k * max(_TRIED, 2 * len(rows))]
    for _ in range(k):
        echelon, needed = Echelon(len(rows), prime), set[int]()
        for unit in left:
            work.spend(_CALL * len(of_unit[unit]) * (1 if prime == 2 else len(rows)), calls=1)
            before = len(echelon.vectors)
            met = any(echelon.contradicts(rows[:, c]) for c in of_unit[unit])
            if met or len(echelon.vectors) > before:
                needed.add(unit)
            if met:
                break
        else:
            return False
        left = [unit for unit in left if unit not in needed]
    return True


class Echelon:
    """Equations on the coefficients of all rows but the last, by columns: that the combination is zero there."""

    def __init__(self, rows: int, prime: int) -> None:
        self.vectors: dict[int, Any] = {}
        self._free = rows - 1
        self._prime = prime

    def contradicts(self, column: Residues) -> bool:
        """Whether one more equation cannot hold with the others; else it is taken in, if it says something new."""
        if self._prime == 2:
            bits = int.from_bytes(np.packbits(column.astype(np.bool_)).tobytes(), "big") >> -len(column) % 8
            while bits > 1:
                top = bits.bit_length()
                if top not in self.vectors:
                    self.vectors[top] = bits
                    return False
                bits ^= self.vectors[top]
            return bits == 1
        column = column % self._prime
        for i in range(self._free):
            if not column[i]:
                continue
            if i not in self.vectors:
                self.vectors[i] = column * pow(int(column[i]), -1, self._prime) % self._prime
                return False
            column = (column - column[i] * self.vectors[i] % self._prime) % self._prime
        return bool(column[-1])


def _searched(rows: Residues, units: Units, k: int, prime: int, work: SearchWork) -> Weight:
    """By branching on whether a group of columns vanishes."""
    masks = list(zip(*(_as_bits(kind) for kind in units), strict=True))
    nodes = [_Node(rows, masks, (0,) * len(units))]
    while nodes:
        node = _reduced(nodes.pop(), k, prime, work)
        if node is None:
            continue
        if len(node.rows) == 1:
            return Weight.LIGHT
        c = max(range(len(node.masks)), key=lambda c: min(mask.bit_count() for mask in node.masks[c]))
        others = [i for i in range(len(node.masks)) if i != c]
        behind = _joined(node.behind, node.masks[c])
        nodes.append(_Node(node.rows[:, others], [node.masks[i] for i in others], behind))
        nodes.append(_Node(_vanishing(node.rows, c, prime), node.masks, node.behind))
    return Weight.HEAVY


def _reduced(node: _Node, k: int, prime: int, work: SearchWork) -> _Node | None:
    """With columns joined that vanish together, and groups gone that must vanish; None where nothing is light."""
    while True:
        rows, masks, behind = node
        work.spend(4 * rows.size, calls=10 + len(masks) // 2)
        free = rows[:-1].any(axis=0)
        for c in np.flatnonzero(~free & (rows[-1] != 0)).tolist():  # not zero, whatever the coefficients
            behind = _joined(behind, masks[c])
        if min(mask.bit_count() for mask in behind) >= k:
            return None
        kept = np.flatnonzero(free)
        rows, masks = _together(rows[:, kept], [masks[c] for c in kept], prime)
        heavy = [c for c, group in enumerate(masks) if min(m.bit_count() for m in _joined(behind, group)) >= k]
        if not heavy:
            used = rows[:-1].any(axis=1)  # rows without a column left change nothing
            return _Node(rows[np.append(used, True)], masks, behind)
        for c in heavy:
            if rows[:-1, c].any():
                work.spend(rows.size, calls=4)
                rows = _vanishing(rows, c, prime)
            elif rows[-1, c]:
                return None  # it cannot vanish any more
        node = _Node(rows, masks, behind)


def _vanishing(rows: Residues, c: int, prime: int) -> Residues:
    """The part of the space in which a column is zero: one row fewer."""
    pivot = int(np.flatnonzero(rows[:-1, c])[0])
    scaled = rows[pivot] * pow(int(rows[pivot, c]), -1, prime) % prime
    others = np.delete(rows, pivot, axis=0)
    left: Residues = (others - others[:, c][:, None] * scaled % prime) % prime
    return left


def _together(rows: Residues, masks: list[tuple[int, ...]], prime: int) -> tuple[Residues, list[tuple[int, ...]]]:
    """One column for all that are multiples of each other, with the units of all."""
    if not rows.shape[1]:
        return rows, masks
    first = np.argmax(rows != 0, axis=0)
    leading = rows[first, np.arange(rows.shape[1])]
    scaled, group = np.unique(rows * inverses(leading, prime) % prime, axis=1, return_inverse=True)
    joined: list[tuple[int, ...]] = [(0,) * len(masks[0])] * scaled.shape[1]
    for c, g in enumerate(group.ravel()):
        joined[g] = _joined(joined[g], masks[c])
    return scaled, joined


def _joined(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a | b for a, b in zip(one, other, strict=True))


def _as_bits(columns: Sequence[npt.NDArray[np.int64]]) -> list[int]:
    """Sets of units as the bits of whole numbers, numbered anew."""
    numbers = np.unique(np.concatenate(columns)) if columns else np.zeros(0, np.int64)
    return [sum(1 << int(n) for n in np.searchsorted(numbers, column)) for column in columns]

"""Whether a vector plus some combination of others can be light: few units behind all that is not zero.

One affine space of small dimension: a vector b and rows W, both by columns that each stand for some units. Exact where
it ends within its bounds, which most do: columns that are multiples of each other vanish together, and such a group of
k units or more must vanish, which fixes one of the rows' coefficients. For spaces in general position there is a
certificate instead: k disjoint sets of units, on each of which b and W are independent. A light vector misses one of
them and would vanish there.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .modular import Residues

MOST_STEPS = 2_000
MOST_SEARCHED = 3_000  # columns

Units = Sequence[Sequence[npt.NDArray[np.int64]]]  # by kind of unit: for each column the units behind it


class Weight(StrEnum):
    """What was found of an affine space."""

    HEAVY = "none is light"
    LIGHT = "one is light"
    UNDECIDED = "not found out within the bounds"


class _Node(NamedTuple):
    """A part of the space: rows still free, their columns, and the units behind columns that are not zero for sure."""

    rows: Residues  # the last one is b
    masks: list[tuple[int, ...]]  # by column, for each kind of unit a set of units as bits
    behind: tuple[int, ...]


def lightest(base: Residues, rows: Residues, units: Units, k: int, prime: int) -> Weight:
    """Whether `base` plus a combination of `rows` has fewer than k units of some kind behind its nonzero columns."""
    base, rows, columns = _connected(base, rows)
    units = [[kind[c] for c in columns] for kind in units]
    both = np.vstack([rows, base])
    enough = all(len(np.unique(np.concatenate(kind))) >= k * len(both) for kind in units if kind)
    if enough and _packed(both, units, k, prime):
        return Weight.HEAVY
    if len(columns) > MOST_SEARCHED:
        return Weight.UNDECIDED
    return _searched(both, units, k, prime)


def _connected(base: Residues, rows: Residues) -> tuple[Residues, Residues, npt.NDArray[np.int64]]:
    """Without the rows that share no column with the base, nor with rows that do, and so on."""
    nonzero = rows != 0
    columns, taken = base != 0, np.zeros(len(rows), np.bool_)
    while True:
        more = nonzero[:, columns].any(axis=1) & ~taken
        if not more.any():
            break
        taken |= more
        columns |= nonzero[more].any(axis=0)
    return base[columns], rows[taken][:, columns], np.flatnonzero(columns)


def _packed(rows: Residues, units: Units, k: int, prime: int) -> bool:
    """Whether k disjoint sets of units were found, for each kind, on each of which all rows are independent."""
    for kind in units:
        left = [list(column) for column in kind]
        used: set[int] = set()
        for _ in range(k):
            taken = _independent(rows, left, used, prime)
            if taken is None:
                return False
            used |= taken
    return True


def _independent(rows: Residues, left: list[list[int]], used: set[int], prime: int) -> set[int] | None:
    """Units, not used so far, of columns on which the rows are independent; None where there are none."""
    for column in left:
        while column and column[-1] in used:
            column.pop()
    order = sorted((c for c in range(len(left)) if left[c]), key=lambda c: -len(left[c]))
    work, taken, at = rows.copy(), set[int](), 0
    while at < len(work) and order:
        batch, order = order[: 4 * len(work)], order[4 * len(work) :]
        for c in batch:
            nonzero = np.flatnonzero(work[at:, c])
            if not len(nonzero):
                continue
            pivot = at + int(nonzero[0])
            work[[at, pivot]] = work[[pivot, at]]
            scaled = work[at] * pow(int(work[at, c]), -1, prime) % prime
            below = at + 1 + np.flatnonzero(work[at + 1 :, c])
            work[below] = (work[below] - work[below, c][:, None] * scaled % prime) % prime
            taken.add(left[c][-1])
            at += 1
            if at == len(work):
                return taken
    return taken if at == len(work) else None


def _searched(rows: Residues, units: Units, k: int, prime: int) -> Weight:
    """By branching on whether a group of columns vanishes."""
    masks = list(zip(*(_as_bits(kind) for kind in units), strict=True))
    nodes = [_Node(rows, masks, (0,) * len(units))]
    for _ in range(MOST_STEPS):
        if not nodes:
            return Weight.HEAVY
        node = _reduced(nodes.pop(), k, prime)
        if node is None:
            continue
        if len(node.rows) == 1:
            return Weight.LIGHT
        c = max(range(len(node.masks)), key=lambda c: min(mask.bit_count() for mask in node.masks[c]))
        others = [i for i in range(len(node.masks)) if i != c]
        behind = _joined(node.behind, node.masks[c])
        nodes.append(_Node(node.rows[:, others], [node.masks[i] for i in others], behind))
        nodes.append(_Node(_vanishing(node.rows, c, prime), node.masks, node.behind))
    return Weight.UNDECIDED


def _reduced(node: _Node, k: int, prime: int) -> _Node | None:
    """With columns joined that vanish together, and groups gone that must vanish; None where nothing is light."""
    while True:
        rows, masks, behind = node
        free = rows[:-1].any(axis=0)
        for c in np.flatnonzero(~free & (rows[-1] != 0)):  # not zero, whatever the coefficients
            behind = _joined(behind, masks[c])
        if min(mask.bit_count() for mask in behind) >= k:
            return None
        kept = np.flatnonzero(free)
        rows, masks = _together(rows[:, kept], [masks[c] for c in kept], prime)
        heavy = [c for c, group in enumerate(masks) if min(m.bit_count() for m in _joined(behind, group)) >= k]
        if not heavy:
            used = rows[:-1].any(axis=1)  # rows without a column left change nothing
            return _Node(rows[np.append(used, True)], masks, behind)
        rows = _vanishing(rows, heavy[0], prime)
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
    inverse = np.array([pow(int(each), -1, prime) for each in leading], np.int64)
    scaled, group = np.unique(rows * inverse % prime, axis=1, return_inverse=True)
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

"""The rule of the differencing guard by brute force, over the rationals: small tables only."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

Vector = Sequence[int]


def rank(vectors: Sequence[Vector]) -> int:
    rows, found = [[Fraction(x) for x in vector] for vector in vectors], 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for i in range(found + 1, len(rows)):
            factor = rows[i][column] / rows[found][column]
            if factor:
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[found], strict=True)]
        found += 1
    return found


def tells_of_few(old: Sequence[Vector], new: Sequence[Vector], kinds: Sequence[Sequence[object]], k: int) -> bool:
    """Whether some combination of all, and none of the old alone, has rows of 1 to k - 1 units of some kind."""
    before, after = rank(old), rank([*old, *new])
    for units in kinds if after > before else ():
        names = list(dict.fromkeys(units))
        for few in combinations(names, min(k - 1, len(names))):
            outside = [i for i, unit in enumerate(units) if unit not in few]

            def within(vectors: Sequence[Vector], outside: list[int] = outside) -> int:
                """The dimension of the combinations that have rows of those units only."""
                return rank(vectors) - rank([[vector[i] for i in outside] for vector in vectors])

            if within([*old, *new]) > within(old):
                return True
    return False

"""The exact decision, modulo a large prime: what large classes rule out, and a search for what is left.

A combination whose pivot lies in a large class is fixed by what is left of a set being zero there. The others are
called loose. Where there are none, what is left of a set is the one combination to weigh.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from .basis import Basis, Mask
from .modular import Residues, random_prime
from .partition import Codes, LargeClasses, Partition
from .search import SearchWork, Weight, lightest
from .span import Span

MOST_COLUMNS = 8_192


class Elimination:
    """Of the sets of a basis; it may be behind the basis.

    Parameters
    ----------
    basis : Basis
    prime : int, optional
        What is computed modulo; a random one by default.
    """

    def __init__(self, basis: Basis, prime: int | None = None) -> None:
        self._basis = basis
        self._span = Span(basis, prime or random_prime())
        self._classes = Partition.one(0)
        # for each pivot the minimum count of units for which no large class was found for it, nor is one for a larger
        self._tried: list[int] = []
        self._touched: Mask = np.zeros(0, np.bool_)  # places where a loose combination is not zero; others may be among
        self._sound = True  # independent sets are so modulo the prime

    @property
    def bytes_held(self) -> int:
        """Memory, without the basis."""
        return self._span.bytes_held + self._classes.of.nbytes + self._touched.nbytes

    def copy(self) -> Elimination:
        """To be changed by itself."""
        other = Elimination(self._basis, self._span.prime)
        other._span, other._classes, other._sound = self._span.copy(), self._classes, self._sound
        other._tried, other._touched = list(self._tried), self._touched.copy()
        return other

    def catch_up(self, work: SearchWork) -> None:
        """Take in what the basis has got since, places and sets; what the work was enough for is kept."""
        more = self._basis.places - len(self._touched)
        self._classes = self._classes.grown(self._basis.places)
        self._touched = np.append(self._touched, np.zeros(more, np.bool_))
        for i in range(len(self._span), len(self._basis)):
            self._spend(work)
            if self._take(self._basis.member(i)) is not True:
                self._sound = False
                return

    def keep(self, member: Mask) -> bool:
        """Take in a set, and add it to the basis where it is independent; whether it is in the span for sure."""
        self.catch_up(SearchWork(sys.maxsize))
        taken = self._take(member)
        if taken:
            self._basis.add(member)
        return taken is not None

    def _take(self, member: Mask) -> bool | None:
        """Whether a set is independent, which is then taken in; None where it may be or not."""
        self._classes = self._classes.refined([member])
        coefficients, places = self._span.coefficients(member), self._classes.representatives()
        rest = self._span.rest(member, coefficients, places)
        if not rest.any():
            return False if self._span.depends(member, coefficients, places) else None
        at = int(np.argmax(np.where(rest != 0, self._classes.sizes(None), 0)))
        self._span.add(coefficients, int(places[at]), int(rest[at]))
        self._tried.append(0)
        return True

    def view(self, members: Sequence[Mask], units: Codes, k: int, work: SearchWork) -> LargeClasses:
        """Large classes for one answer; pivots go there where they can."""
        self._classes = self._classes.refined(members)
        view = LargeClasses(self._classes, units, k)
        self._settle(view, work)
        return view

    def admit(self, member: Mask, view: LargeClasses, work: SearchWork) -> tuple[Weight, bool]:
        """What is found of the combinations with a set; where none is light it is taken in, and the basis gets it next.

        The second is whether the set is independent of those before: one that is not tells nothing new.
        """
        self._spend(work)
        span = self._span
        coefficients = span.coefficients(member)
        if not self._sound:
            return Weight.UNDECIDED, True
        places, loose = view.looked_at, False
        rest = span.rest(member, coefficients, places)
        if rest.any():  # in a large class
            at = int(np.argmax(rest != 0))
        else:
            places = view.places
            rest = span.rest(member, coefficients, places)
            if not rest.any():
                known = span.depends(member, coefficients, places)
                return (Weight.HEAVY, False) if known else (Weight.UNDECIDED, True)
            at = int(np.argmax(np.where(rest != 0, view.sizes, 0)))
            loose = bool(view.sizes[at] < view.k)
        if loose and (found := self._found(rest, view, work)) is not Weight.HEAVY:
            return found, True
        if loose or self._moves_loose(int(places[at]), view):
            self._mark(span.rest(member, coefficients, view.places))
        span.add(coefficients, int(places[at]), int(rest[at]))
        self._tried.append(view.tried if loose else 0)
        return Weight.HEAVY, True

    def _found(self, rest: Residues, view: LargeClasses, work: SearchWork) -> Weight:
        """Of a set of which something is left in small classes only."""
        loose = np.flatnonzero(self._loose(view))
        if not len(loose):
            return Weight.LIGHT if view.is_light(np.flatnonzero(rest)) else Weight.HEAVY
        columns = np.flatnonzero(self._touched[view.places] | (rest != 0))
        whole = len(columns) <= MOST_COLUMNS
        if not whole:
            columns = columns[np.linspace(0, len(columns) - 1, MOST_COLUMNS).astype(np.int64)]
        work.spend(len(self._span) * (len(columns) + len(loose) * len(columns) // 8), calls=len(columns) // 2)
        values = self._span.values(loose, view.places[columns])
        found = lightest(rest[columns], values, view.units_of(columns), view.k, self._span.prime, work)
        return Weight.UNDECIDED if found is Weight.LIGHT and not whole else found

    def _settle(self, view: LargeClasses, work: SearchWork) -> None:
        """Move pivots to large classes where that can be; then all other combinations vanish on those."""
        for i in np.flatnonzero(self._loose(view)).tolist():
            if 0 < self._tried[i] <= view.k:
                continue
            self._spend(work)
            row = self._span.combined(self._span.row(i), view.places)
            at = int(np.argmax(np.where(row != 0, view.sizes, 0)))
            place, large = int(view.places[at]), view.sizes[at] >= view.k
            if not large or self._moves_loose(place, view):
                self._mark(row)
            self._tried[i] = 0 if large else view.tried
            self._span.move(i, place)

    def _spend(self, work: SearchWork) -> None:
        """For one more set: to tell places apart by it, and to see what is left of it in each class."""
        work.spend(len(self._classes.of) + len(self._span) * self._classes.number // 2, calls=10)

    def _loose(self, view: LargeClasses) -> Mask:
        """For each pivot whether it lies in no large class."""
        small: Mask = view.sizes[view.classes.of[self._span.pivots]] < view.k
        return small

    def _moves_loose(self, place: int, view: LargeClasses) -> bool:
        """Whether a pivot at this place changes combinations whose places are kept."""
        kept = self._loose(view) | (np.array(self._tried, np.int64) > 0)
        return bool((kept & (self._span.column(place) != 0)).any())

    def _mark(self, by_class: Residues) -> None:
        self._touched |= (by_class != 0)[self._classes.of]

"""The span of row sets modulo a large prime: coordinates of sets, and what is left of a set after those.

A basis of m sets, and for each a pivot: a place where that one combination of the basis is 1 that is 0 at all other
pivots (the rows of a reduced echelon form, of which only the coefficients are kept). What is left of a set is itself
minus the combination that agrees with it at all pivots.
"""

from __future__ import annotations

import numpy as np

from .basis import Basis, Integers, Mask
from .modular import Residues, whole


class Span:
    """Of the first sets of a basis, as many as were added here.

    Attributes
    ----------
    pivots : int64 array
        A place for each of them.
    """

    def __init__(self, basis: Basis, prime: int) -> None:
        self.prime = prime
        self.pivots: Integers = np.zeros(0, np.int64)
        self._basis = basis
        self._inverse: Residues = np.zeros((0, 0), np.int64)  # row i: the coefficients of what is 1 at pivot i alone

    def __len__(self) -> int:
        return len(self.pivots)

    @property
    def bytes_held(self) -> int:
        """Memory of the coefficients."""
        return self._inverse.nbytes

    def copy(self) -> Span:
        """To be changed by itself."""
        other = Span(self._basis, self.prime)
        other.pivots, other._inverse = self.pivots.copy(), self._inverse.copy()
        return other

    def coefficients(self, member: Mask) -> Residues:
        """Of the combination that agrees with a set at all pivots."""
        inside = np.flatnonzero(member[self.pivots])
        total: Residues = self._inverse[inside, : len(self)].sum(axis=0) % self.prime
        return total

    def combined(self, coefficients: Residues, places: Integers) -> Residues:
        """What a combination of the basis is at some places."""
        total, used = np.zeros(len(places), np.int64), np.flatnonzero(coefficients)
        if len(places) * 8 < self._basis.places:
            return coefficients[used] @ self._basis.at(places)[used].astype(np.int64) % self.prime
        for i in used.tolist():
            total += coefficients[i] * self._basis.member(i)[places]
        return total % self.prime

    def rest(self, member: Mask, coefficients: Residues, places: Integers) -> Residues:
        """What is left of a set at some places after that combination is taken away."""
        return (member[places] - self.combined(coefficients, places)) % self.prime

    def row(self, i: int) -> Residues:
        """Coefficients of the combination that is 1 at pivot i and 0 at all others."""
        return self._inverse[i, : len(self)]

    def values(self, rows: Integers, places: Integers) -> Residues:
        """What the combinations of these pivots are at some places."""
        m = len(self)
        members = self._basis.at(places)[:m].astype(np.float64)
        chosen = self._inverse[rows, :m].astype(np.float64)  # sums below 2^31 * 2^12: exact in floats
        return (chosen @ members).astype(np.int64) % self.prime

    def column(self, place: int) -> Residues:
        """What the combination of each pivot is at one place."""
        m = len(self)
        inside = np.flatnonzero(self._basis.at(np.array([place]))[:m, 0])
        total: Residues = self._inverse[:m, inside].sum(axis=1) % self.prime
        return total

    def add(self, coefficients: Residues, place: int, value: int) -> None:
        """The set that the basis has next, which is left with `value`, not 0, at `place`: there its pivot is."""
        m, p = len(self), self.prime
        column = self.column(place)
        if m == len(self._inverse):
            self._inverse = np.pad(self._inverse, (0, max(16, m // 4)))
        new = np.append((p - coefficients) % p, 1) * pow(value, -1, p) % p
        self._take_away(column, new)
        self._inverse[m, : m + 1] = new
        self.pivots = np.append(self.pivots, place)

    def move(self, i: int, place: int) -> None:
        """Make another place the i-th pivot, where its combination is not 0."""
        p, column, m = self.prime, self.column(place), len(self)
        self._inverse[i, :m] = self._inverse[i, :m] * pow(int(column[i]), -1, p) % p
        column[i] = 0
        self._take_away(column, self._inverse[i, :m].copy())
        self.pivots[i] = place

    def depends(self, member: Mask, coefficients: Residues, places: Integers) -> bool:
        """Whether a set that is left with 0 at these places, one of each class, is a combination over the rationals.

        False too where its coefficients are no small fractions.
        """
        used = np.flatnonzero(coefficients)
        fractions = whole(coefficients[used], self.prime)
        if fractions is None:
            return False
        common, numbers = fractions
        return bool((self._basis.total(used, numbers)[places] == common * member[places]).all())

    def _take_away(self, times: Residues, row: Residues) -> None:
        changed, filled = np.flatnonzero(times), np.flatnonzero(row)
        within = np.ix_(changed, filled)
        self._inverse[within] = (self._inverse[within] - times[changed, None] * row[filled] % self.prime) % self.prime

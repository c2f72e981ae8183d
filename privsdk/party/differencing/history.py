"""What exact answers let out of one table, as row sets, and whether further sets may join them.

Two ways to decide, of one basis: `frames`, for tables of any size, where mostly nothing has to be searched, and
`elimination`, which is exact and for small tables, or for few sets. See the package for the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from .basis import Basis, Integers, Mask, is_odd
from .elimination import Elimination
from .frames import Frames
from .modular import solved, whole
from .partition import Codes
from .search import OutOfWork, SearchWork, Weight

MOST_SETS = 4_096  # that are linearly independent
SMALL = 4_096  # places of a table that elimination decides for alone
MOST_ELIMINATED = 256  # sets that it decides about in a larger one
MOST_FRAMES = 128
MOST_KINDS = 6  # of units that have frames in memory: the keys of so many joins
_MOST_SUMMED = 256  # sets of a combination that is checked over the rationals
_MOST_HALVED = 6  # times, until what is left of a set is odd somewhere
_PRIME = (1 << 31) - 1


class Admission(StrEnum):
    """Why sets are not let out; ADMITTED where they are."""

    ADMITTED = "admitted"
    LIGHT = "a combination tells of too few units"
    UNDECIDED = "not found out within the bounds"
    FULL = "as many sets as the bound allows were let out"


_VERDICTS = {
    Weight.HEAVY: Admission.ADMITTED,
    Weight.LIGHT: Admission.LIGHT,
    Weight.UNDECIDED: Admission.UNDECIDED,
}


class History:
    """The sets that were let out, by places: 0, 1, ... in the order in which their rows were first seen."""

    def __init__(self) -> None:
        self._basis = Basis()
        self._elimination = Elimination(self._basis)
        self._frames: list[Frames] = []  # each of one kind of unit, those of the last answer first
        self.depends: list[bool] = []  # of the sets that were admitted last, on those before
        self._known = True  # every set is in the span for sure

    def __len__(self) -> int:
        """How many sets are linearly independent."""
        return len(self._basis)

    @property
    def bytes_held(self) -> int:
        """Memory, all in all."""
        frames = sum(each.bytes_held for each in self._frames)
        return self._basis.bytes_held + self._elimination.bytes_held + frames

    def grow(self, places: int) -> None:
        """There are so many places now."""
        self._basis.grow(places)

    def admit(
        self, members: Sequence[Mask], units: Codes, k: int, most: int = MOST_SETS, work: SearchWork | None = None
    ) -> Admission:
        """Keep these sets, of one answer, if they may be let out; else nothing of them.

        Parameters
        ----------
        members : sequence of bool array
            Mostly they have no place in common.
        units : by kind of unit, of which each is protected, whose each place is
        k : int
            Combinations with rows of fewer units are not let out.
        most : int
            Sets that may be independent.
        work : SearchWork
            What the answer may take; beyond it they are UNDECIDED.
        """
        if not self._known:
            return Admission.UNDECIDED
        self.depends = []
        most, work, before = min(most, MOST_SETS), work or SearchWork(), len(self._basis)
        try:
            if self._basis.places <= SMALL:
                return self._by_elimination(members, units, k, most, work)
            verdict = self._by_frames(members, units, k, most, work)
            if verdict is Admission.UNDECIDED and before <= MOST_ELIMINATED and self._basis.sets_only:
                verdict = self._by_elimination(members, units, k, most, work)
        except OutOfWork:
            self._basis.cut(before)
            return Admission.UNDECIDED
        return verdict

    def keep(self, members: Sequence[Mask], units: Codes, k: int) -> None:
        """Take in sets that were let out before, whatever they tell."""
        for member in members:
            if self._basis.places <= SMALL:
                known = self._elimination.keep(member)
            else:
                (frames,) = self._of(units[:1])
                frames.catch_up(units[0], min(k, MOST_FRAMES), None)
                known = self._take(member, [frames], units[:1], 0, MOST_SETS, SearchWork()) is Admission.ADMITTED
            self._known &= known

    def _by_frames(self, members: Sequence[Mask], units: Codes, k: int, most: int, work: SearchWork) -> Admission:
        if k > MOST_FRAMES:
            return Admission.UNDECIDED
        kinds = self._of(units)
        for frames, whose in zip(kinds, units, strict=True):
            if not frames.catch_up(whose, k, work):
                return Admission.UNDECIDED
        before, trials = len(self._basis), [frames.copy() for frames in kinds]
        for member in members:
            size = len(self._basis)
            verdict = self._take(member, trials, units, k, most, work)
            self.depends.append(len(self._basis) == size)
            if verdict is not Admission.ADMITTED:
                self._basis.cut(before)
                return verdict
        self._frames[: len(trials)] = trials
        return Admission.ADMITTED

    def _of(self, units: Codes) -> list[Frames]:
        """The frames of these units. Those of other units, as the keys of another join, are no certificate for them."""
        kinds = [next((f for f in self._frames if f.fit(whose)), None) or Frames(self._basis) for whose in units]
        others = [frames for frames in self._frames if frames not in kinds]
        self._frames = [*kinds, *others][: max(MOST_KINDS, len(kinds))]
        return kinds

    def _take(self, member: Mask, kinds: list[Frames], units: Codes, k: int, most: int, work: SearchWork) -> Admission:
        """Take one set in, if no combination with it is light; where k is 0, whether or not one is."""
        left: Mask | Integers = member
        used = np.zeros(0, np.int64)  # a set that others make by whole numbers is made by those of its binary digits
        for _ in range(_MOST_HALVED):
            odd = is_odd(left)
            steps = [frames.steps(odd, whose) for frames, whose in zip(kinds, units, strict=True)]
            if all(steps):
                break
            chosen = np.flatnonzero(kinds[0].expressed(odd))
            used = np.union1d(used, chosen)
            if self._is_combination(member, used, kinds[0].telling()):
                return Admission.ADMITTED
            left = (left - self._basis.total(chosen, [1] * len(chosen))) // 2
        else:
            return Admission.UNDECIDED
        for frames, step, whose in zip(kinds, steps, units, strict=True):
            found = frames.weigh(step, whose, k, work)
            if found is not Weight.HEAVY:
                return _VERDICTS[found]
        if len(self._basis) >= most:
            return Admission.FULL
        for frames, step in zip(kinds, steps, strict=True):
            frames.take(step)
        self._basis.add(left)
        return Admission.ADMITTED

    def _is_combination(self, member: Mask, chosen: Integers, looked_at: Integers) -> bool:
        """Whether one that is the sum of others modulo 2 is a combination of these over the rationals, for sure."""
        if len(chosen) > _MOST_SUMMED:
            return False
        rows, wanted = self._basis.numbers(chosen, looked_at), member[looked_at].astype(np.int64)
        coefficients = solved(rows, wanted, _PRIME)
        fractions = None if coefficients is None else whole(coefficients, _PRIME)
        if fractions is None:
            return False
        common, numbers = fractions
        return bool((self._basis.total(chosen, numbers) == common * member).all())

    def _by_elimination(self, members: Sequence[Mask], units: Codes, k: int, most: int, work: SearchWork) -> Admission:
        before, self.depends = len(self._basis), []
        self._elimination.catch_up(work)
        trial = self._elimination.copy()
        view = trial.view(members, units, k, work)
        for member in members:
            found, independent = trial.admit(member, view, work)
            if found is Weight.HEAVY and independent:
                self._basis.add(member)
            self.depends.append(not independent)
            full = len(self._basis) > most and len(self._basis) > before
            if found is not Weight.HEAVY or full:
                self._basis.cut(before)
                return Admission.FULL if full else _VERDICTS[found]
        self._elimination = trial
        return Admission.ADMITTED

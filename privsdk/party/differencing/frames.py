"""Certificates modulo 2: k disjoint frames of units, on each of which all sets that were let out are independent.

A combination with rows of fewer than k units has none in one of the frames. There it is zero, so that its coefficients
are those by which the new set is expressed by the old ones on that frame: one candidate for each frame, which is
weighed. Where a frame lacks units for a set, what is left of the set, its remainder, vanishes on the frame, and
candidates come with any sum of such remainders.

What is light over the rationals is light modulo 2 (see the package), provided that no combination of the old sets alone
is. The reverse does not hold: three sets of which each place is in two or none add up to nothing modulo 2.

Source: information sets, Brouwer and Zimmermann; Betten et al., Error-Correcting Linear Codes, Springer 2006, 1.8.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .basis import Basis, Bits, Integers, Mask
from .modular import solved
from .partition import at_places, distinct_columns, first_units
from .search import MOST_WORK, Echelon, OutOfWork, SearchWork, Weight, lightest, met

_LOOKED_AT = 128  # places that are looked at first
_SEARCHED = 4_096  # places among which they are looked for first
_FREE = -1


class _Step(NamedTuple):
    """What a new set is in one frame: by which sets it is expressed, and its pivot; its remainder where it has none."""

    chosen: Mask
    place: int
    remainder: Bits | None


class _Owner:
    """For each unit the frame that has it, _FREE where none has."""

    def __init__(self, frames: list[Integers], units: Integers | None, places: int) -> None:
        self._units = units
        number = places if units is None else int(units.max(initial=0)) + 1
        self._of = np.full(number, _FREE, np.int16)
        for j, pivots in enumerate(frames):
            self._of[self._unit(pivots)] = j

    def at(self, places: Integers) -> Integers:
        """The frames of the units of some places."""
        found: Integers = self._of[self._unit(places)]
        return found

    def usable(self, member: Mask, j: int) -> Mask:
        """Places in a set that have a unit of this frame or of none."""
        usable: Mask = (self._of == _FREE) | (self._of == j)
        usable = usable if self._units is None else usable[self._units]
        return member & usable

    def own(self, place: int, j: int) -> None:
        """Give a frame the unit of a place."""
        if place != _FREE:
            self._of[self._unit(place)] = j

    def _unit(self, places: Any) -> Any:
        return places if self._units is None else self._units[places]


class _Sample(NamedTuple):
    """Places to look at first, and for each whether it is in each set of the basis, and in a new one."""

    places: Integers
    sets: Bits
    member: Mask


class _Frame:
    """One frame: the combination of the basis that is 1 at one pivot and 0 at all others, for each pivot."""

    def __init__(self) -> None:
        self.pivots: Integers = np.zeros(0, np.int64)  # _FREE where a set has only a remainder
        self.remainders: list[Bits] = []
        self._meets: list[Mask] = []  # for each remainder, which earlier ones it has a place in common with
        self._inverse: Bits = np.zeros((0, 0), np.uint8)

    @property
    def bytes_held(self) -> int:
        return self._inverse.nbytes + sum(each.nbytes for each in self.remainders)

    def copy(self) -> _Frame:
        other = _Frame()
        other.pivots, other.remainders, other._meets = self.pivots, list(self.remainders), list(self._meets)
        other._inverse = self._inverse.copy()
        return other

    def expressed(self, member: Mask) -> Mask:
        """By which sets the combination is made that agrees with a set on the frame."""
        m = len(self.pivots)
        inside = np.flatnonzero((self.pivots != _FREE) & member[self.pivots])
        chosen = np.bitwise_xor.reduce(self._inverse[inside], axis=0)
        return np.unpackbits(chosen, count=m).astype(np.bool_)

    def grow(self, places: int) -> None:
        """There are so many places now; the sets that were taken in have none of the new ones."""
        width = (places + 7) // 8
        self.remainders = [np.pad(each, (0, width - len(each))) for each in self.remainders]

    def making(self, rest: Bits) -> Mask | None:
        """The combination that makes what is left of a set, zero at all pivots; None where none does."""
        m = len(self.pivots)
        if not rest.any():
            return np.zeros(m, np.bool_)
        near = self.connected(rest, len(self.remainders))
        rows = [*(self.remainders[i] for i in near), rest]
        inside = np.flatnonzero(np.unpackbits(np.bitwise_or.reduce(rows)))
        some = distinct_columns(at_places(rows, _few(inside)))[0]
        equations = Echelon(len(rows), 2)
        if any(equations.contradicts(column) for column in some.T):
            return None
        patterns = distinct_columns(at_places(rows, inside))[0].astype(np.int64)
        taken = solved(patterns[:-1], patterns[-1], 2)
        if taken is None:
            return None
        free = np.flatnonzero(self.pivots == _FREE)[near[taken != 0]]
        return np.unpackbits(np.bitwise_xor.reduce(self._inverse[free], axis=0), count=m).astype(np.bool_)

    def meeting(self, remainder: Bits, number: int) -> Mask:
        """Which of the first remainders have a place in common with one."""
        return np.array([(each & remainder).any() for each in self.remainders[:number]], np.bool_)

    def connected(self, remainder: Bits, number: int) -> Integers:
        """Of the first remainders those that have a place in common with one, or with such ones."""
        matrix = np.zeros((number, number), np.bool_)
        for i in range(number):
            matrix[i, :i] = self._meets[i]
        matrix |= matrix.T
        reached = self.meeting(remainder, number)
        while (more := reached | matrix[reached].any(axis=0)).sum() > reached.sum():
            reached = more
        return np.flatnonzero(reached)

    def add(self, step: _Step, basis: Basis) -> None:
        """The set that the basis has next."""
        m = len(self.pivots)
        if m == len(self._inverse):
            more = max(64, m // 4 + 7 & ~7)
            self._inverse = np.pad(self._inverse, ((0, more), (0, more // 8)))
        new = np.packbits(np.append(step.chosen, True))
        if step.remainder is None:
            at = np.packbits(basis.at(np.array([step.place]))[:m, 0])
            odd = np.bitwise_xor.reduce(self._inverse[:m, : len(at)] & at, axis=1)
            for shift in (4, 2, 1):
                odd ^= odd >> shift
            self._inverse[np.flatnonzero(odd & 1), : len(new)] ^= new
        else:
            self._meets.append(self.meeting(step.remainder, len(self.remainders)))
            self.remainders.append(step.remainder)
        self._inverse[m, : len(new)] = new
        self.pivots = np.append(self.pivots, step.place)


class Frames:
    """For one kind of unit; they may be behind the basis.

    Parameters
    ----------
    basis : Basis
    """

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self._size = 0  # sets that are taken in
        self._frames: list[_Frame] = []
        self._clean = 0  # no combination of them has rows of fewer units
        self._unclean = sys.maxsize  # and one has, or one remainder alone takes more work than an answer may
        self._heavy: dict[tuple[int, int], int] = {}  # by k and frame: so many first remainders are found to be clean
        self._units: Integers | None = None
        self._broken = False  # they are independent, and not modulo 2

    @property
    def bytes_held(self) -> int:
        """Memory, without the basis."""
        return sum(frame.bytes_held for frame in self._frames)

    def fit(self, units: Integers | None) -> bool:
        """Whether they were made for these units, of which no two frames share one; there may be more places."""
        made = self._units
        if units is None or made is None or units is made:
            return units is made
        return np.array_equal(units[: len(made)], made)

    def copy(self) -> Frames:
        """To be changed by itself."""
        other = Frames(self._basis)
        other._size, other._clean, other._unclean = self._size, self._clean, self._unclean
        other._broken, other._units = self._broken, self._units
        other._heavy = dict(self._heavy)
        other._frames = [frame.copy() for frame in self._frames]
        return other

    def catch_up(self, units: Integers | None, k: int, work: SearchWork | None) -> bool:
        """Have at least k frames of these units, of all sets; whether none of their combinations is light, where they
        are weighed: by how much work."""
        self._units = units
        for frame in self._frames:
            frame.grow(self._basis.places)
        behind = len(self._basis) - self._size
        for i in range(self._size, len(self._basis)):
            self._take_next(range(len(self._frames)), i, units)
        self._size = len(self._basis)
        for j in range(len(self._frames), k):
            self._frames.append(_Frame())
            for i in range(self._size):
                self._take_next([j], i, units)
        self._clean = 0 if behind else self._clean
        if work is None:
            return False
        if self._clean < k < self._unclean:
            match self._lightest_remainder(units, k, work):
                case Weight.HEAVY:
                    self._clean = k
                case Weight.LIGHT:
                    self._unclean = k
        return self._clean >= k and not self._broken

    def steps(self, member: Mask, units: Integers | None) -> list[_Step]:
        """The steps to take for a set, one for each frame; none where it depends on others modulo 2."""
        owner, steps = self._owner(units), list[_Step]()
        sample = self._sample(member, owner)
        for j in range(len(self._frames)):
            step = self._step(j, member, owner, sample)
            if j == 0 and step.remainder is not None and self._frames[0].making(step.remainder) is not None:
                return []
            owner.own(step.place, j)
            steps.append(step)
        return steps

    def weigh(self, steps: list[_Step], units: Integers | None, k: int, work: SearchWork) -> Weight:
        """Whether a combination with the set of these steps is light."""
        for step, frame in zip(steps[:k], self._frames, strict=False):
            if step.remainder is not None:
                found = self._lightest(step.remainder, frame, len(frame.remainders), units, k, work)
                if found is not Weight.HEAVY:
                    return found
        self._clean = min(self._clean, k)
        return Weight.HEAVY

    def telling(self) -> Integers:
        """Places on which sets that are independent modulo 2 mostly are too."""
        first = self._frames[0]
        rest = [np.flatnonzero(np.unpackbits(each))[:_LOOKED_AT] for each in first.remainders]
        return np.unique(np.concatenate([first.pivots[first.pivots != _FREE], *rest]))

    def expressed(self, member: Mask) -> Mask:
        """By which sets one is expressed that depends on them modulo 2."""
        frame = self._frames[0]
        chosen = frame.expressed(member)
        rest = self._basis.odd(chosen) ^ np.packbits(member)
        more = frame.making(rest)
        return chosen if more is None else chosen ^ more

    def take(self, steps: list[_Step]) -> None:
        """Take in the set of these steps, which the basis gets next."""
        for frame, step in zip(self._frames, steps, strict=True):
            frame.add(step, self._basis)
        self._size += 1

    def _take_next(self, frames: Iterable[int], i: int, units: Integers | None) -> None:
        member, owner = self._basis.member(i), self._owner(units)
        sample = self._sample(member, owner)
        for j in frames:
            step = self._step(j, member, owner, sample)
            if j == 0 and step.remainder is not None and self._frames[0].making(step.remainder) is not None:
                self._broken = True
            owner.own(step.place, j)
            self._frames[j].add(step, self._basis)

    def _lightest_remainder(self, units: Integers | None, k: int, work: SearchWork) -> Weight:
        """Whether a combination of a frame's remainders is light, or one takes more work than any answer has; goes on
        where the work of an earlier answer ended."""
        for j, frame in enumerate(self._frames[:k]):
            for i in range(self._heavy.get((k, j), 0), len(frame.remainders)):
                all_of_it = work.left >= MOST_WORK
                found = self._lightest(frame.remainders[i], frame, i, units, k, work)
                if found is not Weight.HEAVY:
                    return Weight.LIGHT if all_of_it else found
                self._heavy[k, j] = i + 1
        return Weight.HEAVY

    def _sample(self, member: Mask, owner: _Owner) -> _Sample:
        """Some places that no frame has, within a set and outside."""
        few = np.arange(0, len(member), max(1, len(member) // _SEARCHED))
        parts = [few[member[few]], few[~member[few]]]
        parts = [
            part if len(part) >= 2 * _LOOKED_AT else np.flatnonzero(inside)
            for part, inside in zip(parts, (member, ~member), strict=True)
        ]
        parts = [part[owner.at(part) == _FREE] for part in parts]
        chosen = [part[np.linspace(0, len(part) - 1, min(_LOOKED_AT, len(part))).astype(np.int64)] for part in parts]
        places = np.concatenate(chosen)
        return _Sample(places, self._basis.at(places), member[places])

    def _step(self, j: int, member: Mask, owner: _Owner, sample: _Sample) -> _Step:
        chosen = self._frames[j].expressed(member)
        odd = np.bitwise_xor.reduce(sample.sets[: len(chosen)][chosen], axis=0) ^ sample.member
        usable = sample.places[(odd != 0) & (owner.at(sample.places) == _FREE)]
        if len(usable):
            return _Step(chosen, int(usable[0]), None)
        rest = self._basis.odd(chosen) ^ np.packbits(member)
        left = owner.usable(np.unpackbits(rest, count=len(member)).astype(np.bool_), j)
        return _Step(chosen, int(np.argmax(left)), None) if left.any() else _Step(chosen, _FREE, rest)

    def _lightest(
        self, remainder: Bits, frame: _Frame, number: int, units: Integers | None, k: int, work: SearchWork
    ) -> Weight:
        """Of a frame's first remainders and one that is left of another set."""
        try:
            work.spend(number * (len(remainder) // 8 + number), calls=2 * number)
            rows = [*(frame.remainders[i] for i in frame.connected(remainder, number)), remainder]
            inside = np.flatnonzero(np.unpackbits(np.bitwise_or.reduce(rows), count=self._basis.places))
            some = _few(inside)
            if len(some) < len(inside) and met(*self._patterns(rows, some, units, k, work), k, 2, work):
                return Weight.HEAVY
            patterns, behind = self._patterns(rows, inside, units, k, work)
        except OutOfWork:
            return Weight.UNDECIDED
        return lightest(patterns[-1], patterns[:-1], [behind], k, 2, work)

    def _patterns(
        self, rows: list[Bits], places: Integers, units: Integers | None, k: int, work: SearchWork
    ) -> tuple[Integers, list[Integers]]:
        """The distinct columns of rows at some places, and the units behind each."""
        work.spend(4 * len(rows) * len(places), calls=len(rows))
        patterns, of = distinct_columns(at_places(rows, places))
        work.spend(0, calls=patterns.shape[1] // 4)
        behind = first_units(of, patterns.shape[1], places if units is None else units[places], k)
        return patterns.astype(np.int64), behind

    def _owner(self, units: Integers | None) -> _Owner:
        return _Owner([frame.pivots[frame.pivots != _FREE] for frame in self._frames], units, self._basis.places)


def _few(places: Integers) -> Integers:
    """Some of them, which mostly tell."""
    return places[:: max(1, len(places) // _SEARCHED)]

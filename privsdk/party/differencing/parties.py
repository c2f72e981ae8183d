"""The differencing rule for parties: pooled exact results that together would tell few parties apart are not let out.

Two sums, one with a party and one without it, tell that party's own total, though each is of as many contributors as
every owner asks for. So what several results tell is judged on the span of all: each is a sum over the tables of its
contributors, and a new one is let out only if no linear combination of it and of earlier ones is a sum over fewer
parties than one of these asks for (`min_parties`). Who sees the new result knows its own part, which does not count.

Earlier results are those that this party contributed the same table to and that told of one of the same columns,
whoever asked. What a party took no part in it cannot know of.

The search for light combinations is that of rows (`search`), with parties in place of units. Where it ends at its
bounds, the answer is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import DifferencingRefused
from ...errors.refusals import PartiesToldApart
from ..ledger.pooled_runs import Place, PooledRun
from .modular import Residues, random_prime
from .search import SearchWork, Units, Weight, lightest


def judge(party: str, new: PooledRun, earlier: Sequence[PooledRun]) -> None:
    """Raise DifferencingRefused where a run and earlier ones with the same table would tell parties apart."""
    judged = set[frozenset[int]]()
    for column in new.columns:
        history = frozenset(i for i, run in enumerate(earlier) if column in run.columns)
        if history in judged:
            continue
        judged.add(history)
        named = told_apart(new, [earlier[i] for i in sorted(history)])
        if named is not None:
            detail = PartiesToldApart(party=party, table=new.table, column=column, named=named)
            raise DifferencingRefused(detail)


def told_apart(new: PooledRun, earlier: Sequence[PooledRun]) -> tuple[str, ...] | None:
    """Who would be told apart for some recipient; nobody by name where that was not found out, None where none would.

    What follows from earlier results, whoever saw them, tells nothing new but to a recipient who saw others.
    """
    least: dict[str, int] = {}
    for run in (*earlier, new):
        for party, number in run.min_parties.items():
            least[party] = max(number, least.get(party, 1))
    prime, work = random_prime(), SearchWork()
    for recipient in dict.fromkeys(new.recipients):
        for runs in (earlier, [run for run in earlier if recipient in run.recipients]):
            sums = _Sums(new.places, {run.places for run in runs}, recipient, prime, work)
            if sums.new:
                named = sums.told_apart(least)
                if named is not None:
                    return named
                break
    return None


class _Sums:
    """A new sum and earlier ones as one sees them who knows its own part, modulo a prime: by classes of places that are
    in the same sums.

    Attributes
    ----------
    new : bool
        Whether the new sum is no combination of the earlier ones.
    """

    def __init__(
        self, new: frozenset[Place], earlier: set[frozenset[Place]], observer: str, prime: int, work: SearchWork
    ) -> None:
        sums, classes = _connected(new, earlier), dict[tuple[bool, ...], list[str]]()
        for party, table in sorted(frozenset().union(*sums)):
            if party != observer:
                classes.setdefault(tuple((party, table) in each for each in sums), []).append(party)
        self._classes = list(classes.values())
        rows = np.array(list(classes), np.int64).reshape(len(classes), len(sums)).T
        self._first, self._prime, self._work = rows[0], prime, work
        self._earlier = _independent(rows[1:], prime)
        self._rows = _independent(np.vstack([self._earlier, rows[:1]]), prime)
        self.new = len(self._rows) > len(self._earlier)

    def told_apart(self, least: Mapping[str, int]) -> tuple[str, ...] | None:
        """The parties of each class that is in a combination of the new sum over too few parties."""
        numbers = {party: i for i, party in enumerate(least)}
        units = [[np.array(sorted({numbers[party] for party in each}), np.int64) for each in self._classes]]
        found, apart, refused = dict[int, Weight](), set[str](), False
        for c, parties in enumerate(self._classes):
            k = max(least[party] for party in parties)
            if k not in found:  # combinations with the new sum, whoever is in them
                found[k] = lightest(self._first, self._earlier, units, k, self._prime, self._work)
            weights = {found[k], Weight.HEAVY if found[k] is Weight.HEAVY else self._lightest_with(c, units, k)}
            apart |= set(parties) if weights == {Weight.LIGHT} else set()
            refused |= Weight.HEAVY not in weights
        return tuple(sorted(apart)) if refused else None

    def _lightest_with(self, c: int, units: Units, k: int) -> Weight:
        """Of all combinations that a class is in."""
        at, p = int(np.argmax(self._rows[:, c] != 0)), self._prime
        base = self._rows[at] * pow(int(self._rows[at, c]), -1, p) % p
        others = np.delete(self._rows, at, axis=0)
        return lightest(base, (others - others[:, c][:, None] * base % p) % p, units, k, p, self._work)


def _connected(first: frozenset[Place], others: set[frozenset[Place]]) -> list[frozenset[Place]]:
    """A set, and those that share a place with it or with one that does; no other is in a combination with it."""
    found, places, left = [first], first, others
    while more := {each for each in left if each & places}:
        found += sorted(more, key=sorted)
        places, left = places.union(*more), left - more
    return found


def _independent(rows: Residues, prime: int) -> Residues:
    """Rows that span the same, as few as there can be."""
    kept = list[tuple[int, Residues]]()
    for row in rows:
        for pivot, each in kept:
            row = (row - row[pivot] * each) % prime  # noqa: PLW2901 (reduced step by step)
        if row.any():
            pivot = int(np.argmax(row != 0))
            kept.append((pivot, row * pow(int(row[pivot]), -1, prime) % prime))
    return np.array([row for _, row in kept], np.int64).reshape(len(kept), rows.shape[1])

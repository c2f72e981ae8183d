"""One unit of any table of a join moves a release of a side by no more than its table is charged for: by brute force.

Small tables; every unit of the side's owner goes once, and every key of the partners comes or goes once. What enters is
chosen by the party's own code, of the table with and without.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from claims import Cases, Counts

from privsdk.dp import sides
from privsdk.dp.release import ReleaseParameters
from privsdk.dp.vectors import exact_vector
from privsdk.governance.charges import Unit
from privsdk.party.joint_bounds import bounded
from privsdk.party.tables import Store
from privsdk.protocol.columns.arrow import taken
from privsdk.protocol.columns.predicates import canonical, own
from privsdk.protocol.operation import Alignment, MatchBound, Operand
from privsdk.psi.keys.distinct import distinct_keys
from privsdk.testing import together

CLAIM = pytest.mark.claim("dp: no unit of any table of a join moves a release of a side by more than is charged for it")
Moves = npt.NDArray[np.int64]
Vectors = list[npt.NDArray[np.int64]]
Shared = frozenset[tuple[str, ...]]
Choice = Callable[..., Alignment]


class Setting(NamedTuple):
    """The owner's unit and key, and how many rows of a key enter."""

    unit: Unit
    key: tuple[str, ...]
    rows: int
    one_unit: bool = False
    unmatched: bool = False


SETTINGS = {
    "rows": Setting(Unit(), ("k",), 1),
    "rows, two of a key": Setting(Unit(), ("k",), 2),
    "rows, not matched": Setting(Unit(), ("k",), 2, unmatched=True),
    "another id": Setting(Unit(id="who", rows=2), ("k",), 1),
    "another id, two of a key": Setting(Unit(id="who", rows=3), ("k",), 2),
    "another id, not matched": Setting(Unit(id="who", rows=2), ("k",), 1, unmatched=True),
    "the key's id": Setting(Unit(id="k", rows=2), ("k",), 2, one_unit=True),
    "an id in the key": Setting(Unit(id="who", rows=2), ("who", "k"), 1, one_unit=True),
}
STATISTICS: list[dict[str, Any]] = [
    {"statistic": "count"},
    {"statistic": "sum", "column": "x", "bounds": (-2, 4)},
    {"statistic": "sum", "column": "x", "bounds": (1, 3)},
    {"statistic": "mean", "column": "x", "bounds": (-2, 4), "resolution": 0.5},
    {"statistic": "variance", "column": "x", "bounds": (-2, 3), "resolution": 0.5},
    {"statistic": "histogram", "column": "x", "edges": (-3.0, 0.0, 2.0, 5.0)},
    {"statistic": "quantile", "column": "x", "edges": (-3.0, 5.0), "quantile": 0.5},
]
GROUPED = {"by": "g", "keys": ("p", "q")}
WHERE = {"where": canonical({"g": ["p"]}, own)}
RELEASES = [
    ReleaseParameters(epsilon=1.0, side="O", **statistic, **more)
    for statistic in STATISTICS
    for more in ({}, GROUPED, WHERE)
]
Row = tuple[str | None, str | None, int | None, str | None]
VALUES = (-3, -3, 0, 1, 4, 4, 9, None)


def drawn(rng: np.random.Generator) -> list[Row]:
    """A table of up to eight rows: few keys and units, so that each has several."""
    picked = zip(*(rng.choice(choices, rng.integers(4, 9)) for choices in (2, 2, len(VALUES), 4)), strict=False)
    return [("ab"[k], "uv"[w], VALUES[x], (*"pqr", None)[g]) for k, w, x, g in picked]


def universe(setting: Setting) -> list[tuple[str, ...]]:
    """All keys that there may be."""
    return [("a",), ("b",)] if len(setting.key) == 1 else list(itertools.product("uv", "ab"))


def entering(rows: Sequence[Row], shared: Shared, setting: Setting, choice: Choice = bounded) -> pa.Table:
    """The rows that the owner's role is handed, where all partners have the keys `shared`."""
    columns = list(zip(*rows, strict=True)) or [()] * 4
    types = (pa.string(), pa.string(), pa.int64(), pa.string())
    table = pa.table({n: pa.array(v, t) for n, v, t in zip(("k", "who", "x", "g"), columns, types, strict=True)})
    keys = distinct_keys(table.select(list(setting.key)))
    own_keys = list(zip(*keys.values.to_pydict().values(), strict=True))
    found = np.array([n for n, key in enumerate(own_keys) if key in shared], np.int64)
    matched, joint = keys.rows_of(found)
    alignment = Alignment(rows=matched, keys=joint, min_count=2, codes=keys.codes, session=b"")
    alignment = alignment.unmatched() if setting.unmatched else alignment
    store = Store("O", {"t": table})
    within = store.within("t", setting.unit) if setting.unit.id else None
    order = store.hashes("t", tuple(table.column_names))
    return taken(table, choice(alignment, setting.rows, within=within, order=order).rows)


def vectors(table: pa.Table) -> list[Vectors]:
    return [together({"": exact_vector(table, release, where="O")})[""] for release in RELEASES]


def without_one(rows: Sequence[Row], unit: Unit) -> Iterator[list[Row]]:
    """The same table without one unit, each in turn."""
    if not unit.id:
        yield from ([*rows[:n], *rows[n + 1 :]] for n in range(len(rows)))
        return
    place = ("k", "who").index(unit.id)
    yield from ([row for row in rows if row[place] != one] for one in {row[place] for row in rows})


def claimed(setting: Setting) -> dict[str, Moves]:
    """By party how far a unit moves each component of each release, as it is charged."""
    bound = MatchBound(join="j", rows=setting.rows, one_unit=setting.one_unit)
    operands = {
        "O": Operand(table="t", columns=(), alignment="a", unit=setting.unit, bound=bound),
        "P": Operand(table="t", columns=(), alignment="b", bound=MatchBound(join="j", rows=0)),
    }
    moves = [sides.moves(release, operands) for release in RELEASES]
    return {party: np.array([part for each in moves for part in each[party]]) for party in operands}


def moved(rows: Sequence[Row], shared: Shared, setting: Setting, choice: Choice = bounded) -> dict[str, Moves]:
    """By party how far one unit moves them: one of the owner goes; a key comes or goes, as by one unit of a partner."""
    enter = partial(entering, setting=setting, choice=choice)
    start = vectors(enter(rows, shared))
    others = {
        "O": [enter(fewer, shared) for fewer in without_one(rows, setting.unit)],
        "P": [enter(rows, shared ^ {key}) for key in universe(setting)],
    }
    return {
        party: np.max([distance(start, vectors(table)) for table in tables], axis=0) for party, tables in others.items()
    }


def distance(first: list[Vectors], second: list[Vectors]) -> Moves:
    """Of each component of each release."""
    pairs = zip(first, second, strict=True)
    return np.array([np.abs(a - b).sum() for one, other in pairs for a, b in zip(one, other, strict=True)])


def search(setting: Setting, times: int, choice: Choice = bounded) -> dict[str, Moves]:
    """The farthest of so many tables; none may be farther than is charged."""
    rng, due = np.random.default_rng(setting.rows), claimed(setting)
    reached = {party: np.zeros_like(moves) for party, moves in due.items()}
    for _ in range(times):
        shared = frozenset(key for key in universe(setting) if rng.random() < 0.7)
        for party, moves in moved(drawn(rng), shared, setting, choice).items():
            assert (moves <= due[party]).all(), party
            reached[party] = np.maximum(reached[party], moves)
    return reached


@CLAIM
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_no_unit_moves_a_release_farther_than_is_charged(setting: Setting, cases: Cases, counts: Counts) -> None:
    times = counts(10, 60, 1_000)
    reached = search(setting, times)
    tight = ("O", "P") if setting.one_unit or not setting.unit.id else ("P",)
    assert all((reached[party] == claimed(setting)[party]).any() for party in tight)
    cases(times * len(RELEASES))


def one_more(joint: Alignment, rows: int, **given: Any) -> Alignment:
    """Of each key one row more than there may be."""
    return bounded(joint, rows + 1, **given)


def by_number(joint: Alignment, rows: int, *, order: npt.NDArray[np.uint64], **given: Any) -> Alignment:
    """A choice by the numbers of rows in the table, mixed."""
    numbers = np.arange(len(order), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return bounded(joint, rows, order=numbers, **given)


def test_what_moves_farther_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [
        (SETTINGS["another id"]._replace(one_unit=True), bounded),
        (SETTINGS["rows"], one_more),
        (SETTINGS["rows, two of a key"], by_number),
    ]
    for setting, choice in wrong:
        with pytest.raises(AssertionError):
            search(setting, 200, choice)
    monkeypatch.setattr(ReleaseParameters, "exchanged", ReleaseParameters.moved)
    with pytest.raises(AssertionError, match="O"):
        search(SETTINGS["rows"], 200)

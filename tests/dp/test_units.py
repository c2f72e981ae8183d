"""Privacy units: at most so many rows of one id enter a release, and the choice of one id's rows is its own affair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import privsdk as ps
from privsdk import dp, he
from privsdk.client.progress import Live
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import InvalidArgument, PolicyRefused, UnknownName
from privsdk.governance.charges import Unit
from privsdk.party import tables as stores
from privsdk.party.tables import Store

CLAIM = pytest.mark.claim("dp: no id has more rows in a release than its unit allows")
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
IDS = st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=40)


def read(ids: list[Any], rows: int, kind: pa.DataType | None = None) -> list[int]:
    """The rows that a store hands out, by their number among all."""
    table = pa.table({"who": pa.array(ids, kind or pa.string()), "row": pa.array(range(len(ids)), pa.int64())})
    taken = Store("north", {"t": table}).read("t", ("row",), Unit(id="who", rows=rows))
    assert taken.column_names == ["row"]
    kept: list[int] = taken["row"].to_pylist()
    return kept


@CLAIM
@SHARED
@given(ids=IDS, rows=st.integers(1, 5))
def test_no_id_has_more_than_its_rows_and_none_has_fewer_than_it_could(
    cases: Cases, ids: list[str | None], rows: int
) -> None:
    cases()
    kept = read(ids, rows)
    held = Counter(ids[n] for n in kept)
    assert kept == sorted(set(kept))
    assert held == {who: min(number, rows) for who, number in Counter(ids).items() if who is not None}


def check_choice(ids: list[str | None], rows: int, gone: str) -> None:
    """Without one id, the rows that are kept of the others stay the same."""
    others = [n for n, who in enumerate(ids) if who != gone]
    alone = [others[n] for n in read([ids[n] for n in others], rows)]
    assert alone == [n for n in read(ids, rows) if ids[n] != gone]


@CLAIM
@SHARED
@given(ids=IDS, rows=st.integers(1, 5), gone=st.sampled_from(["a", "b"]))
def test_an_id_does_not_change_which_rows_of_others_enter(
    cases: Cases, ids: list[str | None], rows: int, gone: str
) -> None:
    cases()
    check_choice(ids, rows, gone)


@CLAIM
def test_a_choice_by_the_place_in_the_table_is_found(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    monkeypatch.setattr(stores, "_BOUNDED", stores._BOUNDED.replace("hash(id), '.', nth", "position"))
    ids: list[str | None] = ["a"] + ["b", "c"] * 20
    with pytest.raises(AssertionError):
        check_choice(ids, 2, "a")
    cases()


def test_the_rows_that_are_kept_are_not_the_first_ones_and_the_same_each_time() -> None:
    ids = [f"p{n % 500}" for n in range(5_000)]
    kept = read(ids, 2)
    assert kept == read(ids, 2)
    place = np.bincount([n // 500 for n in kept], minlength=10)  # of an id's ten rows
    assert place.min() > 50
    assert place.max() < 150


@pytest.mark.parametrize(
    ("ids", "kind", "kept"),
    [
        ([1, 1, None, 2], pa.int64(), 2),
        ([1.0, 1.0, float("nan"), float("nan"), None, 2.0], pa.float64(), 2),
        ([b"a", b"a", b"b"], pa.binary(), 2),
        ([None, None], pa.null(), 0),
        ([], pa.string(), 0),
    ],
)
def test_ids_of_every_type(ids: list[Any], kind: pa.DataType, kept: int) -> None:
    assert len(read(ids, 1, kind)) == kept


def test_files_are_bounded_too_and_a_column_asked_for_is_handed_out(tmp_path: Path) -> None:
    table = pa.table({"who": ["a", "a", "b", None], "x": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "t.parquet")
    store = Store("north", {"t": tmp_path / "t.parquet"})
    unit = Unit(id="who", rows=1)
    assert store.read("t", (), unit).num_rows == 2
    assert store.read("t", ("who",), unit)["who"].to_pylist() == ["a", "b"]
    assert store.read("t", ("x", "who"), unit).column_names == ["x", "who"]
    with pytest.raises(UnknownName):
        store.read("t", ("x",), Unit(id="whom", rows=1))


VISITS = pa.table({"who": [f"p{n % 20}" for n in range(100)] + [None] * 10, "x": [1.0] * 110, "n": [[1]] * 110})


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    budgets = {
        "north": ps.Budget(epsilon=200, unit=ps.Unit(id="who", rows=3)),
        "south": ps.Budget(epsilon=200, unit=ps.Unit(id="who", rows=2)),
        "east": ps.Budget(epsilon=200),
        "list": ps.Budget(epsilon=200, unit=ps.Unit(id="n", rows=2)),
        "lost": ps.Budget(epsilon=200, unit=ps.Unit(id="whom", rows=2)),
    }
    policy = msgspec.structs.replace(
        WORKSHOP_POLICY,
        grants=(ps.Grant(table="*", columns=dict.fromkeys(("x", "rows"), "DP release"), max_epsilon=90),),
    )
    held = {name: {"t": VISITS} for name in budgets} | {"keeper": {}}
    with ps.embedded(held, store=None, budget=budgets, policy=policy, quiet=True) as opened:
        yield opened


@pytest.mark.usefixtures("exact")
def test_a_release_takes_the_unit_from_the_owner_and_rows_per_id_from_the_caller(fed: ps.Federation) -> None:
    north = fed["north"]["t"]
    assert north.unit == ps.Unit(id="who", rows=3)
    assert dp.count(north, epsilon=1).release().value["count"].to_pylist() == [60]  # no grant on who is needed
    assert dp.sum(north, "x", epsilon=1, bounds=(0, 1), rows_per_id=1).release().value["sum"].to_pylist() == [20]
    assert dp.count(north, epsilon=1, rows_per_id=9).release().value["count"].to_pylist() == [100]
    assert dp.count(fed["east"]["t"], epsilon=1).release().value["count"].to_pylist() == [110]
    both = dp.count([north, fed["south"]["t"], fed["east"]["t"]], epsilon=1)
    assert both.release().value["count"].to_pylist() == [60 + 40 + 110]
    # the noise is wide enough for the owner with most rows per id, and the others pay for what they risk
    assert [both.price[name][0].charge.epsilon for name in ("north", "south", "east")] == pytest.approx(
        [1, 2 / 3, 1 / 3]
    )
    assert "all rows of one who, of which at most 3 enter" in " ".join(repr(both).split())


def test_wider_units_mean_wider_intervals(fed: ps.Federation) -> None:
    one, three = (dp.count(fed["north"]["t"], epsilon=1, rows_per_id=rows) for rows in (1, 3))
    assert one.price["north"][0].charge.epsilon == three.price["north"][0].charge.epsilon == 1
    assert one.outlook.half_width(10) == 3
    assert three.outlook.half_width(10) == 9


@pytest.mark.parametrize("unit", [ps.Unit(), ps.Unit(id="x", rows=3)])
def test_a_request_by_another_unit_is_refused_and_free(fed: ps.Federation, unit: ps.Unit) -> None:
    plan = dp.count(fed["north"]["t"], epsilon=1)
    (operand,) = plan.request.operands.values()
    before = fed.budgets()
    forged = msgspec.structs.replace(plan.request, operands={"north": msgspec.structs.replace(operand, unit=unit)})
    with pytest.raises(PolicyRefused, match="where noisy answers go by 3 rows of one who"):
        fed.execute(Live(forged))
    assert fed.budgets() == before


def test_an_exact_answer_over_bounded_rows_is_refused() -> None:
    held = {name: {"t": VISITS} for name in ("north", "south", "east")}
    by_id = ps.Budget(unit=ps.Unit(id="who", rows=3))
    with ps.embedded({**held, "keeper": {}}, store=None, budget=by_id, quiet=True) as fed:
        plan = he.sum(fed.tables("t"), "x")
        assert he.sum(fed.tables("t"), "x").release().value.value == 330
        operands = dict(plan.request.operands)
        operands["north"] = msgspec.structs.replace(operands["north"], unit=ps.Unit(id="who", rows=1))
        with pytest.raises(PolicyRefused, match="where exact answers go by one row"):
            fed.execute(Live(msgspec.structs.replace(plan.request, operands=operands)))


def test_units_that_cannot_be_used(fed: ps.Federation) -> None:
    with pytest.raises(InvalidArgument, match="names no id column"):
        dp.count(fed["east"]["t"], epsilon=1, rows_per_id=2)
    with pytest.raises(InvalidArgument, match="a privacy unit of 0 rows"):
        dp.count(fed["north"]["t"], epsilon=1, rows_per_id=0)
    before = fed.budgets()
    with pytest.raises(UnknownName, match="no column named 'whom' in lost/t"):
        dp.count(fed["lost"]["t"], epsilon=1).release()
    with pytest.raises(InvalidArgument, match=r"list/t\.n is list<.*>, which is not integer, real, text or binary"):
        dp.count(fed["list"]["t"], epsilon=1).release()
    assert fed.budgets() == before

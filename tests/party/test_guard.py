"""The differencing guard equals its rule written out, over any releases; what it keeps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spans import tells_of_few

from privsdk.errors import DataError, DifferencingRefused
from privsdk.governance.charges import Budget, Unit
from privsdk.party.budget.books import Books
from privsdk.party.differencing import disclosed
from privsdk.party.differencing.guard import Guard
from privsdk.party.differencing.rows import told_apart
from privsdk.party.ledger.row_sets import DisclosureTables
from privsdk.party.row_hashes import RowHash
from privsdk.party.tables import Store
from privsdk.protocol.operation import Alignment, Operand, Request
from privsdk.protocol.services import Figures, RowSet
from privsdk.psi.keys.distinct import distinct_keys

K = 3


def open_books(path: Path | None, unit: Unit = Unit()) -> Books:  # noqa: B008
    return Books("bank", path, budgets={"*": Budget(exact=10_000, unit=unit)}, datasets={"t": "t"})


def releaser(
    books: Books, table: pa.Table, *, joint: Alignment | None = None, k: int = K
) -> Callable[..., list[Figures]]:
    """`screen` of one run after the other, of one set each."""
    guard, operand = Guard("bank", Store("bank", {"t": table}), books), Operand(table="t", columns=())
    numbers = iter(range(1_000_000))

    def release(*sets: tuple[Any, str, Figures]) -> list[Figures]:
        request = Request(
            run_id=f"{id(table)}-{next(numbers)}",
            operation="aggregate",
            caller="ann",
            purpose="test",
            parties=("bank", "shop"),
            operands={"bank": operand, "shop": operand},
            parameters={},
        )
        screen = guard.screener(request, operand, "memory", joint, k)
        made = [RowSet(rows=np.array(sorted(rows), np.int64), measure=m, figures=f) for rows, m, f in sets]
        return screen(made, k)

    return release


def codes_of(column: pa.ChunkedArray) -> Any:
    return distinct_keys(column).codes


@pytest.fixture
def any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sets there are, for the number of rows: that rule has tests of its own."""
    monkeypatch.setattr(disclosed, "allowance", lambda units, k: units)


SETS = st.lists(st.sets(st.integers(0, 11), min_size=1), min_size=1, max_size=12)
WHOSE = ["a", "a", "a", "a", "b", "b", "c", "d", "d", "e", None, None]


@pytest.mark.claim("differencing: the guard refuses exactly what its rule says, over any sequence of releases")
@pytest.mark.parametrize("kind", ["rows", "unit ids", "join keys"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("any_number")
@given(sets=SETS, measures=st.lists(st.sampled_from(["count", "sum of x"]), min_size=12, max_size=12))
def test_the_guard_equals_its_rule(kind: str, cases: Cases, sets: list[set[int]], measures: list[str]) -> None:
    table = pa.table({"who": WHOSE, "x": list(range(12))})
    unit = Unit(id="who", rows=9) if kind == "unit ids" else Unit()
    joint = None
    if kind == "join keys":
        rows = np.arange(12)
        joint = Alignment(rows=rows, keys=rows, min_count=K, codes=codes_of(table["who"]), session=b"")
    with closing(open_books(None, unit)) as books:
        release = releaser(books, table, joint=joint)
        told: dict[tuple[frozenset[int], str], Figures] = {}
        let_out: list[list[int]] = []
        for n, (rows_, measure) in enumerate(zip(sets, measures, strict=False)):
            vector = [int(row in rows_) for row in range(12)]
            if (frozenset(rows_), measure) in told:
                assert release((rows_, measure, (n,))) == [told[frozenset(rows_), measure]]
            elif tells_of_few(let_out, [vector], [range(12) if kind == "rows" else WHOSE], K):
                with pytest.raises(DifferencingRefused):
                    release((rows_, measure, (n,)))
            else:
                assert release((rows_, measure, (n,))) == [(n,)]
                told[frozenset(rows_), measure] = (n,)
                let_out.append(vector)
            cases()


def test_one_set_that_is_too_near_refuses_the_whole_answer() -> None:
    with closing(open_books(None)) as books:
        release = releaser(books, pa.table({"x": list(range(100))}))
        release((range(50), "count", (50,)))
        with pytest.raises(DifferencingRefused) as refused:
            release((range(60, 80), "count", (20,)), (range(49), "count", (49,)))
        release((range(61, 80), "count", (19,)))  # nothing of the refused answer was kept
    assert "of fewer than the minimum count of 3" in refused.value.message
    assert "charged" in refused.value.message
    assert "dp.count" in refused.value.hint
    assert not any(number in str(refused.value) for number in ("49", "50", " 1 "))


def edited(table: pa.Table, row: int, **values: Any) -> pa.Table:
    rows = table.to_pylist()
    rows[row] |= values
    return pa.Table.from_pylist(rows, schema=table.schema)


PEOPLE = pa.table({"id": [f"p{n}" for n in range(40)], "x": [n % 7 for n in range(40)]})


@pytest.mark.parametrize("unit", [Unit(), Unit(id="id")], ids=["content", "unit id"])
def test_an_edited_table_is_compared_by_its_rows(tmp_path: Path, unit: Unit) -> None:
    path = tmp_path / "bank.sqlite"
    with closing(open_books(path, unit)) as books:
        assert releaser(books, PEOPLE)((range(40), "sum of x", (117,))) == [(117,)]
    for changed in (PEOPLE.slice(1), PEOPLE.slice(0, 38), pa.concat_tables([PEOPLE, PEOPLE.slice(0, 1)])):
        with closing(open_books(path, unit)) as books, pytest.raises(DifferencingRefused):
            releaser(books, changed)((range(len(changed)), "sum of x", (0,)))
    with closing(open_books(path, unit)) as books:
        shuffled = PEOPLE.take(np.random.default_rng(1).permutation(40))
        assert releaser(books, shuffled)((range(40), "sum of x", (-1,))) == [(117,)]
        assert releaser(books, PEOPLE.slice(0, 36))((range(36), "count", (36,))) == [(36,)]
    with closing(open_books(path, unit)) as books:
        release = releaser(books, edited(PEOPLE, 0, x=1_000_000))
        if unit.id:  # the same rows: told what was told before
            assert release((range(40), "sum of x", (1_000_117,))) == [(117,)]
        else:  # one row less and one more
            with pytest.raises(DifferencingRefused):
                release((range(40), "sum of x", (1_000_117,)))


def test_a_person_with_many_rows_is_one_unit() -> None:
    table = pa.table({"id": [0] * 30 + list(range(1, 31)), "x": list(range(60))})
    with closing(open_books(None)) as books:
        release = releaser(books, table)
        release((range(60), "count", (60,)))
        release((range(30, 60), "count", (30,)))
    with closing(open_books(None, Unit(id="id", rows=30))) as books:
        release = releaser(books, table)
        release((range(60), "count", (60,)))
        with pytest.raises(DifferencingRefused):
            release((range(30, 60), "count", (30,)))


def test_the_rows_of_one_join_key_are_one_unit_in_a_joint_table() -> None:
    table = pa.table({"key": [0] * 30 + list(range(1, 31)), "x": list(range(60))})
    rows = np.arange(60)[::-1].copy()
    joint = Alignment(rows=rows, keys=rows, min_count=K, codes=codes_of(table["key"]), session=b"")
    with closing(open_books(None)) as books:
        releaser(books, table)((range(60), "count", (60,)))
        with pytest.raises(DifferencingRefused):
            releaser(books, table, joint=joint)((range(30), "count", (30,)))  # rows 59 to 30: key 0 is missing
        assert releaser(books, table, joint=joint)((range(10, 60), "count", (50,))) == [(50,)]


def test_the_rows_of_a_key_that_are_gone_are_one_unit_too(tmp_path: Path) -> None:
    before = pa.table({"key": [0] * 30 + list(range(1, 31)), "x": list(range(60))})
    after, rows = before.slice(30), np.arange(30)
    with closing(open_books(tmp_path / "bank.sqlite")) as books:
        releaser(books, before)((range(60), "count", (60,)))
    joint = Alignment(rows=rows, keys=rows, min_count=K, codes=codes_of(after["key"]), session=b"")
    with closing(open_books(tmp_path / "bank.sqlite")) as books, pytest.raises(DifferencingRefused):
        releaser(books, after, joint=joint)((rows, "count", (30,)))


def test_a_table_that_changes_under_a_run_is_not_compared(tmp_path: Path) -> None:
    with closing(open_books(None)) as books:
        guard = Guard("bank", Store("bank", {"t": PEOPLE}), books)
        request = Request(
            run_id="r", operation="aggregate", caller="ann", purpose="p", parties=("bank",), operands={}, parameters={}
        )
        with pytest.raises(DataError, match="bank/t changed while it was read"):
            guard.screener(request, Operand(table="t", columns=()), "an older version", None, K)([], K)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    opened = open_books(tmp_path / "bank.sqlite")
    yield opened
    opened.close()


@pytest.mark.claim("differencing: of runs at the same time, no two pass whose rows differ by fewer than the minimum")
def test_runs_at_once_do_not_both_pass(books: Books, cases: Cases) -> None:
    table = pa.table({"x": list(range(200))})

    def attempt(first: int) -> bool:
        try:
            releaser(books, table)((range(first, 200), "count", (200 - first,)))
        except DifferencingRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        granted = sorted(n for n, passed in enumerate(pool.map(attempt, range(60))) if passed)
    assert granted
    assert all(later - earlier >= K for earlier, later in pairwise(granted))
    cases(60)


def test_a_ledger_from_before_the_guard_gets_its_tables(tmp_path: Path) -> None:
    for file in (Path(__file__).parent / "ledgers").glob("version1.*"):
        shutil.copy(file, tmp_path)
    with closing(Books("north", tmp_path / "version1.sqlite", budgets={}, datasets={"t": "t"})) as books:
        release = releaser(books, PEOPLE)
        assert release((range(40), "count", (40,))) == [(40,)]
        with pytest.raises(DifferencingRefused):
            release((range(39), "count", (39,)))
        assert books.verify().first_bad == -1


@pytest.mark.claim("upgrade: rows that a ledger of version 3 knows by other hashes are known")
def test_a_ledger_that_knows_rows_by_other_hashes(tmp_path: Path, cases: Cases) -> None:
    """`ledgers/version3.sqlite` has a sum over PEOPLE, written before rows were hashed as they are now."""
    for file in (Path(__file__).parent / "ledgers").glob("version3.*"):
        shutil.copy(file, tmp_path)
    for _ in range(2):
        with closing(open_books(tmp_path / "version3.sqlite")) as books:
            assert books.hashed("t") is RowHash.TEXT
            shuffled = releaser(books, PEOPLE.take(np.random.default_rng(1).permutation(40)))
            assert shuffled((range(40), "sum of x", (-1,))) == [(117,)]
            for changed in (PEOPLE.slice(1), edited(PEOPLE, 0, x=1_000_000)):
                with pytest.raises(DifferencingRefused):
                    releaser(books, changed)((range(len(changed)), "sum of x", (0,)))
            assert books.verify().first_bad == -1
        cases()


def test_ids_are_distinct_and_do_not_depend_on_other_rows() -> None:
    hashes = np.array([5, 7, 5, 5, 7, 9], np.uint64)
    ids, numbers = told_apart(hashes)
    assert len(set(ids.tolist())) == 6
    assert ids[[0, 1, 5]].tolist() == [5, 7, 9]
    assert told_apart(hashes[:4])[0].tolist() == ids[:4].tolist()
    assert told_apart(hashes[:0])[0].tolist() == []
    assert numbers is not None
    assert numbers.tolist() == [0, 1, 0, 0, 1, 2]
    assert told_apart(hashes[[0, 1, 5]])[1] is None


def test_rows_keep_their_numbers_when_a_table_gets_another_column(tmp_path: Path) -> None:
    """Without a unit id every row is then another one by what it holds; one person less is told of all the same."""
    path = tmp_path / "bank.sqlite"
    with closing(open_books(path)) as books:
        assert releaser(books, PEOPLE)((range(40), "sum of x", (117,))) == [(117,)]
    wider = PEOPLE.append_column("y", pa.array(range(40)))
    with closing(open_books(path)) as books:
        with pytest.raises(DifferencingRefused):
            releaser(books, wider)((range(39), "sum of x", (113,)))
        assert releaser(books, wider)((range(36), "sum of x", (100,))) == [(100,)]
        assert releaser(books, wider)((range(40), "count", (40,))) == [(40,)]
    with closing(open_books(path)) as books, pytest.raises(DifferencingRefused):
        releaser(books, wider)((range(2, 40), "count", (38,)))


def test_rows_that_come_when_others_went_are_not_the_same(tmp_path: Path) -> None:
    """They have their numbers, and are compared by what they hold too: else the change would be told."""
    other = pa.concat_tables([PEOPLE.slice(2), pa.table({"id": ["new 1", "new 2"], "x": [100, 200]})])
    with closing(open_books(tmp_path / "bank.sqlite", Unit())) as books:
        releaser(books, PEOPLE)((range(40), "sum of x", (117,)))
        with pytest.raises(DifferencingRefused):
            releaser(books, other)((range(40), "mean of x", (40, 10.0)))


def test_what_another_process_let_out_counts(tmp_path: Path) -> None:
    path = tmp_path / "bank.sqlite"
    with closing(open_books(path)) as books, closing(open_books(path)) as others:
        mine, theirs = releaser(books, PEOPLE), releaser(others, PEOPLE)
        mine((range(20), "count", (20,)))
        theirs((range(20, 40), "count", (20,)))
        with pytest.raises(DifferencingRefused):
            mine((range(19, 40), "count", (21,)))
        with pytest.raises(DifferencingRefused):
            theirs((range(39), "count", (39,)))
        assert mine((range(40), "count", (40,))) == [(40,)]


def test_what_the_ledger_did_not_keep_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is not on disk has not left; what follows from it in memory goes."""
    with closing(open_books(tmp_path / "bank.sqlite")) as books:
        release = releaser(books, PEOPLE)
        with monkeypatch.context() as patched:
            patched.setattr(DisclosureTables, "told", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                release((range(40), "count", (40,)))
        assert release((range(39), "count", (39,))) == [(39,)]
        with pytest.raises(DifferencingRefused):
            release((range(40), "count", (40,)))


def test_extremes_have_a_rule_of_their_own() -> None:
    """Rows that sets with a minimum or maximum tell apart are of three units at least; sums may tell finer parts."""
    with closing(open_books(None)) as books:
        guard = Guard("bank", Store("bank", {"t": PEOPLE}), books)

        def ask(n: int, rows: range, statistic: str) -> list[Figures]:
            request = Request(
                run_id=str(n),
                operation="aggregate",
                caller="ann",
                purpose="p",
                parties=("bank", "shop"),
                operands={},
                parameters={},
            )
            extreme = statistic in ("min", "max")
            made = RowSet(rows=np.array(rows), measure=f"{statistic} of x", figures=(len(rows), n), extreme=extreme)
            return guard.screener(request, Operand(table="t", columns=()), "memory", None, K)([made], K)

        assert ask(0, range(20), "max") == [(20, 0)]
        assert ask(1, range(10, 30), "max") == [(20, 1)]
        with pytest.raises(DifferencingRefused):
            ask(2, range(12, 28), "min")  # two rows of 10 to 30 are in one of the sets alone
        assert ask(3, range(12, 28), "sum") == [(16, 3)]
        assert ask(4, range(14, 26), "max") == [(12, 4)]
        assert ask(5, range(20), "max") == [(20, 0)]


def test_as_many_independent_figures_as_units_allow() -> None:
    """Of 40 rows 13 for a minimum count of 3; what follows from them is told all the same."""
    rng = np.random.default_rng(4)
    with closing(open_books(None)) as books:
        release, told = releaser(books, PEOPLE), []
        for _ in range(50):
            rows = np.flatnonzero(rng.random(40) < 0.5).tolist()
            try:
                release((rows, "count", (len(rows),)))
                told.append(rows)
            except DifferencingRefused as refused:
                full = "as many different exact figures" in refused.message
                assert full == (len(told) == 13) or not full
        assert 5 < len(told) <= 13
        assert release((told[0], "sum of x", (1,))) == [(1,)]

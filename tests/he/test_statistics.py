"""Pooled statistics against exact arithmetic: whatever the rows, the stated error covers the whole difference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from claims import Cases, Counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pooling import Truth, answer_of, ask, cosine_within, in_the_clear, request_for, root_within, statistic, within

from privsdk.errors import DataError, InvalidArgument
from privsdk.he.statistics import totals
from privsdk.he.statistics.fixedpoint import FixedPoint, exact_products
from privsdk.he.statistics.moments import Moments, Rounding
from privsdk.he.statistics.statistic import Statistic
from privsdk.he.statistics.totals import bins_of
from privsdk.protocol.columns.keys import plain_keys
from privsdk.protocol.operation import operation_of

ERRORS = pytest.mark.claim("he: statistics are within their stated errors of exact arithmetic, whatever the rows")
INTEGERS = pytest.mark.claim("he: statistics of integers are exact but for one rounding to a float")

DRAWN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

BOUND = 1000.0
RESOLUTIONS = [None, 2.0**-20, 0.01, 1 / 3, 0.3, 1.0, 7.0, 2.0**-49]


@pytest.fixture(autouse=True)
def clear(request: pytest.FixtureRequest) -> Iterator[None]:
    if "encrypted" in request.keywords:
        yield
    else:
        with in_the_clear():
            yield


def reals(bound: float = BOUND) -> st.SearchStrategy[float]:
    """Ordinary values, and those that go wrong: at the bound, tiny, denormal, close together, halves of a grid."""
    odd = [bound, -bound, 0.0, -0.0, 5e-324, -2.5e-310, 1e-300, 0.005, 0.5, -0.5, 999.9999999999999, 1 / 3]
    return st.floats(-bound, bound) | st.sampled_from(odd) | st.integers(-8, 8).map(lambda n: 500.0 + n * 2.0**-40)


Parties = list[list[tuple[Any, ...]]]


def parties_of(values: st.SearchStrategy[Any], width: int, *, least: int = 0) -> st.SearchStrategy[Parties]:
    row = st.tuples(*[values | st.none() if i == 0 else values for i in range(width)])
    return st.lists(st.lists(row, min_size=least, max_size=8), min_size=1, max_size=4)


def tables_of(parties: Parties, width: int, type_: pa.DataType | None = None) -> list[pa.Table]:
    type_ = pa.float64() if type_ is None else type_
    names = [chr(ord("x") + i) for i in range(width)]
    return [
        pa.table(
            {n: pa.array([row[i] for row in rows], type_) for i, n in enumerate(names)},
            pa.schema([(n, type_) for n in names]),
        )
        for rows in parties
    ]


def truth_of(parties: Parties) -> Truth:
    return Truth([row for rows in parties for row in rows if None not in row])


@ERRORS
@DRAWN
@given(parties=parties_of(reals(), 1), resolution=st.sampled_from(RESOLUTIONS), ddof=st.integers(0, 3))
def test_one_column(cases: Cases, parties: Parties, resolution: float | None, ddof: int) -> None:
    cases(4)
    tables, truth = tables_of(parties, 1), truth_of(parties)
    options = {"bound": BOUND, "resolution": resolution}
    total = ask(statistic("sum", ["x"], **{**options, "bound": 8 * BOUND}), tables)
    assert within(total.value, total.error, truth.total())
    mean = ask(statistic("mean", ["x"], **{**options, "bound": 8 * BOUND}), tables)
    found = ask(statistic("variance", ["x"], **options), tables, ddof=ddof)
    assert mean.count == found.count == truth.count
    assert found.ddof == ddof
    if truth.count:
        assert within(mean.value, mean.error, truth.mean())
        assert within(found.mean, found.mean_error, truth.mean())
    else:
        assert math.isnan(mean.value)
        assert math.isnan(found.mean)
    if truth.count > ddof:
        assert found.value >= 0
        assert within(found.value, found.error, truth.covariance(ddof=ddof))
        assert root_within(found.std, found.std_error, truth.covariance(ddof=ddof))
    else:
        assert math.isnan(found.value)
        assert math.isnan(found.std)


@ERRORS
@DRAWN
@given(parties=parties_of(reals(), 3), resolution=st.sampled_from(RESOLUTIONS), ddof=st.integers(0, 2))
def test_several_columns(cases: Cases, parties: Parties, resolution: float | None, ddof: int) -> None:
    cases(18)
    tables, truth = tables_of(parties, 3), truth_of(parties)
    options = {"bound": BOUND, "resolution": resolution}
    covariance = ask(statistic("covariance", ["x", "y", "z"], **options), tables, ddof=ddof)
    correlation = ask(statistic("correlation", ["x", "y", "z"], **options), tables, ddof=0)
    assert covariance.count == correlation.count == truth.count
    for i in range(3):
        for j in range(3):
            if truth.count > ddof:
                exact = truth.covariance(i, j, ddof=ddof)
                assert within(covariance.values[i, j], covariance.errors[i, j], exact)
            else:
                assert np.isnan(covariance.values[i, j])
            value, error = correlation.values[i, j], correlation.errors[i, j]
            if {"xyz"[i], "xyz"[j]} & set(correlation.undefined):
                assert np.isnan(value)
                continue
            squares = truth.covariance(i, i, ddof=0) * truth.covariance(j, j, ddof=0)
            assert squares > 0, "a constant column was taken for one that varies"
            assert -1 <= value <= 1
            assert cosine_within(value, error, truth.covariance(i, j, ddof=0), squares)


@INTEGERS
@DRAWN
@given(
    parties=parties_of(st.integers(-(2**40), 2**40) | st.sampled_from([2**40, -(2**40), 0, 1]), 2),
    ddof=st.integers(0, 2),
)
def test_integers(cases: Cases, parties: Parties, ddof: int) -> None:
    cases(5)
    tables, truth = tables_of(parties, 2, pa.int64()), truth_of(parties)
    total = ask(statistic("sum", ["y"], integers=True, bound=2.0**43), tables)
    every = Truth([row[1:] for rows in parties for row in rows])
    assert total.value == float(every.total())
    assert (total.error == 0) == (Fraction(total.value) == every.total())
    if every.count:
        assert ask(statistic("mean", ["y"], integers=True, bound=2.0**43), tables).value == float(every.mean())
    found = ask(statistic("covariance", ["x", "y"], integers=True), tables, ddof=ddof)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        if truth.count > ddof:
            exact = truth.covariance(i, j, ddof=ddof)
            assert found.values[i, j] == float(exact)
            assert within(found.values[i, j], found.errors[i, j], exact)
            assert found.errors[i, j] <= abs(exact) * Fraction(1, 2**52)


@ERRORS
def test_columns_that_go_wrong_in_floats(cases: Cases, counts: Counts) -> None:
    """Columns where sums of squares in floats lose everything to cancellation, overflow or underflow."""
    rng = np.random.default_rng(11)
    rows = counts(40, 40, 200)
    columns = {
        "at the bound": np.full(rows, BOUND),
        "both bounds": BOUND * (-1.0) ** np.arange(rows),
        "one apart": np.r_[np.full(rows - 1, BOUND), np.nextafter(BOUND, 0)],
        "offset": 999.0 + rng.normal(0, 1e-9, rows).clip(-1, 1),
        "tiny": np.full(rows, 1e-300) * rng.integers(-1, 2, rows),
        "denormal": 5e-324 * rng.integers(0, 9, rows),
        "mixed": np.array([BOUND, 1e-300, -BOUND, 5e-324, 0.0] * rows)[:rows],
        "spread": rng.choice([-1, 1], rows) * 10.0 ** rng.uniform(-300, 2, rows),
        "constant": np.full(rows, 1 / 3),
    }
    for first, (name, x) in enumerate(columns.items()):
        for other, y in [*columns.items()][counts(first, 0, 0) :]:  # in either order, where it is not for `make test`
            truth, cut = Truth(list(zip(x, y, strict=True))), rows // 3
            halves = [pa.table({"x": x[a:b], "y": y[a:b]}) for a, b in ((0, cut), (cut, 2 * cut), (2 * cut, rows))]
            for resolution in (None, 2.0**-30, 0.01):
                options = {"bound": BOUND, "resolution": resolution}
                covariance = ask(statistic("covariance", ["x", "y"], **options), halves)
                correlation = ask(statistic("correlation", ["x", "y"], **options), halves)
                for i, j in ((0, 0), (0, 1), (1, 1)):
                    exact = truth.covariance(i, j)
                    assert within(covariance.values[i, j], covariance.errors[i, j], exact), (name, other, resolution)
                    if not np.isnan(correlation.values[i, j]):
                        squares = truth.covariance(i, i) * truth.covariance(j, j)
                        assert cosine_within(correlation.values[i, j], correlation.errors[i, j], exact, squares)
                    cases(2)


def test_offsets_do_not_cost_precision() -> None:
    """sum(x**2) - n * mean**2 in floats has no right digit here; on the grid the error is that of the spread."""
    x = 999.0 + np.random.default_rng(3).normal(0, 1e-6, 3000)
    naive = (np.sum(x**2) - len(x) * np.mean(x) ** 2) / (len(x) - 1)
    tables = [pa.table({"x": part}) for part in np.split(x, 3)]
    found = ask(statistic("variance", ["x"], bound=BOUND), tables)
    exact = Truth([(v,) for v in x]).covariance()
    assert abs(naive - exact) > exact / 10
    assert within(found.value, found.error, exact)
    assert found.error < exact * Fraction(1, 10**7)


def test_many_rows_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows as are declared, all at the bound: nothing overflows, here or in the encryption's range."""
    rows = 1 << 17
    monkeypatch.setattr(totals, "ROWS_A_STEP", rows // 2)
    columns = {"x": pa.array(np.full(rows, 2**62)), "y": pa.array(np.full(rows, -(2**62)))}
    asked = statistic("covariance", ["x", "y"], integers=True, bound=2.0**62, max_rows=rows)
    table = answer_of(asked, [pa.table(columns), pa.table({"x": columns["y"], "y": columns["x"]})])
    found = {name: int(table[name][0].as_py()) for name in table.column_names}
    squares = 2 * rows * 2**124
    assert found == {
        "sum 0": 0,
        "sum 1": 0,
        "product 0 0": squares,
        "product 0 1": -squares,
        "product 1 1": squares,
        "rows": 2 * rows,
    }


@given(
    values=st.lists(st.tuples(*[st.integers(-(2**62), 2**62)] * 2, st.integers(0, 3)), max_size=30),
    small=st.booleans(),
)
def test_products_are_exact(values: list[tuple[int, int, int]], small: bool) -> None:
    values = sorted(values, key=lambda v: v[2])
    if small:
        values = [(a >> 33, b >> 33, code) for a, b, code in values]
    a, b, codes = (np.array([v[i] for v in values], dtype=np.int64) for i in range(3))
    found = dict.fromkeys(codes.tolist(), 0)
    for code, amount in exact_products(a, b, codes):
        found[code] += amount
    assert found == {code: sum(x * y for x, y, c in values if c == code) for code in found}


@pytest.mark.parametrize("type_", [pa.int64(), pa.uint64(), pa.int8(), pa.float64(), pa.float32(), pa.bool_()])
@given(data=st.data())
def test_histograms_are_numpys(type_: pa.DataType, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.lists(st.floats(-300, 300, width=16), min_size=2, max_size=9, unique=True)))
    exact = {"int8": st.integers(-128, 127), "bool": st.booleans(), "uint64": st.integers(0, 300)}
    values = exact.get(str(type_), st.integers(-300, 300))
    if pa.types.is_floating(type_):
        values = st.floats(-300, 300, width=16) | st.sampled_from(edges)
    columns = data.draw(st.lists(st.lists(values | st.none(), max_size=20), min_size=1, max_size=3))
    asked = statistic("histogram", ["x"], edges=tuple(edges))
    found = ask(asked, [pa.table({"x": pa.array(column, type_)}) for column in columns], min_parties=0)
    known = [float(v) for column in columns for v in column if v is not None]
    assert found["count"].to_pylist() == np.histogram(known, bins=edges)[0].tolist()
    assert found["from"].to_pylist() + found["to"].to_pylist()[-1:] == edges


@pytest.mark.parametrize("type_", [np.int64, np.uint64])
def test_integers_that_no_float_holds_fall_into_their_bin(type_: type) -> None:
    """As floats, 2**53 + 1 and 2**62 - 1 would pass the edges next to them."""
    limits = np.iinfo(type_)
    values = [2**53 - 1, 2**53, 2**53 + 1, 2**62 - 1, 2**62, limits.max, limits.min]
    edges = [-(2.0**70), -1.0, 2.0**53 + 2, 2.0**62, 2.0**70]
    bins = [next((i for i in range(4) if edges[i] <= v < edges[i + 1]), -1) for v in values]
    assert bins_of(np.array(values, dtype=type_), edges).tolist() == bins
    closed = [2.0**53, 2.0**62]
    assert bins_of(np.array(values, dtype=type_), closed).tolist() == [-1, 0, 0, 0, 0, -1, -1]
    assert bins_of(np.array(values, dtype=type_), [0.25, 0.5]).tolist() == [-1] * 7


@given(
    parties=st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", None]), reals() | st.none()), max_size=12),
        min_size=1,
        max_size=4,
    )
)
@ERRORS
@DRAWN
def test_by_group(cases: Cases, parties: list[list[tuple[str | None, float | None]]]) -> None:
    """Each group's answer is that of its rows alone."""
    cases(16)
    keys = ("c", "a", "nowhere", "b")
    tables = [
        pa.table({"g": pa.array([g for g, _ in rows], pa.string()), "x": pa.array([x for _, x in rows], pa.float64())})
        for rows in parties
    ]
    by = {"by": "g", "keys": keys}
    thresholds = {"min_count": 0, "min_parties": 0}
    answers = {
        name: ask(statistic(name, ["x"], bound=16 * BOUND, **by), tables, **thresholds)
        for name in ("sum", "mean", "variance")
    }
    counts = ask(statistic("count", **by), tables, **thresholds)
    for i, key in enumerate(keys):
        rows = [[(x,) for g, x in party if g == key] for party in parties]
        truth = truth_of(rows)
        assert counts["count"][i].as_py() == sum(map(len, rows))
        total, mean, variance = (
            {k: v[i].as_py() for k, v in zip(t.column_names, t.columns, strict=True)} for t in answers.values()
        )
        assert total["g"] == mean["g"] == variance["g"] == key
        assert within(total["sum"], total["error"], truth.total())
        assert mean["count"] == variance["count"] == truth.count
        assert math.isnan(mean["mean"]) if not truth.count else within(mean["mean"], mean["error"], truth.mean())
        if truth.count > 1:
            assert within(variance["variance"], variance["error"], truth.covariance())
            assert root_within(variance["std"], variance["std_error"], truth.covariance())
            assert within(variance["mean"], variance["mean_error"], truth.mean())


NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
KEYS: dict[str, tuple[pa.DataType, list[Any], list[Any]]] = {
    "text": (pa.string(), ["a", "b"], ["b", "nowhere", "a"]),
    "integers": (pa.int16(), [3, -7], [-7, 99, 3]),
    "unsigned": (pa.uint64(), [3, 2**64 - 1], [3, 5]),
    "booleans": (pa.bool_(), [True, False], [False, True]),
    "floats": (pa.float32(), [3.0, 0.5], [3, 4]),
    "decimals": (pa.decimal128(9, 2), [Decimal("1.50"), Decimal(2)], [Decimal("1.5"), 2, Decimal("0.001")]),
    "dates": (pa.date32(), [date(2020, 1, 1), date(1950, 5, 5)], [date(1950, 5, 5), date(2020, 1, 1)]),
    "local times": (
        pa.timestamp("ms"),
        [datetime(2020, 1, 1, 12), datetime(2022, 1, 1)],
        [datetime(2020, 1, 1, 12), datetime(2021, 1, 1)],
    ),
    "instants": (
        pa.timestamp("us", "Europe/Paris"),
        [NOON, NOON + timedelta(1)],
        [NOON.astimezone(timezone(timedelta(hours=9)))],
    ),
    "durations": (pa.duration("s"), [timedelta(1), timedelta(2)], [timedelta(2)]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_kind(kind: str) -> None:
    type_, present, keys = KEYS[kind]
    table = pa.table({"g": pa.array([*present, present[0], None], type_), "x": [1, 2, 4, 8]})
    found = ask(
        statistic("sum", ["x"], integers=True, by="g", keys=plain_keys("g", keys)),
        [table, table],
        min_count=0,
        min_parties=0,
    )
    assert found["sum"].to_pylist() == [
        2 * sum(x for x, g in zip([1, 2, 4], [*present, present[0]], strict=True) if g == k) for k in keys
    ]
    assert found["sum"].type == pa.int64()


def test_against_pandas_and_duckdb() -> None:
    rng = np.random.default_rng(5)
    frames = [
        pd.DataFrame(
            {
                "x": np.where(rng.random(n) < 0.1, np.nan, rng.normal(50, 20, n)),
                "y": np.where(rng.random(n) < 0.1, np.nan, rng.normal(5, 2, n)),
                "n": rng.integers(-9, 99, n),
                "g": rng.choice(["a", "b", "c"], n),
            }
        )
        for n in (300, 200, 400)
    ]
    whole = pd.concat(frames)
    tables = [pa.Table.from_pandas(frame, preserve_index=False) for frame in frames]
    complete = whole[["x", "y", "n"]].dropna()
    columns = ["x", "y", "n"]
    assert ask(statistic("covariance", columns, bound=BOUND), tables).values == pytest.approx(
        complete.cov().to_numpy(), rel=1e-9
    )
    assert ask(statistic("correlation", columns, bound=BOUND), tables).values == pytest.approx(
        complete.corr().to_numpy(), abs=1e-9
    )
    assert ask(statistic("variance", ["x"], bound=BOUND), tables, ddof=0).value == pytest.approx(
        np.nanvar(whole.x), rel=1e-9
    )
    with duckdb.connect() as sql:
        sql.register("whole", whole)
        rows = sql.execute(
            "SELECT g, count(x), avg(x), var_samp(x), stddev_samp(x) FROM whole WHERE x <> 'nan' GROUP BY g ORDER BY g"
        ).fetchall()
    found = ask(statistic("variance", ["x"], bound=BOUND, by="g", keys=("a", "b", "c")), tables)
    for i, (_, count, mean, variance, deviation) in enumerate(rows):
        assert found["count"][i].as_py() == count
        assert [found[name][i].as_py() for name in ("mean", "variance", "std")] == pytest.approx(
            [mean, variance, deviation], rel=1e-9
        )


ENCRYPTED = {
    "count": statistic("count", by="g", keys=("a", "b")),
    "sum": statistic("sum", ["x"], by="g", keys=("b", "a")),
    "mean": statistic("mean", ["n"], integers=True, by="g", keys=("a",)),
    "variance": statistic("variance", ["x"], by="g", keys=("a", "b")),
    "covariance": statistic("covariance", ["x", "n"]),
    "correlation": statistic("correlation", ["x", "n"]),
    "histogram": statistic("histogram", ["x"], edges=(0.0, 25.0, 50.0, 60.0, 100.0)),
}


@pytest.mark.encrypted
@pytest.mark.claim("he: every statistic is the same under encryption as in the clear")
@pytest.mark.parametrize("name", ENCRYPTED)
def test_encryption_changes_nothing(name: str, cases: Cases) -> None:
    rng = np.random.default_rng(2)
    tables = [
        pa.table({"x": rng.normal(50, 20, n), "n": rng.integers(-(10**9), 10**9, n), "g": rng.choice(["a", "b"], n)})
        for n in (30, 40, 50)
    ]
    encrypted = answer_of(ENCRYPTED[name], tables)
    with in_the_clear():
        assert answer_of(ENCRYPTED[name], tables).equals(encrypted, check_metadata=True)
    cases(sum(len(column) for column in encrypted.columns))


BAD = {
    "nan": ([1.0, math.nan], "north|p1's x holds a NaN or infinite value"),
    "infinite": ([1.0, math.inf], "p1's x holds a NaN or infinite value"),
    "beyond the bound": ([1.0, 1e6], "p1's x (holds a value beyond|exceeds) the declared bound of 1000"),
    "too many": ([1.0] * 9, "p1 has more rows than the declared 8"),
    "too few": ([1.0], "p1 has fewer values in x than its minimum count of 2"),
    "all null": ([None, None, None], "p1 has fewer values in x than its minimum count of 2"),
    "none": ([], "p1 has fewer values in x than its minimum count of 2"),
}


@pytest.mark.parametrize("name", ["sum", "mean", "variance", "histogram"])
@pytest.mark.parametrize("bad", BAD)
def test_what_a_party_refuses(name: str, bad: str) -> None:
    """Before anything leaves it, naming itself and the column and no value."""
    values, message = BAD[bad]
    if name == "histogram" and bad in ("beyond the bound", "nan", "infinite"):  # which are in no bin
        return
    options: dict[str, Any] = {"edges": (0.0, 1.0)} if name == "histogram" else {"bound": BOUND}
    tables = [pa.table({"x": pa.array(v, pa.float64())}) for v in ([1.0, 2.0, 3.0], values)]
    transcript: list[Any] = []
    with pytest.raises(DataError, match=message) as refused:
        ask(statistic(name, ["x"], max_rows=8, **options), tables, min_count=2, transcript=transcript)
    assert "1000000" not in str(refused.value)
    assert not [sent for sent in transcript if sent.sender == "p1"]


@pytest.mark.parametrize("values", [[2**62 + 1], [-(2**62) - 1], [-(2**63)]])
def test_integers_beyond_the_bound_are_refused(values: list[int]) -> None:
    asked = statistic("variance", ["x"], integers=True, bound=2.0**62)
    with pytest.raises(DataError, match="beyond the declared bound"):
        ask(asked, [pa.table({"x": pa.array(values, pa.int64())})])
    with pytest.raises(DataError, match="beyond the declared bound"):
        ask(asked, [pa.table({"x": pa.array([2**64 - 1], pa.uint64())})])


def test_a_null_leaves_its_row_out() -> None:
    columns = {"x": [1.0, None, 3.0, 5.0], "y": [1.0, 100.0, None, 9.0]}
    found = ask(statistic("covariance", ["x", "y"]), [pa.table(columns)])
    assert (found.count, found.values.tolist()) == (2, [[8.0, 16.0], [16.0, 32.0]])


def test_a_column_of_no_type_has_no_values() -> None:
    tables = [pa.table({"x": pa.nulls(3)}), pa.table({"x": [1.0, 2.0]})]
    assert ask(statistic("sum", ["x"]), tables).value == 3.0


def test_constant_columns_have_no_correlation() -> None:
    table = pa.table({"x": [1 / 3] * 9, "y": np.arange(9.0), "z": [5.0] * 8 + [5.0 + 1e-9]})
    found = ask(statistic("correlation", ["x", "y", "z"], resolution=2.0**-20), [table])
    assert found.undefined == ("x", "z")  # z varies by less than its grid
    assert np.isnan(found.values).sum() == 8
    assert found.values[1, 1] == 1.0
    assert "undefined  of x, z: constant to within the grid" in repr(found)
    none = ask(statistic("correlation", ["x", "y"]), [table.slice(0, 1)])
    assert none.undefined == ("x", "y")
    assert "error" not in repr(none)


def test_sums_of_the_finest_and_the_largest() -> None:
    """Grids at the ends of what floats can say."""
    tiny = ask(statistic("sum", ["x"], bound=1e-300), [pa.table({"x": [5e-324, 1e-308, -5e-324]})])
    assert within(tiny.value, tiny.error, Fraction(1e-308))
    huge = ask(statistic("sum", ["x"], bound=1e300), [pa.table({"x": [1e300, -1e300, 1e284]})])
    assert within(huge.value, huge.error, Fraction(1e284))
    small = ask(statistic("variance", ["x"], bound=1e-170), [pa.table({"x": [1e-170, -1e-170, 1e-180]})])
    exact = Truth([(1e-170,), (-1e-170,), (1e-180,)]).covariance()
    assert within(small.value, small.error, exact)  # its square is below all floats
    assert root_within(small.std, small.std_error, exact)


@given(st.integers(2, 40), st.sampled_from(RESOLUTIONS[1:]), st.integers(0, 1000))
def test_the_rounding_of_a_value_is_bounded(n: int, resolution: float, seed: int) -> None:
    bound = min(resolution * 2.0**60, 2.0**70)
    grid = FixedPoint(bound=bound, resolution=resolution)
    values = np.random.default_rng(seed).uniform(-bound, bound, n)
    values[0], values[1] = bound, -bound
    for value, units in zip(values, grid.each_to_units(values, party="p", name="x").tolist(), strict=True):
        assert abs(units - Fraction(value) / grid.unit) <= grid.rounding
        assert abs(units) <= grid.max_units


def test_rounding_that_turns_a_column() -> None:
    """Each value is rounded in the worst way for a correlation: it moves by d / s, of which two times is stated."""
    y = np.array([900.0, 900.0, -900.0, -900.0] * 5)
    x = np.array([10.0, -10.0, 10.0, -10.0] * 5) + 0.499 * np.sign(y)
    found = ask(statistic("correlation", ["x", "y"], resolution=1.0), [pa.table({"x": x, "y": y})])
    truth = Truth(list(zip(x, y, strict=True)))
    assert found.values[0, 1] == 0.0
    assert 0.049 < truth.covariance(0, 1) / Fraction(900 * 10) < 0.06
    squares = truth.covariance(0, 0) * truth.covariance(1, 1)
    assert cosine_within(found.values[0, 1], found.errors[0, 1], truth.covariance(0, 1), squares)
    assert found.errors[0, 1] < 0.11


def test_a_spread_that_rounding_may_have_made_is_none() -> None:
    table = pa.table({"x": [0.4999, 0.5001] * 5, "y": np.arange(10.0)})
    found = ask(statistic("correlation", ["x", "y"], resolution=1.0), [table])
    assert found.undefined == ("x",)
    assert np.isnan(found.values[0, 1])


def test_values_that_are_many_units() -> None:
    """There a float is not within half a unit of its number of units, and the stated error says so."""
    bound = 0.3 * 2.0**60
    for near in (bound, -bound):
        x = near - math.copysign(64.0, near) * np.arange(12)
        found = ask(statistic("variance", ["x"], bound=bound, resolution=0.3), [pa.table({"x": x})])
        exact = Truth([(v,) for v in x]).covariance()
        assert within(found.value, found.error, exact)
        assert root_within(found.std, found.std_error, exact)
        assert not root_within(found.std, 0.15, exact)


def test_bounds_are_not_idle() -> None:
    """Rounding can move a variance by as much as is stated: values that all lie half a unit off, away from the mean."""
    half = Fraction(1, 2)
    x = [Fraction(-10) - half, Fraction(10) + half] * 5
    rounded = [round(v * 2) // 2 if v > 0 else -(round(-v * 2) // 2) for v in x]
    assert {abs(v) for v in rounded} == {10}
    moments = Moments(10, [0], {(0, 0): 1000}, [Rounding(Fraction(1), half)], 0)
    exact = sum(v * v for v in x) / 10
    assert moments.covariance(0, 0).error == pytest.approx(float(exact - 100), rel=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "covariance", "columns": [f"c{n}" for n in range(129)]},
        {"name": "sum", "columns": ["x", "x"]},
        {"name": "count", "columns": ["x"]},
        {"name": "histogram", "columns": ["x"]},
        {"name": "sum", "columns": ["x"], "edges": (0.0, 1.0)},
        {"name": "correlation", "columns": ["x", "y"], "by": "g", "keys": ("a",)},
        {"name": "histogram", "columns": ["x"], "edges": (0.0, 1.0), "by": "g", "keys": ("a",)},
        {"name": "histogram", "columns": ["x"], "edges": tuple(map(float, range(2**12 + 2)))},
        {"name": "variance", "columns": ["x"], "by": "g", "keys": tuple(range(90_000))},
        {"name": "variance", "columns": ["x"], "bound": 1.0, "resolution": 2.0**-63},
        {"name": "variance", "columns": ["x"], "preset": "ckks"},
        {"name": "sum", "columns": ["x"], "by": "g", "keys": ("a",), "preset": "ckks"},
        {"name": "sum", "columns": ["x"], "max_rows": 0},
        {"name": "sum", "columns": ["x"], "by": "g"},
    ],
)
def test_parameters_that_cannot_be_used(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        statistic(**options)


def test_parameters_that_contradict_themselves() -> None:
    """No verb makes these."""
    grid = FixedPoint(bound=8.0, resolution=2.0)
    with pytest.raises(InvalidArgument, match="are rounded"):
        Statistic(name="sum", columns=("x",), grids=(grid,), whole=(True,), max_rows=9)
    for grids, whole in (((), ()), ((grid, grid), (False, False)), ((grid,), ())):
        with pytest.raises(InvalidArgument, match=r"on \d grids"):
            Statistic(name="sum", columns=("x",), grids=grids, whole=whole, max_rows=9)


def test_reals_in_place_of_integers_are_refused() -> None:
    """The error is stated for integers; a table that holds reals by now would be rounded in silence."""
    asked = statistic("sum", ["x"], integers=True)
    operation = operation_of(request_for(asked, ["p0"]))
    operation.fits("p0", pa.schema([("x", pa.int32())]))
    with pytest.raises(InvalidArgument, match="x holds numbers between the steps of 1"):
        operation.fits("p0", pa.schema([("x", pa.float32())]))

"""Statistics over a join beside the same of the pooled columns: NumPy, SciPy and least squares by QR."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts
from joints import POLICY, held, joined, least_squares, people, rounding
from scipy import stats

import privsdk as ps
from privsdk.errors import DataError, DifferencingRefused, InvalidArgument, PolicyRefused, UnknownName
from privsdk.exact.joint.encoding import encoded
from privsdk.exact.joint.grids import opened
from privsdk.exact.joint.moments import ToldSums
from privsdk.exact.joint.parameters import JointColumn
from privsdk.party.budget import bits

NUMBERS = ["bank.age", "bank.income", "shop.spent", "shop.owns"]


def two(number: int, seed: int) -> tuple[dict[str, Any], np.ndarray[Any, Any], dict[str, pa.Table]]:
    """Columns of people, who of them both know, and both tables."""
    columns, rng = people(number, seed), np.random.default_rng(seed + 1)
    bank, shop = rng.permutation(number)[: number * 9 // 10], rng.permutation(number)[: number * 9 // 10]
    tables = {
        "bank": held(columns, ["age", "income", "debt"], bank),
        "shop": held(columns, ["spent", "owns", "tier"], shop),
    }
    return columns, np.intersect1d(bank, shop), tables


@pytest.mark.claim(
    "joint statistics: covariances and correlations over a join are the pooled ones, within their errors"
)
def test_matrices_are_the_pooled_ones(cases: Cases, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "SHARE", np.inf)  # small tables hold few bits
    for seed in range(counts(3, 20, 200)):
        columns, both, tables = two(400 + 150 * seed % 3000, seed)
        pooled = np.array([columns[name.split(".")[1]][both] for name in NUMBERS], np.float64)
        with joined(tables) as joint:
            covariance = joint.covariance(NUMBERS).release().value
            correlation = joint.correlation(NUMBERS).release().value
        assert covariance.count == correlation.count == len(both)
        for found, right in ((covariance, np.cov(pooled)), (correlation, np.corrcoef(pooled))):
            assert (np.abs(found.values - right) <= found.errors + 1e-9 * np.abs(right)).all()
        assert correlation.errors.max() < 50 / len(both)
        cases(2 * len(NUMBERS) ** 2)


@pytest.mark.claim("joint regression: coefficients are those of pooled least squares, within the rounding of products")
def test_regression_is_the_pooled_one(cases: Cases, counts: Counts) -> None:
    far, names = list[float](), ["bank.age", "bank.income", "shop.owns"]
    for seed in range(counts(3, 20, 200)):
        columns, both, tables = two(2000 + 3000 * seed % 9000, seed)
        label = columns["debt"][both]
        features = np.array([columns[name.split(".")[1]][both] for name in names], np.float64).T
        right, errors = least_squares(label, features)
        with joined(tables) as joint:
            found = joint.regression("bank.debt", names).release().value
        off = np.abs(found.coefficients - right)
        assert np.all(off[1:] < rounding(label, features))
        assert np.all(np.abs(found.standard_errors / errors - 1) < 60 / len(both))
        assert found.degrees == len(both) - 4
        p = 2 * stats.t.sf(np.abs(found.coefficients / found.standard_errors), len(both) - 4)
        assert np.allclose(found.p, p)
        far += list(off / errors * np.sqrt(len(both)))
        cases(len(right))
    cases.say(f"off by {np.sqrt(np.mean(np.square(far))):.1f} / sqrt(n) standard errors")


@pytest.mark.claim("joint statistics: keys at which either of two parties misses a number are left out, and no others")
def test_missing_numbers(cases: Cases) -> None:
    columns, both, tables = two(2000, 5)
    rng = np.random.default_rng(0)
    gaps = {"bank": rng.random(2000) < 0.1, "shop": rng.random(2000) < 0.07}
    for lacking in (("bank",), ("shop",), ("bank", "shop")):
        given, complete = dict(tables), np.ones(2000, np.bool_)
        for party, name in zip(lacking, ("income", "spent") if lacking[0] == "bank" else ("spent",), strict=False):
            rows = np.array([int(key[1:]) for key in tables[party]["id"].to_pylist()])
            values = pa.array(np.where(gaps[party][rows], np.nan, columns[name][rows]), from_pandas=party == "bank")
            given[party] = tables[party].set_column(tables[party].column_names.index(name), name, values)
            complete &= ~gaps[party]
        rows = both[complete[both]]
        pooled = np.array([columns[name.split(".")[1]][rows] for name in NUMBERS], np.float64)
        with joined(given) as joint:
            found = joint.covariance(NUMBERS).release().value
            model = joint.regression("bank.debt", ["bank.age", "bank.income", "shop.owns"]).release().value
        assert abs(found.count - len(rows)) < 16
        assert found.count < len(both)
        slack = 17 / len(rows) * np.abs(np.cov(pooled))  # of their number, which is rounded too
        assert (np.abs(found.values - np.cov(pooled)) <= found.errors + slack).all()
        label, features = columns["debt"][rows], pooled[[0, 1, 3]].T
        right, _ = least_squares(label, features)
        assert np.all(np.abs(model.coefficients - right)[1:] < rounding(label, features))
        cases(len(rows))


def test_regression_of_three_to_five_parties() -> None:
    columns, rng = people(1500, 9), np.random.default_rng(1)
    others = {
        f"lab{i}": pa.table({"id": [f"p{row}" for row in range(1500)], "x": rng.normal(i, 1, 1500)}) for i in range(3)
    }
    tables = {
        "bank": held(columns, ["age", "debt"], np.arange(1500)),
        "shop": held(columns, ["spent"], np.arange(1500)),
    }
    for number in (1, 3):
        given = tables | dict(list(others.items())[:number])
        names = ["bank.age", "shop.spent", *(f"{party}.x" for party in list(given)[2:])]
        features = [columns["age"], columns["spent"], *(table["x"].to_numpy() for table in list(given.values())[2:])]
        matrix = np.array(features, np.float64).T
        right, errors = least_squares(columns["debt"], matrix)
        with joined(given) as joint:
            found = joint.regression("bank.debt", names).release().value
        assert np.all(np.abs(found.coefficients - right)[1:] < rounding(columns["debt"], matrix))
        assert np.all(np.abs(found.standard_errors / errors - 1) < 0.05)


def test_ridge_is_the_pooled_one() -> None:
    columns, both, tables = two(1500, 11)
    names = ["bank.age", "shop.owns"]
    features = np.array([columns["age"][both], columns["owns"][both]], np.float64).T
    label = columns["debt"][both]
    centred = features - features.mean(axis=0)
    right = np.linalg.solve(centred.T @ centred + 2000.0 * np.eye(2), centred.T @ (label - label.mean()))
    with joined(tables) as joint:
        found = joint.regression("bank.debt", names, ridge=2000.0).release().value
        plain = joint.regression("bank.debt", names).release().value
    assert np.all(np.abs(found.coefficients[1:] - right) < rounding(label, features))
    assert not np.allclose(plain.coefficients[2], found.coefficients[2], rtol=0.05)
    assert np.isnan(found.standard_errors).all()
    assert "ridge" in str(found)


def test_decimals_and_dates() -> None:
    columns, both, tables = two(800, 3)
    exact = pa.array([Decimal(str(value)) for value in tables["bank"]["debt"].to_pylist()], pa.decimal128(12, 2))
    tables["bank"] = tables["bank"].append_column("money", exact)
    with joined(tables) as joint:
        found = joint.covariance(["bank.money", "shop.spent"]).release().value
    right = np.cov(columns["debt"][both], columns["spent"][both])
    assert (np.abs(found.values - right) <= found.errors).all()


def test_a_feature_that_follows_is_left_out_and_named() -> None:
    _, _, tables = two(1200, 4)
    spent = tables["shop"]["spent"].to_numpy()
    tables["shop"] = tables["shop"].append_column("double", pa.array(2 * spent - 7))
    with joined(tables) as joint:
        names = ["bank.age", "shop.spent", "shop.double"]
        found = joint.regression("bank.debt", names).release().value
        right = joint.regression("bank.debt", names[:2]).release().value
    assert found.excluded == ("shop.double",)
    assert np.isnan(found.coefficients[-1])
    assert np.all(np.abs(found.coefficients[:-1] - right.coefficients) < 2 * right.standard_errors)
    assert "shop.double: follows from the other features" in str(found)


@pytest.mark.claim("joint statistics: shares cut to a grid open within it, whatever figure and share, without bias")
def test_cut_shares_open_to_the_figure(cases: Cases) -> None:
    prime = 1009
    for grid in (1, 2, 8, 32):
        for figure in (*range(-126, -120), *range(-3, 4), 60, 126):
            shares = np.arange(prime)
            cut = np.stack([shares // grid, (figure - shares) % prime // grid], axis=1)
            found = np.array([opened(pair, grid, prime) for pair in cut.tolist()])
            assert np.abs(found - figure).max() < grid + prime % grid
            assert abs(found.mean() - figure) <= grid**2 / prime
            cases(prime)


@pytest.mark.claim(
    "joint crosstab: each cell within the minimum count's power of two, unbiased; mutual information in 0.01"
)
def test_crosstab(cases: Cases, counts: Counts) -> None:
    off = list[float]()
    for seed in range(counts(4, 20, 100)):
        columns, both, tables = two(4000, 100 + seed)
        with joined(tables) as joint:
            found = joint.crosstab("shop.tier", "bank.age", edges={"bank.age": [30, 50, 70]}).release().value
        cut = np.digitize(columns["age"][both], [30, 50, 70])
        tier = columns["tier"][both]
        right = np.array([[np.sum((tier == t) & (cut == c)) for c in range(4)] for t in found.labels[0]])
        assert found.labels[1] == ("below 30", "30 to below 50", "50 to below 70", "70 and more")
        assert np.abs(found.counts - right).max() < 16 == found.error
        share = right / right.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            plain = np.nansum(share * np.log(share / np.outer(share.sum(axis=1), share.sum(axis=0))))
        information = plain - (right.shape[0] - 1) * (right.shape[1] - 1) / (2 * right.sum())
        assert abs(found.mutual_information - max(information, 0)) < 0.01
        off += list((found.counts - right).ravel())
        cases(right.size)
    # A cell's rounding has a variance of at most 8^2.
    assert abs(np.mean(off)) < 6 * 8 / np.sqrt(len(off))


def test_weight_of_evidence() -> None:
    columns, both, tables = two(5000, 77)
    with joined(tables) as joint:
        found = joint.crosstab("bank.age", "shop.owns", edges={"bank.age": [30, 50, 70]}).release().value
        with pytest.raises(InvalidArgument, match="takes two"):
            joint.crosstab("shop.owns", "bank.age", edges={"bank.age": [30, 50]}).release().value.weight_of_evidence()
    cut, owns = np.digitize(columns["age"][both], [30, 50, 70]), columns["owns"][both]
    first = np.array([np.sum((cut == c) & ~owns) for c in range(4)]) / np.sum(~owns)
    second = np.array([np.sum((cut == c) & owns) for c in range(4)]) / np.sum(owns)
    table = found.weight_of_evidence()
    assert np.allclose(table["weight of evidence"].to_numpy(), np.log(first / second), atol=0.3)
    assert float(table.schema.metadata[b"information_value"]) == pytest.approx(
        np.sum((first - second) * np.log(first / second)), abs=0.06
    )


@pytest.mark.claim("joint means: the mean of one organisation's column by another's values, within its error")
def test_means(cases: Cases) -> None:
    columns, both, tables = two(3000, 21)
    with joined(tables) as joint:
        found = joint.means("bank.income", by="shop.tier").release().value
    tier = columns["tier"][both]
    for label, mean, error, count in zip(*(found[name].to_pylist() for name in found.column_names), strict=True):
        right = columns["income"][both][tier == label]
        assert count == len(right)
        assert abs(mean - right.mean()) <= error < 0.1 * right.std()
        cases()
    assert found.column_names == ["shop.tier", "mean", "error", "count"]


def test_values_of_few_keys_are_withheld() -> None:
    _, both, tables = two(1000, 30)
    names = tables["shop"]["tier"].to_pylist()
    known = {f"p{row}" for row in both}
    keys, rare = tables["shop"]["id"].to_pylist(), 0
    for i, key in enumerate(keys):
        if key in known and rare < 5:
            names[i], rare = "rare", rare + 1
    tables["shop"] = tables["shop"].set_column(3, "tier", pa.array(names))
    with joined(tables) as joint:
        found = joint.crosstab("shop.tier", "bank.age", edges={"bank.age": [50]}).release()
    assert "rare" not in found.value.labels[0]
    assert found.value.withheld == (2, 0)  # and the next smallest, which would follow from the total
    assert "rare" not in str(found)


def unfit(tables: dict[str, pa.Table], name: str, values: Any) -> str:
    shop = tables["shop"]
    with joined(tables | {"shop": shop.append_column(name, pa.array(values))}) as joint:
        with pytest.raises((DataError, PolicyRefused)) as caught:
            joint.correlation(["bank.age", f"shop.{name}"]).release()
        assert joint.correlation(["bank.age", "shop.spent"]).release().value.count > 0  # nothing else is lost
    assert caught.value.party == "shop"
    return str(caught.value)


def test_columns_that_are_no_factors_are_refused_by_name() -> None:
    _, both, tables = two(300, 40)
    rows = tables["shop"].num_rows
    shared = np.isin([int(key[1:]) for key in tables["shop"]["id"].to_pylist()], both)
    few, one = np.zeros(rows), np.random.default_rng(0).normal(size=rows)
    few[np.flatnonzero(shared)[:9]] = 1.0
    one[np.flatnonzero(shared)[0]] = 500.0
    assert "has one value at all but fewer than 10 joint keys" in unfit(tables, "few", few)
    assert "constant" in unfit(tables, "same", np.full(rows, 3.5))
    assert "infinite" in unfit(tables, "endless", np.where(few > 0, np.inf, one))
    assert "fewer than 10 joint keys" in unfit(tables, "empty", np.full(rows, np.nan))


def test_extreme_values_are_capped_so_that_no_key_makes_up_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "SHARE", np.inf)
    columns, both, tables = two(400, 44)
    shared = np.flatnonzero(np.isin([int(key[1:]) for key in tables["shop"]["id"].to_pylist()], both))
    rows = [int(key[1:]) for key in tables["shop"]["id"].to_pylist()]
    normal = np.random.default_rng(0).normal(size=len(rows))
    found = []
    for extreme in (50.0, 5e9):  # what it is beyond the cap tells nothing
        values = normal.copy()
        values[shared[0]] = extreme
        with joined(tables | {"shop": tables["shop"].append_column("x", pa.array(values))}) as joint:
            matrix = joint.covariance(["bank.age", "shop.x"]).release().value
            model = joint.regression("bank.debt", ["shop.x"]).release().value
        assert matrix.capped == model.capped == ("shop.x",)
        assert "capped" in str(matrix)
        assert "capped" in str(model)
        found.append(matrix)
    capped = np.sort(np.abs(normal[shared] - np.median(normal[shared])))[-9]
    pooled = np.clip(np.where(np.arange(len(rows)) == shared[0], 50.0, normal), -capped, capped)[shared]
    assert abs(np.var(pooled, ddof=1) - found[0].values[1, 1]) <= found[0].errors[1, 1]
    assert np.abs(found[0].values - found[1].values).max() <= 2 * found[0].errors.max()
    ages = columns["age"][np.array(rows)[shared]]
    assert abs(np.cov(ages, pooled)[0, 1] - found[0].values[0, 1]) <= found[0].errors[0, 1]


def test_ten_units_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "SHARE", np.inf)
    _, both, tables = two(300, 40)
    shared = np.isin([int(key[1:]) for key in tables["shop"]["id"].to_pylist()], both)
    ten = np.zeros(tables["shop"].num_rows)
    ten[np.flatnonzero(shared)[:11]] = 1.0
    with joined(tables | {"shop": tables["shop"].append_column("ten", pa.array(ten))}) as joint:
        assert joint.correlation(["bank.age", "shop.ten"]).release().value.count == len(both)


@pytest.mark.claim("joint statistics: columns of one question that are alike at all but one key are refused together")
def test_columns_that_single_out_a_key_are_refused_together(cases: Cases) -> None:
    _, both, tables = two(600, 45)
    shop, rng = tables["shop"], np.random.default_rng(0)
    shared = np.flatnonzero(np.isin([int(key[1:]) for key in shop["id"].to_pylist()], both))
    spent = shop["spent"].to_numpy()
    for at in rng.choice(shared, 5, replace=False):
        corrected = spent.copy()
        corrected[at] += 30.0
        with joined(tables | {"shop": shop.append_column("corrected", pa.array(corrected))}) as joint:
            with pytest.raises(DataError, match="makes up a combination of shop's spent, corrected"):
                joint.covariance(["bank.age", "shop.spent", "shop.corrected"]).release()
            assert joint.covariance(["bank.age", "shop.corrected"]).release().value.count == len(both)
        cases()


def test_intervals_that_nobody_is_in_look_like_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else which edge is the largest value could be searched for."""
    monkeypatch.setattr(bits, "SHARE", np.inf)
    columns, both, tables = two(1000, 46)
    incomes, told = np.sort(columns["income"][both]), list[Any]()
    for edge in (incomes[-5], incomes[-1] + 0.5):
        with joined(tables) as joint, pytest.raises(DataError) as caught:
            joint.crosstab("bank.income", "shop.owns", edges={"bank.income": [float(edge)]}).release()
        told.append((caught.value.detail, caught.value.party))
    assert told[0] == told[1]


def test_no_single_value_follows_from_two_questions(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that misses numbers at ten keys, and the same that does not: of what is there at one of them."""
    monkeypatch.setattr(bits, "SHARE", np.inf)
    _, both, tables = two(1500, 47)
    rng = np.random.default_rng(3)
    keys = [int(key[1:]) for key in tables["bank"]["id"].to_pylist()]
    chosen = np.isin(keys, rng.choice(both, 12, replace=False))
    y = rng.normal(size=tables["shop"].num_rows)
    shop_keys = np.array([int(key[1:]) for key in tables["shop"]["id"].to_pylist()])
    held = np.isin(shop_keys, np.array(keys)[chosen])
    y[np.flatnonzero(held)[1:]] = np.nan  # of the twelve, one has a value at the shop
    y[np.flatnonzero(held)[0]] = secret = 3.0
    age = tables["bank"]["age"].to_numpy().astype(float)
    given = {
        "bank": tables["bank"].append_column("gaps", pa.array(np.where(chosen, np.nan, age))),
        "shop": tables["shop"].append_column("y", pa.array(y)),
    }
    off = []
    for _ in range(6):
        with joined(given) as joint:
            sums = []
            for column in ("bank.age", "bank.gaps"):
                numbers = [joint._number(column), joint._number("shop.y")]
                found: ToldSums = joint._moments("covariance", numbers, lambda told: told).release().value
                sums.append(found.sums[0, found.index(1)] * found.step(1) + found.count * found.centre(1))
            off.append(sums[0] - sums[1] - secret)
        cases()
    assert np.abs(off).min() > 2  # standard deviations: differences are multiples of the grid


def test_categories_tell_of_what_is_shown_and_present_alone() -> None:
    """Entropy is of what figures can tell; keys that miss a number are in no category's count."""
    number = np.arange(1000.0)
    number[:8] = np.nan  # of the value "b", which three others have
    names = ["b"] * 11 + ["a"] * 589 + [f"rare {i}" for i in range(400)]
    given: Any = SimpleNamespace(party="p", keys=np.arange(1000), table=pa.table({"x": number, "name": names}))
    columns = [
        JointColumn(party="p", name="x", kind="number"),
        JointColumn(party="p", name="name", kind="category", groups=9),
    ]
    alone = encoded(given, columns[1:], keys=1000, min_count=10)
    assert alone.facts[0] == {"labels": ["a", "b"], "withheld": 400}
    assert alone.entropy["name"] == pytest.approx(1000 * stats.entropy([11, 589, 400], base=2))
    both = encoded(given, columns, keys=1000, min_count=10)
    assert both.facts[1]["labels"] == ["a"]
    assert all(both.present[rows].all() for _, rows in both.sets)


def test_several_rows_of_a_key() -> None:
    _, _, tables = two(300, 41)
    twice = pa.concat_tables([tables["shop"], tables["shop"].slice(0, 100)])
    with (
        joined(tables | {"shop": twice}) as joint,
        pytest.raises(DataError, match="several rows of a joint key") as caught,
    ):
        joint.correlation(["bank.age", "shop.spent"]).release()
    assert "GROUP BY" in caught.value.hint


def test_calls_that_cannot_be() -> None:
    _, _, tables = two(300, 42)
    with joined(tables) as joint:
        with pytest.raises(UnknownName, match=r"bank\.incom") as caught:
            joint.correlation(["bank.incom", "shop.spent"])
        assert "did you mean 'bank.income'" in caught.value.hint
        with pytest.raises(InvalidArgument, match="not numeric"):
            joint.correlation(["bank.income", "shop.tier"])
        with pytest.raises(InvalidArgument, match="both columns are bank's"):
            joint.crosstab("bank.age", "bank.debt")
        with pytest.raises(InvalidArgument, match="no features"):
            joint.regression("bank.age", [])
        with pytest.raises(InvalidArgument, match="column of bank/t twice"):
            joint.correlation(["bank.age", "bank.age"]).release()
        with pytest.raises(InvalidArgument, match="edges"):
            joint.crosstab("bank.age", "shop.owns", edges={"bank.age": [30, 20]})


@pytest.mark.claim(
    "joint statistics: no more than half of a column's entropy is ever told, over all callers and restarts"
)
def test_half_of_the_entropy_is_told(cases: Cases, tmp_path: Path) -> None:
    """`owns` has two values: its entropy is the smallest."""
    columns, both, tables = two(2000, 50)
    entropy = len(both) * float(stats.entropy(np.bincount(columns["owns"][both].astype(int)), base=2))
    asked, refused = 0, None
    for _ in range(3):  # the ledger remembers what it told
        with joined(tables, store=tmp_path) as joint:
            plan = joint.correlation(["shop.owns", "bank.age"])
            each = next(d.charge.bits for d in plan.price["shop"] if "owns" in str(d.charge))
            while asked < entropy:
                try:
                    joint.correlation(["shop.owns", "bank.age"]).release()
                except DifferencingRefused as error:
                    refused = error
                    break
                asked += each
                cases()
                if asked > entropy / 4 and asked - each <= entropy / 4:
                    break
    assert entropy / 2 - each < asked <= entropy / 2
    assert refused is not None
    assert refused.party == "shop"
    assert "(entropy)" in str(refused)


def test_a_grant_is_needed() -> None:
    _, _, tables = two(300, 43)
    grant = ps.Grant(table="*", columns={"*": ("join key", "aggregate"), "rows": "aggregate"})
    policy = ps.Policy(operations=("*",), grants=(grant,), min_parties=1)
    with joined(tables, policy=policy) as joint, pytest.raises(PolicyRefused) as caught:
        joint.correlation(["bank.age", "shop.spent"]).release()
    assert "joint statistic" in str(caught.value)
    assert policy != POLICY

"""Every operation over every link against a computation in the clear."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.progress import Live
from privsdk.protocol.operation import operation_names

Tables = dict[str, dict[str, pa.Table]]
SHOPS = ("EWR", "JFK", "lga_2")


def test_join_counts_and_means(fed: ps.Federation, tables: Tables) -> None:
    result = psi.join(fed["EWR"]["sales"], fed["bank"]["loans"], on="company").release()
    left, right = tables["EWR"]["sales"], tables["bank"]["loans"]
    with duckdb.connect() as sql:
        sql.register("l", left)
        sql.register("r", right)
        keys = sql.execute("SELECT count(*) FROM (SELECT DISTINCT company FROM l JOIN r USING (company))").fetchone()
        matched = "FROM {} WHERE company IN (SELECT company FROM l INTERSECT SELECT company FROM r)"
        rows = sql.execute(
            "SELECT rating, count(*), avg(sum) " + matched.format("r") + " GROUP BY 1 ORDER BY 1"
        ).fetchall()
        mean = sql.execute("SELECT count(amount), avg(amount) " + matched.format("l")).fetchone()
    assert keys is not None
    assert mean is not None
    assert result.value.size == keys[0]
    by_rating = result.value["bank"].mean("sum", by="rating").release().value
    assert by_rating.to_pydict() == {
        "rating": [r[0] for r in rows],
        "count": [r[1] for r in rows],
        "mean": pytest.approx([r[2] for r in rows]),
    }
    ours = result.value["EWR"].mean("amount").release().value
    assert ours.to_pydict() == {"count": [mean[0]], "mean": pytest.approx([mean[1]])}
    assert result.value["bank"].count().release().value["count"].to_pylist() == [sum(r[1] for r in rows)]
    assert result.receipt.verify()


def test_join_on_integers(fed: ps.Federation, tables: Tables) -> None:
    joint = psi.join(fed["EWR"]["sales"], fed["bank"]["loans"], on={"EWR": "number", "bank": "sum"}).release().value
    assert joint.size is None  # too few: numbers reach 500, sums start at 1000
    assert joint["EWR"].count().release().value.num_rows == 0


def test_cardinality(fed: ps.Federation, tables: Tables) -> None:
    result = psi.cardinality(fed["EWR"]["sales"], fed["bank"]["loans"], on="company").release()
    companies = [set(tables[p][t]["company"].to_pylist()) - {None} for p, t in (("EWR", "sales"), ("bank", "loans"))]
    assert result.value.size == len(companies[0] & companies[1])
    assert result.receipt.verify()
    few = (
        psi.cardinality(fed["EWR"]["sales"], fed["bank"]["loans"], on={"EWR": "number", "bank": "sum"}).release().value
    )
    assert (few.size, few.min_count) == (None, 10)


@pytest.mark.parametrize("protocol", ["ddh", "kkrt"])
def test_join_by_either_protocol(fed: ps.Federation, tables: Tables, protocol: Literal["ddh", "kkrt"]) -> None:
    result = psi.join(fed["EWR"]["sales"], fed["bank"]["loans"], on="company", protocol=protocol).release()
    companies = [set(tables[p][t]["company"].to_pylist()) - {None} for p, t in (("EWR", "sales"), ("bank", "loans"))]
    assert (result.value.protocol, result.value.size) == (protocol, len(companies[0] & companies[1]))
    by_rating = result.value["EWR"].count(by="bank.rating").release().value
    with duckdb.connect() as sql:
        sql.register("l", tables["EWR"]["sales"])
        sql.register("r", tables["bank"]["loans"])
        rows = sql.execute(
            "SELECT rating, count(*) FROM l JOIN (SELECT company, CASE WHEN min(rating) = max(rating) THEN "
            "min(rating) END AS rating FROM r GROUP BY 1) USING (company) GROUP BY 1 ORDER BY 1 NULLS LAST"
        ).fetchall()
    assert list(zip(*by_rating.to_pydict().values(), strict=True)) == rows


def test_join_of_several_parties_by_two_columns(fed: ps.Federation, tables: Tables) -> None:
    shops = [fed[shop]["sales"] for shop in SHOPS]
    key = psi.key("company", "region", normalise=("nfc", "lower"))
    joint = psi.join(*shops, on=key).release().value
    sets = [set(zip(*tables[shop]["sales"].select(key.columns).to_pydict().values(), strict=True)) for shop in SHOPS]
    shared = {(company, region) for company, region in set.intersection(*sets) if company is not None}
    assert (joint.protocol, joint.size) == ("multiparty", len(shared))
    for shop in SHOPS:
        rows = zip(*tables[shop]["sales"].select(key.columns).to_pydict().values(), strict=True)
        assert joint[shop].count().release().value["count"].to_pylist() == [sum(row in shared for row in rows)]
    by_other = joint["EWR"].count(where={"JFK.number": (0, None)}).release().value
    assert 0 < by_other["count"][0].as_py() < joint["EWR"].count().release().value["count"][0].as_py()


def test_difference_returns_the_rows_that_the_other_lacks(fed: ps.Federation, tables: Tables) -> None:
    plan = psi.difference(
        fed["EWR"]["sales"], fed["bank"]["loans"], on="company", columns=["company", "number"], where={"late": 1}
    )
    result = plan.release()
    with duckdb.connect() as sql:
        sql.register("l", tables["EWR"]["sales"])
        sql.register("r", tables["bank"]["loans"])
        rows = sql.execute(
            "SELECT company, number FROM l ANTI JOIN r USING (company) WHERE late AND company IS NOT NULL"
        ).fetchall()
        masked = sql.execute("SELECT count(DISTINCT company) FROM l SEMI JOIN r USING (company) WHERE late").fetchone()
    returned = result.value.table.to_pydict()
    assert sorted(zip(returned["company"], returned["number"], strict=True)) == sorted(rows)
    assert (result.value.masked,) == masked
    assert result.receipt.verify()


def test_aggregates_of_a_table(fed: ps.Federation, tables: Tables) -> None:
    sales = fed["EWR"]["sales"]
    where = {"number": (-400, 400), "late": 1, "region": ["north", "Süd €"]}
    with duckdb.connect() as sql:
        sql.register("sales", tables["EWR"]["sales"])
        rows = sql.execute(
            "SELECT region, count(*), sum(number), min(number), max(number) FROM sales WHERE number BETWEEN -400 "
            "AND 400 AND late AND region IN ('north', 'Süd €') GROUP BY 1 ORDER BY 1"
        ).fetchall()
    for column, statistic in enumerate(("sum", "min", "max"), start=2):
        answer = getattr(sales, statistic)("number", by="region", where=where).release().value
        assert answer.to_pydict() == {
            "region": [r[0] for r in rows],
            "count": [r[1] for r in rows],
            statistic: [r[column] for r in rows],
        }
    again = sales.sum("number", by="region", where=where).release()
    assert again.spent == {}
    assert again.value["sum"].to_pylist() == [r[2] for r in rows]
    without_one = {**where, "number": (min(r[3] for r in rows) + 1, 400)}
    with pytest.raises(ps.errors.DifferencingRefused) as refused:
        sales.count(by="region", where=without_one).release()
    assert refused.value.party == "EWR"


def test_aggregates_by_the_other_sides_columns(fed: ps.Federation, tables: Tables) -> None:
    joint = psi.join(fed["EWR"]["sales"], fed["bank"]["loans"], on="company").release().value
    with duckdb.connect() as sql:
        sql.register("sales", tables["EWR"]["sales"])
        sql.register("loans", tables["bank"]["loans"])
        rows = sql.execute(
            "WITH labels AS (SELECT company, CASE WHEN min(region) = max(region) THEN min(region) END AS region "
            "FROM sales WHERE number >= 0 GROUP BY 1) SELECT region, rating, count(*), avg(sum) FROM loans "
            "JOIN labels USING (company) WHERE rating IN ('a', 'b') GROUP BY 1, 2 ORDER BY 1 NULLS LAST, 2"
        ).fetchall()
    where = {"rating": ["a", "b"], "EWR.number": (0, None)}
    answer = joint["bank"].mean("sum", by=["EWR.region", "rating"], where=where).release().value
    labels = list(zip(answer["EWR.region"].to_pylist(), answer["rating"].to_pylist(), strict=True))
    shown = [row for row in rows if row[:2] in labels]
    assert shown
    assert answer.to_pydict() == {
        "EWR.region": [r[0] for r in shown],
        "rating": [r[1] for r in shown],
        "count": [r[2] for r in shown],
        "mean": pytest.approx([r[3] for r in shown]),
    }
    other = psi.join(fed["JFK"]["sales"], fed["bank"]["loans"], on="company").release().value
    mixed = joint["bank"].count(by="EWR.region").request
    stale = msgspec.structs.replace(
        mixed, operands={**mixed.operands, "bank": other["bank"].count().request.operands["bank"]}
    )
    with pytest.raises(ps.errors.StaleJoin, match="different joins"):
        fed.execute(Live(stale))


@pytest.mark.parametrize("column", ["number", "amount", "late"])
def test_encrypted_sum_and_mean(fed: ps.Federation, tables: Tables, column: str) -> None:
    values = [v for shop in SHOPS for v in tables[shop]["sales"][column].to_pylist() if v is not None]
    total = he.sum(fed.tables("sales"), column).release().value
    mean = he.mean(fed.tables("sales"), column).release().value
    assert abs(float(total) - np.sum(values)) <= total.error + 1e-9
    assert mean.count == len(values)
    assert abs(float(mean) - np.mean(values)) <= mean.error + 1e-12


def test_encrypted_sum_by_ckks(fed: ps.Federation, tables: Tables) -> None:
    values = [v for shop in SHOPS for v in tables[shop]["sales"]["amount"].to_pylist() if v is not None]
    total = he.sum(fed.tables("sales"), "amount", preset="ckks", bound=1e6).release().value
    assert 0 < total.error < 10
    assert abs(float(total) - np.sum(values)) <= total.error


def whole(tables: Tables) -> pa.Table:
    """The rows of all shops."""
    return pa.concat_tables([tables[shop]["sales"] for shop in SHOPS])


def test_encrypted_statistics_by_group(fed: ps.Federation, tables: Tables) -> None:
    keys = ["Süd €", "south", "north"]
    sales = fed.tables("sales")
    with duckdb.connect() as sql:
        sql.register("sales", whole(tables))
        rows = sql.execute(
            "SELECT region, count(*), sum(number), avg(amount), var_samp(amount), stddev_samp(amount), count(amount) "
            "FROM sales GROUP BY region"
        ).fetchall()
    found = {row[0]: row[1:] for row in rows}
    count = he.count(sales, by="region", keys=keys).release().value
    total = he.sum(sales, "number", by="region", keys=keys).release().value
    mean = he.mean(sales, "amount", by="region", keys=keys).release().value
    variance = he.variance(sales, "amount", bound=1000, by="region", keys=keys).release()
    for i, key in enumerate(keys):
        assert count["count"][i].as_py() == found[key][0]
        assert (total["sum"][i].as_py(), total["error"][i].as_py()) == (found[key][1], 0.0)
        assert mean["count"][i].as_py() == variance.value["count"][i].as_py() == found[key][5]
        assert abs(mean["mean"][i].as_py() - found[key][2]) <= mean["error"][i].as_py() + 1e-9
        assert variance.value["variance"][i].as_py() == pytest.approx(found[key][3], rel=1e-9)
        assert variance.value["std"][i].as_py() == pytest.approx(found[key][4], rel=1e-9)
    assert count.column_names == ["region", "count"]
    assert [table["region"].to_pylist() for table in (count, total, mean, variance.value)] == [keys] * 4
    assert "at each party its groups of fewer units than its minimum count" in " ".join(repr(variance).split())
    assert variance.receipt.verify()
    # nobody is nowhere: it is not shown, and with it each party leaves out its smallest other group
    fewer = he.count(sales, by="region", keys=[*keys, "nowhere"]).release()
    assert fewer.value["count"][3].as_py() is None
    left = whole(tables).num_rows - sum(filter(None, fewer.value["count"].to_pylist()))
    smallest = sum(
        min(pc.value_counts(own["sales"]["region"]).field("counts").to_pylist())
        for party, own in tables.items()
        if "sales" in own
    )
    assert left >= smallest
    assert "in which fewer than 2 parties have a part" in " ".join(repr(fewer).split())


def test_encrypted_variance(fed: ps.Federation, tables: Tables) -> None:
    values = whole(tables)["amount"].drop_null().to_numpy()
    result = he.variance(fed.tables("sales"), "amount", bound=1000).release()
    found = result.value
    assert abs(float(found) - values.var(ddof=1)) <= found.error + 1e-9
    assert abs(found.std - values.std(ddof=1)) <= found.std_error + 1e-9
    assert (found.count, found.ddof, found.mean) == (len(values), 1, pytest.approx(values.mean(), rel=1e-12))
    assert f"{found.value:.10g} over {len(values):,} rows" in repr(result)
    assert "standard deviation" in result._repr_html_()


def test_encrypted_matrices(fed: ps.Federation, tables: Tables) -> None:
    columns = ["number", "amount", "late"]
    frame = whole(tables).select(columns).to_pandas().dropna().astype(float)
    covariance = he.covariance(fed.tables("sales"), columns, bound={"number": 500, "amount": 1000, "late": 1}).release()
    assert covariance.value.count == len(frame)
    assert np.abs(covariance.value.values - frame.cov().to_numpy()).max() <= covariance.value.errors.max() + 1e-9
    correlation = he.correlation(fed.tables("sales"), columns, bound=1000).release()
    assert np.abs(correlation.value.values - frame.corr().to_numpy()).max() <= 1e-9
    assert (correlation.value.columns, correlation.value.undefined) == (tuple(columns), ())
    for text in (repr(correlation), correlation._repr_html_()):
        assert f"correlation of 3 columns over {len(frame):,} rows" in text
        assert f"{frame.corr().loc['amount', 'late']:.6g}" in text


def test_encrypted_histogram_and_count(fed: ps.Federation, tables: Tables) -> None:
    values = whole(tables)["amount"].drop_null().to_numpy()
    edges = [-1000, 20, 40, 60, 80, 1000]
    counts = he.histogram(fed.tables("sales"), "amount", edges=edges).release().value
    assert counts.column_names == ["from", "to", "count"]
    assert counts["count"].to_pylist() == np.histogram(values, edges)[0].tolist()
    total = he.count(fed.tables("sales")).release().value
    assert (float(total), total.error) == (whole(tables).num_rows, 0.0)


def test_noisy_count_and_sum(fed: ps.Federation, tables: Tables) -> None:
    sales = tables["JFK"]["sales"]
    # epsilon 1 and scale 1: noise beyond 40 has a probability below 1e-17
    counts = dp.count(fed["JFK"]["sales"], by="region", keys=["Süd €", "north", "nowhere"], epsilon=1.0).release().value
    truth = [pc.sum(pc.equal(sales["region"], key)).as_py() for key in ("Süd €", "north", "nowhere")]
    assert counts["region"].to_pylist() == ["Süd €", "north", "nowhere"]
    assert np.abs(np.subtract(counts["count"].to_pylist(), truth)).max() <= 40
    noisy = dp.sum(fed["JFK"]["sales"], "amount", bounds=(0, 100), epsilon=1.0).release().value
    clamped = np.clip([v for v in sales["amount"].to_pylist() if v is not None], 0, 100).sum()
    assert abs(noisy["sum"][0].as_py() - clamped) <= 4000
    assert noisy["low"][0].as_py() < noisy["sum"][0].as_py() < noisy["high"][0].as_py()


# Noise beyond 40 scales has a probability below 1e-17: what is released with epsilon 1 is within these of the truth.
NOISY = {
    "count": (lambda t: dp.count(t, epsilon=1.0), lambda x: len(x), 40.0),
    "sum": (lambda t: dp.sum(t, "amount", bounds=(0, 100), epsilon=1.0), lambda x: known(x).sum(), 4_000.0),
    "mean": (lambda t: dp.mean(t, "amount", bounds=(0, 100), epsilon=1.0), lambda x: known(x).mean(), 12.0),
    "variance": (lambda t: dp.variance(t, "amount", bounds=(0, 100), epsilon=1.0), lambda x: known(x).var(), 600.0),
    "median": (lambda t: dp.median(t, "amount", bounds=(0, 100), epsilon=1.0), lambda x: np.median(known(x)), 40.0),
    "histogram": (
        lambda t: dp.histogram(t, "amount", bounds=(0, 100), bins=4, epsilon=1.0),
        lambda x: np.histogram(known(x), bins=4, range=(0, 100))[0],
        40.0,
    ),
}


def known(column: pa.ChunkedArray) -> np.ndarray:
    """The values that enter: clamped, without nulls."""
    return np.clip(column.drop_null().to_numpy(), 0, 100)


@pytest.mark.parametrize("statistic", NOISY)
def test_noisy_statistics_of_one_party_and_of_all(fed: ps.Federation, tables: Tables, statistic: str) -> None:
    plan, truth, error = NOISY[statistic]
    shops = [tables[shop]["sales"]["amount"] for shop in SHOPS]
    together = pa.chunked_array([chunk for column in shops for chunk in column.chunks])
    for source, column in ((fed["JFK"]["sales"], shops[1]), (fed.tables("sales"), together)):
        result = plan(source).release()
        values = result.value[
            "quantile" if statistic == "median" else "count" if statistic == "histogram" else statistic
        ]
        assert np.abs(values.to_numpy() - truth(column)).max() <= error
        assert (result.value["low"].to_numpy() < result.value["high"].to_numpy()).all()
        assert result.receipt.verify()


def test_noisy_means_by_group_over_all_parties(fed: ps.Federation, tables: Tables) -> None:
    keys = ["Süd €", "nowhere", "north"]
    means = dp.mean(fed.tables("sales"), "late", bounds=(0, 1), by="region", keys=keys, epsilon=1.0).release().value
    assert means.column_names == ["region", "mean", "low", "high", "count"]
    assert means["region"].to_pylist() == keys
    rows = [sum(pc.sum(pc.equal(tables[s]["sales"]["region"], key)).as_py() for s in SHOPS) for key in keys]
    assert np.abs(means["count"].to_numpy() - rows).max() <= 80


def test_federated_model(fed: ps.Federation, tables: Tables) -> None:
    model = fl.Logistic(features={"amount": (0, 100), "number": (-500, 500)})
    fitted = fl.fit(model, fed.tables("sales"), label="late", rounds=10, learning_rate=2.0).release().value
    losses = fitted.history["loss"].to_pylist()
    assert losses == sorted(losses, reverse=True)
    assert min(fitted.evaluation["auc"].to_pylist()) > 0.85
    assert len(fitted.predict(tables["EWR"]["sales"])) == 900


def test_model_is_the_same_over_both_links(cluster: object, tables: Tables) -> None:
    model = fl.Logistic(features={"amount": (0, 100)})
    weights = []
    embedded = ps.embedded(tables, store=None, quiet=True)
    for fed in (embedded, ps.connect(cluster.federation)):  # type: ignore[attr-defined]
        with fed:
            weights.append(
                fl.fit(model, fed.tables("sales"), label="late", rounds=5, batch_size=64).release().value.weights
            )
    assert np.array_equal(*weights)


def test_all_sums_give_the_same_model(fed: ps.Federation) -> None:
    """Under masks, whose keys the parties' certificates sign, under encryption, and with no coordinator."""
    model = fl.Logistic(features={"amount": (0, 100)})
    masked, others = (
        [
            fl.fit(model, fed.tables("sales"), label="late", rounds=3, aggregation=kind).release().value.weights
            for kind in kinds
        ]
        for kinds in (["masked"], ["all-to-all", "encrypted"])
    )
    assert all(np.array_equal(masked[0], other) for other in others)


def test_scores_by_anothers_model(fed: ps.Federation, tables: Tables) -> None:
    sales, model = fed["EWR"]["sales"], fed["bank"]["model"]
    edges = [0, 0.1, 0.25, 0.5, 1]
    features = {"number": 500, "amount": 1000}
    result = he.score(model, sales, features=features, weight_bound=2, edges=edges, label="late").release()
    frame = tables["EWR"]["sales"].to_pandas().dropna(subset=["amount"])
    truth = 1 / (1 + np.exp(2.0 - 0.004 * frame["number"] - 0.03 * frame["amount"]))
    found = result.value
    assert (found.count, found.mean) == (len(frame), pytest.approx(truth.mean(), abs=found.mean_error))
    assert found.table["rows"].to_pylist() == np.histogram(truth, edges)[0].tolist()
    assert found.table["labelled"].to_pylist() == np.histogram(truth[frame["late"]], edges)[0].tolist()
    assert result.receipt.verify()
    again = he.score(model, sales, features=features, weight_bound=2, edges=[0, 0.5, 1]).release().value
    assert again.table["rows"].to_pylist() == np.histogram(truth, [0, 0.5, 1])[0].tolist()
    with pytest.raises(ps.errors.DataError, match="bank's model has a weight beyond 1,") as refused:
        he.score(model, sales, features=features, weight_bound=1).release()
    assert refused.value.party == "bank"


def test_refusal_is_the_same_error_and_free(fed: ps.Federation) -> None:
    before = fed.budgets()
    plan = dp.count(fed["JFK"]["sales"], epsilon=1.5)  # the grant allows 1 a release
    assert not plan.preview().allowed
    with pytest.raises(ps.errors.PolicyRefused, match=r"max_epsilon=1\.5") as refusal:
        plan.release()
    assert refusal.value.party == "JFK"
    assert fed.budgets() == before


def test_bad_data_is_named_and_no_value_told(fed: ps.Federation) -> None:
    with pytest.raises(ps.errors.DataError, match="number exceeds the declared bound") as raised:
        he.sum(fed.tables("sales"), "number", bound=2, resolution=1).release()
    assert raised.value.party in SHOPS
    assert all(d.running == 0 for d in fed._describe().values())


def test_repeated_release_is_charged_once(fed: ps.Federation) -> None:
    plan = he.sum(fed.tables("sales"), "number")
    first = plan.release()
    charged = fed.budgets()
    again = plan.release()
    assert first.value == again.value
    assert fed.budgets() == charged


def test_preview_says_what_is_left(fed: ps.Federation) -> None:
    plan = dp.sum(fed["EWR"]["sales"], "amount", bounds=(0, 100), epsilon=0.25)
    preview = plan.preview()
    (after,) = preview.remaining["EWR"]
    (now,) = fed.budgets()["EWR"]
    assert preview.allowed
    assert 0 < now.epsilon_left - after.epsilon_left <= 0.25 + 1e-9
    assert "95%" in repr(preview)


def test_cross_validation_is_that_of_least_squares_on_the_other_folds(fed: ps.Federation, tables: Tables) -> None:
    model, folds = fl.Linear(features={"number": (-500, 500)}, label_range=(0, 100)), 3
    plan = fl.cross_validate(model, fed.tables("sales"), label="amount", folds=folds, rounds=60, learning_rate=0.5)
    found = plan.release().value
    assert "no model" in str(plan.learns)
    parts = []
    for place, shop in enumerate(table.party for table in fed.tables("sales")):
        sales = tables[shop]["sales"].select(["number", "amount"])
        rows = np.column_stack([sales[name].to_numpy(zero_copy_only=False) for name in sales.column_names])
        rows = rows[~np.isnan(rows).any(axis=1)]
        drawn = rows[np.random.default_rng([0, place]).permutation(len(rows))]
        bounds = [len(rows) * n // folds for n in range(folds + 1)]
        parts.append((shop, [drawn[a:b] for a, b in pairwise(bounds)]))
    for fold in range(folds):
        rest = np.concatenate([each for _, cut in parts for n, each in enumerate(cut) if n != fold])
        slope, start = np.polyfit(rest[:, 0], np.clip(rest[:, 1], 0, 100), 1)
        for shop, cut in parts:
            x, y = cut[fold].T
            due = float(np.sqrt(np.mean((slope * x + start - np.clip(y, 0, 100)) ** 2)))
            told = found.scores.filter((pc.field("fold") == fold) & (pc.field("party") == shop)).to_pylist()
            assert [(row["rows"], row["rmse"]) for row in told] == [(len(x), pytest.approx(due, rel=1e-3))]


def test_noisy_figures_over_a_join(fed: ps.Federation, tables: Tables) -> None:
    joint = psi.join(fed["EWR"]["sales"], fed["bank"]["loans"], on="company").release().value
    before = {party: balances[0].epsilon_spent for party, balances in fed.budgets().items()}
    plan = dp.count(joint["bank"], by="rating", keys=["a", "b"], rows_per_key=20, epsilon=1.0)
    counts = plan.release().value["count"].to_pylist()
    exact = joint["bank"].count(by="rating").release().value["count"].to_pylist()
    assert np.abs(np.subtract(counts, exact)).max() <= 40 * 20
    price = {party: sum(debit.charge.epsilon for debit in debits) for party, debits in plan.price.items()}
    assert price == {"EWR": pytest.approx(1.0), "bank": pytest.approx(0.1)}
    assert {party for party, balances in fed.budgets().items() if balances[0].epsilon_spent > before[party]} == {*price}


def test_every_operation_is_here() -> None:
    noisy = ("dp.count", "dp.histogram", "dp.mean", "dp.quantile", "dp.sum", "dp.variance")
    statistics = ("correlation", "count", "covariance", "histogram", "mean", "sum", "variance")
    encrypted = (f"he.{name}" for name in statistics)
    others = (
        "aggregate",
        "fl.cross_validate",
        "fl.fit",
        "he.score",
        "joint.moments",
        "psi.cardinality",
        "psi.difference",
        "psi.join",
    )
    assert operation_names() == tuple(sorted((*others, *noisy, *encrypted)))


def test_batches_smaller_than_the_minimum_count_are_refused(fed: ps.Federation) -> None:
    model = fl.Logistic(features={"amount": (0, 100)})
    with pytest.raises(ps.errors.DataError, match="batches of at least its minimum count of 10"):
        fl.fit(model, fed.tables("sales"), label="late", rounds=1, batch_size=5).release()

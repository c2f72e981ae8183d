"""Displays: text and HTML say the same of every object, nothing that a party names is taken for more than text, and no
row's value is in any."""

from __future__ import annotations

import html
import inspect
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from IPython.lib.pretty import pretty
from showing import Page, words_of_text

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.display.cards import WIDTH, Card, Displayed, Grid, card_of, size_text, to_html, to_text
from privsdk.display.readable import readable
from privsdk.display.svg import Gauge
from privsdk.display.tabular import Tabular
from privsdk.errors import PrivsdkError
from privsdk.party.budget import bits

CANARY = "kanarie-7391"
NUMBER = 7391.25
ROWS = 80
PARTIES = ("north", "south", "east")


def people(seed: int) -> pa.Table:
    """Every key and amount begins with what must not be shown; towns are public groups."""
    rng = np.random.default_rng(seed)
    late = rng.random(ROWS) < 0.5
    return pa.table(
        {
            "id": [f"{CANARY}-{n}" for n in rng.permutation(120)[:ROWS]],
            "age": rng.integers(20, 80, ROWS) + 10 * late,
            "amount": NUMBER + rng.integers(0, 50, ROWS) / 1024,
            "town": rng.choice(["Aa", "Bb"], ROWS),
            "late": late,
        }
    )


def budgets() -> dict[str, ps.Budget]:
    limits = (ps.Limit(analyst="*", epsilon=2.0, exact=150), ps.Limit(days=30, epsilon=2.5))
    whole = ps.Budget(epsilon=3.0, exact=200, unit=ps.Unit(id="id", rows=2))
    return {"north": ps.Budget(epsilon=3.0, exact=200, limits=limits), "south": whole, "east": ps.Budget(delta=1e-5)}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One object or several of each class that is displayed, by name."""
    store = tmp_path_factory.mktemp("ledgers")
    held: dict[str, Any] = {name: {"people": people(n)} for n, name in enumerate(PARTIES)}
    held["keeper"] = {"model": pa.table({"feature": ["age"], "weight": [0.25]})}
    with ps.embedded(held, store=store, quiet=True, budget=budgets() | {"keeper": ps.Budget()}) as fed:
        yield objects(fed, store)


def objects(fed: ps.Federation, store: Path) -> dict[str, Any]:
    north, south, everyone = fed["north"]["people"], fed["south"]["people"], fed.tables("people")
    join, mean = psi.join(north, south, on="id"), he.mean(everyone, "age")
    joined = join.release()
    model = fl.Logistic(features={"age": (0, 100)})
    fit = fl.fit(model, everyone, label="late", rounds=6, evaluate_every=2, by="town", groups=["Aa", "Bb"])
    run = fit.start()
    trained = run.result()
    private = fl.fit(
        model, everyone, label="late", rounds=2, local_steps=1, batch_size=20,
        privacy=fl.RecordLevel(clip=1.0, noise_multiplier=4.0, sampling_rate=0.05),
    )  # fmt: skip
    count = dp.count(north, by="town", keys=["Aa", "Bb"], epsilon=0.5)
    average = dp.mean(everyone, "age", bounds=(0, 100), epsilon=0.3)
    refused = dp.count(north, epsilon=2.5)
    secret = he.SecretContext.new(
        he.choose(lambda x: x.sum(), error=0.4, x=he.Range(bound=10, length=3, integers=True))
    )
    column = he.encrypt([1, 2, 3], 10, secret, owner="north")
    score = he.score(fed["keeper"]["model"], north, features={"age": 100}, weight_bound=1, label="late", edges=[0, 1])
    failed = he.sum(everyone, "amount", bound=1, resolution=1).start()
    with pytest.raises(PrivsdkError):
        failed.result()
    mock = pa.table({"town": ["Aa"] * 30 + ["Bb"] * 40})
    with patch.object(bits, "SHARE", np.inf):  # so few keys hold few bits
        regression = joined.value.regression("north.age", ["south.amount"]).release().value
        crosstab = joined.value.crosstab("north.town", "south.late").release().value
    found = {
        "federation": fed, "party": fed["north"], "key holder": fed["keeper"], "table": north, "tables": everyone,
        "join, done": join, "joined": joined, "joint": joined.value, "side": joined.value["north"],
        "mean": mean, "mean, previewed": mean.preview(), "counted": north.count(by="town").release(),
        "cardinality": psi.cardinality(north, south, on="id").release().value,
        "regression": regression, "crosstab": crosstab,
        "difference": psi.difference(north, south, on="id", columns=["town"]),
        "correlation": he.correlation(everyone, ["age", "late"]).release().value,
        "scored": score.release().value, "fit": fit, "run": run, "trained": trained, "fitted": trained.value,
        "validation": fl.cross_validate(
            model, everyone, label="late", folds=2, grid={"rounds": [1, 2]}
        ).release().value,
        "progress": run.progress, "private fit, previewed": private.preview(), "count": count,
        "count, previewed": count.preview(mock=mock), "released count": count.release(),
        "dp mean, previewed": average.preview(), "dp mean": average.release(), "refused": refused.preview(),
        "grants": refused.suggest_grants(), "failed run": failed,
        "together": fed.preview([count, mean, average]), "budgets": fed.budgets(), "audit": fed.verify_audit(),
        "audit log": fed.audit_log(), "receipt": trained.receipt, "price": fit.price, "spent": trained.spent,
        "learned": trained.learned, "activity": fed.activity, "owner": ps.Owner(store / "north.sqlite"),
        "column": column, "sum of a column": column.sum(), "secret key": secret, "public key": secret.public,
    }  # fmt: skip
    return found | {"a difference": psi.Difference(pa.table({"town": ["Aa"]}), masked=None, min_count=10)}


NAMES = (
    "federation", "party", "key holder", "table", "tables", "join, done", "joined", "joint", "side", "mean",
    "mean, previewed", "counted", "cardinality", "difference", "a difference", "correlation",
    "regression", "crosstab", "scored", "fit", "run",
    "progress", "trained", "fitted", "validation", "private fit, previewed", "count", "count, previewed",
    "released count",
    "dp mean, previewed", "dp mean", "refused", "grants", "failed run", "together", "budgets", "audit", "audit log",
    "receipt", "price", "spent", "learned", "activity", "owner", "column", "sum of a column", "secret key",
    "public key",
)  # fmt: skip


def displayed_classes(base: type = Displayed) -> Iterator[type]:
    """Every class of privsdk that can be met at the end of a cell."""
    for kind in base.__subclasses__():
        yield from displayed_classes(kind)
        if (
            kind.__module__.startswith("privsdk.")
            and not inspect.isabstract(kind)
            and not kind.__name__.startswith("_")
        ):
            yield kind


def test_every_displayed_class_is_here(shown: dict[str, Any]) -> None:
    assert set(NAMES) == set(shown)
    missing = {kind.__name__ for kind in displayed_classes()} - {type(each).__name__ for each in shown.values()}
    assert missing - {"Handle", "Leaky", "Readiness", "Feedback"} == set(), "the last two are of the workshop"


@pytest.mark.claim("a page, a terminal and a saved notebook state the same of every object, and no row")
@pytest.mark.parametrize("name", NAMES)
def test_text_and_html_say_the_same(shown: dict[str, Any], name: str, cases: Cases) -> None:
    card: Card = shown[name]._card()
    text, page = to_text(card), Page(to_html(card))
    assert Counter(page.words) == words_of_text(text, card)
    assert len(page.words) > 2
    told = " ".join(page.words)
    assert page.drawings == [[picture.caption, picture.description] for picture in card.pictures]
    for picture in card.pictures:
        assert " ".join(picture.description.split()) in told
    grids = [grid for _, grid in (*card.answers, *card.grids)]
    cells = [[list(map(str, row)) for row in (grid.header, *grid.rows)] for grid in grids]
    facts = [[label, text] for label, text in card.facts]
    tables = [cells[: len(card.answers)], [facts] if facts else [], cells[len(card.answers) :]]
    assert page.tables == [[list(map(readable, row)) for row in table] for part in tables for table in part]
    cases()


@pytest.mark.parametrize("name", NAMES)
def test_no_row_in_any_display(shown: dict[str, Any], name: str) -> None:
    for said in (repr(shown[name]), shown[name]._repr_html_(), pretty(shown[name])):
        assert CANARY not in said
        assert not re.search(r"(?<!\d)7,?391\.2", said)


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_not_too_wide_and_drawings_are_safe_to_take_out(shown: dict[str, Any], name: str) -> None:
    title, *lines = to_text(shown[name]._card()).splitlines()
    assert len(title) <= 2 * WIDTH
    assert [line for line in lines if len(line) > WIDTH + 16] == []  # numbers beside each other are not parted
    assert Page(shown[name]._repr_html_()).exposed == 0


def test_what_was_asked_for_comes_first(shown: dict[str, Any]) -> None:
    text = repr(shown["released count"])
    assert text.index("low") < text.index("spent") < text.index("who brings what")
    page = Page(shown["released count"]._repr_html_())
    assert page.tables[0][0] == ["town", "count", "low", "high"]


def test_a_released_plan_is_not_said_to_be_undone(shown: dict[str, Any]) -> None:
    assert "nothing done yet" in repr(shown["mean"])
    assert repr(shown["join, done"]).startswith("plan of psi.join: its run is done\n")


def test_a_run_says_how_it_ended(shown: dict[str, Any]) -> None:
    assert repr(shown["run"]).startswith("run of fl.fit: done\n")
    assert "bound" in dict(shown["failed run"]._card().facts)["why"]


def test_a_run_under_way_says_how_far_it_is() -> None:
    held = {name: {"people": people(n)} for n, name in enumerate(PARTIES)}
    with ps.embedded({**held, "keeper": {}}, store=None, quiet=True, budget=ps.Budget(exact=5000)) as fed:
        tables = fed.tables("people")
        run = fl.fit(fl.Logistic(features={"age": (0, 100)}), tables, label="late", rounds=2000).start()
        while not run.progress.curve or len(run.progress.phases) < len(PARTIES) + 1:  # each is asked by itself
            assert not run.done()
            time.sleep(0.05)
        card = run._card()
        run.cancel()
        with pytest.raises(PrivsdkError):
            run.result()
        assert card.title == "run of fl.fit: running"
        assert "of 2000 done, loss" in dict(card.facts)["so far"]
        ((caption, grid),) = card.grids
        assert grid.header == ("party", "phase", "done", "seconds", "sent", "received")
        assert {row[0] for row in grid.rows} == {*PARTIES, "keeper"}
        assert any("of 2,000" in row[2] for row in grid.rows)
        assert "asked" in caption
        assert repr(run).startswith("run of fl.fit: cancelled\n")
        assert dict(run._card().facts)["run"] == run.plan.request.run_id


def test_trainings_show_their_course(shown: dict[str, Any]) -> None:
    captions = [picture.caption for picture in shown["trained"]._card().pictures]
    assert captions == [
        "mean loss of the training rows before each round",
        "accuracy on each party's held-out rows on the way",
        "who brings what, and who learns something",
    ]
    assert shown["fitted"]._card().pictures[1].description.count("at round 2") == len(PARTIES)


def test_a_private_release_shows_the_error_against_epsilon(shown: dict[str, Any]) -> None:
    (picture,) = shown["count, previewed"]._card().pictures
    assert "6 at 0.5" in picture.description
    assert "60 at 0.05" in picture.description
    assert "asks for epsilon 0.5; north/people for each analyst has 2 left" in picture.description
    (sizes,) = shown["dp mean, previewed"]._card().pictures
    assert sizes.description.count("values: ") == 3
    assert shown["mean, previewed"]._card().pictures == ()


def test_who_brings_and_who_learns(shown: dict[str, Any]) -> None:
    assert shown["mean"].learns.picture.description == (
        "north, south, east bring people: age. keeper brings no data. Something is learned by keeper, analyst (you). "
        "Nothing of the data is learned by north, south, east, an eavesdropper."
    )


def test_ten_parties_are_no_wall_of_text() -> None:
    names = [f"hospital_of_town_{n}" for n in range(10)]
    data = people(0)
    with ps.embedded({name: {"people": data} for name in names}, store=None, quiet=True) as fed:
        for value in (fed, fed.budgets(), fed.tables("people"), psi.join(*fed.tables("people"), on="id")):
            lines = repr(value).splitlines()
            assert len(lines) < 80
            assert max(map(len, lines[1:])) <= WIDTH
        picture = psi.join(*fed.tables("people"), on="id").learns.picture
        assert picture.svg.count("<rect") <= 1 + 1 + 8
        assert "hospital_of_town_0, hospital_of_town_1, hospital_of_town_2 and 7 more" in picture.description


HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e</table>&\"'"


def test_names_are_text_and_nothing_more() -> None:
    """Of tables, columns, datasets and purposes; a party's own name may not hold such letters."""
    table = pa.table({HOSTILE: list(range(30)), "n": list(range(30))})
    held = {name: {HOSTILE: table} for name in PARTIES}
    with ps.embedded({**held, "keeper": {}}, store=None, quiet=True, purpose=HOSTILE) as fed:
        tables = fed.tables(HOSTILE)
        plan = he.sum(tables, HOSTILE)
        values = [fed, fed["north"], fed["north"][HOSTILE], tables, plan, plan.preview(), plan.suggest_grants()]
        values += [plan.release(), plan.price, plan.learns, fed.budgets(), fed.audit_log(), fed.activity]
        values.append(dp.count(fed["north"][HOSTILE], by="n", keys=[1], epsilon=0.1).preview())
        for value in values:
            page, text = Page(value._repr_html_()), repr(value)
            assert page.tags <= {
                "div", "table", "thead", "tbody", "tr", "th", "td", "span", "svg", "title", "desc", "rect", "text",
                "line", "path", "polyline", "circle",
            }  # fmt: skip
            assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "href")}
            for said in (text, *page.words, *(words for drawing in page.drawings for words in drawing)):
                assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said)
        assert "<img src=x onerror=alert(1)>\\x1b[2J\\u202e</table>&\"'" in repr(fed["north"][HOSTILE])


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a\x1b[2J", "a&b\"'"])
def test_hostile_parties(name: str) -> None:
    cards = [
        Card(title=name, facts=[(name, name)], answers=[(name, Grid(header=(name,), rows=[(name,)]))]),
        Card(title=name, grids=[(name, Grid(header=(name,), rows=[(Gauge(name, left=0.5),)]))]),
    ]
    for card in cards:
        page = Page(to_html(card))
        assert "script" not in page.tags
        assert page.words[0].startswith(readable(name).split()[0])
        assert "\x1b" not in to_text(card) + to_html(card)
        assert Counter(page.words) == words_of_text(to_text(card), card)


def test_inside_a_list_its_title_stands_for_it(shown: dict[str, Any]) -> None:
    assert pretty(shown["budgets"]) == repr(shown["budgets"])
    title = shown["audit"]._card().title
    assert pretty([shown["audit"]]) == f"[{title}]"
    assert pretty({"a": shown["table"]}) == "{'a': north/people (dataset people)}"


def test_a_closed_federation_says_so() -> None:
    fed = ps.embedded({"a": {"t": people(0)}}, store=None, quiet=True)
    fed.close()
    assert repr(fed) == "federation: closed"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB")])
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


def test_suppressed_groups_are_told_with_the_value() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"withheld_groups": "2"})
    card = card_of(table)
    assert [caption for caption, _ in card.answers] == ["value"]
    assert dict(card.facts)["suppressed"].startswith("2 groups: below the minimum count")


TABULAR = {
    "budgets": ("party", "limit", "epsilon_left", "exact_left"), "audit": ("party", "rows", "sound", "head"),
    "audit log": ("party", "at", "event", "run"), "grants": ("party", "table", "column", "disclosure", "max_epsilon"),
    "mean, previewed": ("party", "dataset", "exact_left", "queries_left"), "price": ("party", "charge", "times"),
    "spent": ("party", "table", "charge", "times"), "learned": ("who", "what"),
    "receipt": ("party", "rows", "head", "signature_holds"), "activity": ("run", "operation", "state", "began"),
    "progress": ("party", "done", "total", "figures"), "correlation": ("column", "age", "late"),
    "scored": ("from", "to", "rows"), "validation": ("candidate", "fold", "party", "log_loss"),
    "a difference": ("town",), "crosstab": ("north.town", "south.late", "count"),
    "regression": ("term", "coefficient", "standard error", "t", "p", "low", "high"),
    "counted": ("town", "count"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABULAR)
def test_what_is_tabular_comes_out_in_one_way(shown: dict[str, Any], name: str) -> None:
    value = shown[name]
    table = value.to_arrow()
    assert isinstance(value, Tabular)
    assert isinstance(table, pa.Table)
    assert table.num_rows > 0
    assert set(TABULAR[name]) <= set(table.column_names)
    assert [column for column in TABULAR[name] if table[column].null_count == len(table)] == []
    assert list(value.to_pandas().columns) == table.column_names
    assert len(value.to_pandas()) == table.num_rows


def test_every_tabular_class_is_tried(shown: dict[str, Any]) -> None:
    assert {type(value) for value in shown.values() if isinstance(value, Tabular)} == {type(shown[n]) for n in TABULAR}


def test_tables_hold_what_displays_show(shown: dict[str, Any]) -> None:
    left = shown["budgets"].to_arrow().filter(pa.compute.is_null(shown["budgets"].to_arrow()["limit"]))
    assert dict(zip(left["party"].to_pylist(), left["exact_left"].to_pylist(), strict=True)) == {
        party: balance.exact_left for party, (balance,) in shown["budgets"].items() if balance
    }
    limited = shown["budgets"].to_arrow().filter(pa.compute.is_valid(shown["budgets"].to_arrow()["limit"]))
    assert limited["limit"].to_pylist() == ["each analyst", "30 days"]
    assert limited["epsilon"].to_pylist() == [2.0, 2.5]
    assert limited["exact"].to_pylist() == [150, None]
    often = shown["mean, previewed"].to_arrow()["queries_left"].drop_null().to_pylist()
    assert min(often) == shown["mean, previewed"].queries_left
    assert sum(shown["spent"].to_arrow()["times"].to_pylist()) == sum(map(len, shown["spent"].values()))
    assert set(shown["receipt"].to_arrow()["signature_holds"].to_pylist()) == {True}
    assert set(shown["audit"].to_arrow()["sound"].to_pylist()) == {True}
    assert shown["refused"].to_arrow().num_rows == 0
    assert shown["refused"].to_arrow().schema.equals(shown["mean, previewed"].to_arrow().schema)


def test_without_pandas_the_error_says_what_to_do(shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ps.errors.MissingLibrary, match="pandas, which is not installed") as raised:
        shown["budgets"].to_pandas()
    assert "to_arrow()" in raised.value.hint


def test_escapes_are_whole_entities(shown: dict[str, Any]) -> None:
    """No text is escaped twice."""
    for value in shown.values():
        assert html.unescape(html.unescape(value._repr_html_())) == html.unescape(value._repr_html_())

"""No row value of a party in anything that the notebook can hold, print, pickle or log, embedded or connected."""

from __future__ import annotations

import contextlib
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from cluster import Cluster

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.display.cards import Displayed

CANARY = "kanarie-7391"
NUMBER = 7391.25  # with digits that no result below has by chance
ROWS = 60
CLAIM = pytest.mark.claim("canary: no row value in reprs, HTML, pickles, tracebacks, logs or public attributes")


def canary_table(seed: int) -> pa.Table:
    """Every string and number of its own starts with a canary that is looked for everywhere."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "key": [f"{CANARY}-{n}" for n in rng.permutation(100)[:ROWS]],
            "x": NUMBER + rng.integers(0, 50, ROWS) / 1024,
            "y": rng.random(ROWS) < 0.5,
            "group": ["public"] * ROWS,
        }
    )


def spoiled(seed: int) -> pa.Table:
    """With a NaN among the canaries, so that errors come up beside them."""
    table = canary_table(seed)
    values = table["x"].to_pylist()
    values[7] = float("nan")
    return table.set_column(1, "x", pa.array(values))


@pytest.fixture(scope="module", params=["embedded", "flight"])
def link(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(link: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the parties of a link keep their ledgers and logs."""
    return tmp_path_factory.mktemp(link)


@pytest.fixture(scope="module")
def fed(link: str, folder: Path) -> Iterator[ps.Federation]:
    tables = {f"shop{i}": {"sales": canary_table(i), "spoiled": spoiled(i)} for i in range(3)}
    tables["notary"] = {"model": pa.table({"feature": ["x"], "weight": [NUMBER]})}
    if link == "embedded":
        with ps.embedded(tables, store=folder, quiet=True) as opened:
            yield opened
    else:
        with Cluster(folder, tables) as cluster, ps.connect(cluster.federation) as opened:
            yield opened


def questions(fed: ps.Federation) -> list[Callable[[], Any]]:
    """Answers, refusals and failures of every operation."""
    sales, bad = fed.tables("sales"), fed.tables("spoiled")
    join = psi.join(fed["shop0"]["sales"], fed["shop1"]["sales"], on="key").release()
    side = join.value["shop0"]
    model = fl.Logistic(features={"x": (0, 10_000)})
    weights, x = fed["notary"]["model"], {"features": {"x": 8000}, "weight_bound": 8000}
    return [
        lambda: join,
        lambda: side.count(by="group").release(),
        lambda: side.mean("key").release(),
        lambda: he.mean(sales, "x").release(),
        lambda: he.mean(sales, "x").preview(),
        lambda: he.sum(bad, "x").release(),
        lambda: he.sum(sales, "x", bound=10, resolution=1).release(),
        lambda: he.sum(sales, "key").release(),
        lambda: dp.count(fed["shop0"]["sales"], epsilon=0.1).release(),
        lambda: dp.count(fed["shop0"]["sales"], by="key", keys=[1, 2], epsilon=0.1).release(),
        lambda: dp.count(fed["shop0"]["sales"], epsilon=3).release(),
        lambda: dp.sum(fed["shop0"]["spoiled"], "x", bounds=(0, 1), epsilon=0.1).release(),
        lambda: dp.mean(sales, "x", bounds=(0, 1), epsilon=0.1).release(),
        lambda: dp.median(sales, "x", bounds=(0, 1), bins=4, epsilon=0.1).release(),
        lambda: dp.histogram(sales, "x", edges=[0, 1], by="group", keys=["public"], epsilon=0.1).release(),
        lambda: dp.variance(bad, "x", bounds=(0, 1), epsilon=0.1).preview(),
        lambda: fl.fit(model, sales, label="y", rounds=2).release(),
        lambda: fl.fit(model, sales, label="x", rounds=2).release(),
        lambda: fl.fit(model, sales, label="y", rounds=2, learning_rate=1e9).release(),
        lambda: he.score(weights, fed["shop0"]["sales"], **x, label="y").release(),
        lambda: he.score(weights, fed["shop0"]["sales"], **x).preview(),
        lambda: he.score(weights, fed["shop0"]["spoiled"], **x).release(),
        lambda: he.score(weights, fed["shop0"]["sales"], **x, label="x").release(),
        lambda: he.score(weights, fed["shop0"]["sales"], **{**x, "weight_bound": 10}).release(),
        lambda: he.score(weights, fed["shop0"]["sales"], **{**x, "features": {"x": 10}}).release(),
        lambda: he.score(weights, fed["shop0"]["sales"], features={"y": 1}, weight_bound=8000).release(),
        lambda: psi.join(fed["shop0"]["sales"], fed["shop1"]["sales"], on={"shop0": "key", "shop1": "x"}).release(),
        lambda: psi.join(fed["shop0"]["sales"], fed["shop1"]["sales"], on={"shop0": "key", "shop1": "group"}).release(),
        lambda: fed,
        lambda: fed["shop0"],
        lambda: fed["shop0"]["sales"],
        lambda: fed.budgets(),
        lambda: fed.verify_audit(),
    ]


def appearances(value: Any) -> Iterator[tuple[str, str]]:
    """Every way in which a notebook may meet an object, by name."""
    yield "repr", repr(value)
    yield "str", str(value)
    if isinstance(value, Displayed):
        yield "html", value._repr_html_()
    with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
        yield "pickle", pickle.dumps(value).decode("latin-1")


def public_walk(root: Any) -> Iterator[Any]:
    """Everything reachable over public attributes, items and elements."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, type | str | bytes | int | float) or callable(value):
            if isinstance(value, str | bytes | float):
                yield value
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            todo += list(value)
        elif type(value).__module__.startswith("privsdk") or isinstance(value, BaseException):
            names = [name for name in dir(value) if not name.startswith("_")]
            todo += [getattr(value, name) for name in names if not callable(getattr(value, name, None))]


def leaks(text: str) -> bool:
    return CANARY in text or re.search(r"(?<!\d)7,?391\.2", text) is not None  # and no clock that reads 77391.2


def test_a_number_is_found_and_a_clock_is_not() -> None:
    assert all(map(leaks, ("x=7391.25", "mean 7,391.2715", f"a {CANARY}-3")))
    assert not any(map(leaks, ("deadline = 77391.2034", "7391 rows", "739.12")))


def check(value: Any) -> int:
    """Fail if a canary is met; returns how many things were looked at."""
    looked = 0
    for item in public_walk(value):
        for kind, text in appearances(item):
            assert not leaks(text), f"{type(item).__name__} shows a row value in its {kind}"
            looked += 1
    return looked


@CLAIM
def test_walk(
    fed: ps.Federation,
    folder: Path,
    cases: Cases,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nor in ledgers and logs of the parties, when all was asked."""
    caplog.set_level(logging.DEBUG)
    for ask in questions(fed):
        try:
            answer: Any = ask()
        except ps.PrivsdkError as error:
            answer = error
            chain = traceback.TracebackException.from_exception(error, capture_locals=True)
            assert not leaks("".join(chain.format()))
        if isinstance(answer, ps.Result) and answer.operation in ("he.mean", "he.sum"):
            answer = answer.learned, answer.spent, answer.receipt  # the mean itself is what was asked for
        cases(check(answer))
    printed = capfd.readouterr()
    assert not leaks(caplog.text + printed.out + printed.err)
    kept = [file for file in folder.iterdir() if file.suffix in (".sqlite", ".log")]
    assert len(kept) >= 4
    for file in kept:
        assert CANARY.encode() not in file.read_bytes(), file.name
        cases()


@CLAIM
def test_the_walk_finds_what_it_looks_for(cases: Cases) -> None:
    """A handle made to leak, in each of the ways looked at, is caught."""

    class Leaky(Displayed):
        def __init__(self, rows: pa.Table, shown: str) -> None:
            self.note = rows["key"][0].as_py() if shown == "attribute" else ""
            self._shown = shown

        def _card(self) -> Any:
            from privsdk.display.cards import Card

            return Card(title=f"{CANARY}-1" if self._shown == "card" else "fine")

    Leaky.__module__ = "privsdk.leaky"
    for shown in ("attribute", "card"):
        with pytest.raises(AssertionError, match="row value"):
            check(Leaky(canary_table(0), shown))
        cases()


def test_handles_are_not_pickled(fed: ps.Federation) -> None:
    for handle in (fed, fed["shop0"], fed["shop0"]["sales"], fed.tables("sales")):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(handle)

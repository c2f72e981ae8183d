"""The party picker's Python side: what is chosen becomes handles, and the code that gives the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from people import federation

import privsdk as ps
from privsdk import he
from privsdk.errors import InvalidArgument, UnknownName
from privsdk.widgets import picker
from privsdk.widgets.picker import Picker


@pytest.fixture
def choosing(fed: ps.Federation) -> Iterator[Picker]:
    view = picker(fed)
    yield view
    view.close()


def evaluated(code: str, **names: Any) -> dict[str, Any]:
    exec(code, names)  # noqa: S102
    return names


def named(tables: Any) -> list[tuple[str, str]]:
    return [(table.party, table.name) for table in tables]


def test_a_choice_becomes_handles(fed: ps.Federation, choosing: Picker) -> None:
    choosing.chosen = {"south": "people", "north": "people", "keeper": ""}
    choosing.columns = ["amount"]
    assert choosing.parties == ("north", "south", "keeper")
    assert named(choosing.tables) == [("north", "people"), ("south", "people")]
    choosing.chosen = {"north": "people", "south": "people", "east": "people", "keeper": ""}
    result = he.mean(choosing.tables, choosing.columns[0], key_holder="keeper").release()
    assert float(result.value) == pytest.approx(7.375)


def test_the_code_gives_the_same_handles(fed: ps.Federation, choosing: Picker) -> None:
    everyone = dict.fromkeys(("north", "south", "east"), "people")
    for chosen in ({"north": "people"}, {"north": "people", "east": "people"}, everyone, {**everyone, "keeper": ""}):
        choosing.chosen, choosing.columns = chosen, ["id", "late"]
        got = evaluated(choosing.code, fed=fed)
        handles = got.get("tables") or [got["table"]]
        assert named(handles) == named(choosing.tables)
        assert tuple(got.get("parties", choosing.parties)) == choosing.parties
        assert got["columns"] == choosing.columns
    assert "fed.tables(" in choosing.code
    assert "parties = " in choosing.code


def test_code_quotes_awkward_names() -> None:
    name, column = 'it\'s "quoted" \\ ', "größe\n\t\x7f\u2028"
    with ps.embedded({"a": {name: pa.table({column: [1]})}}, store=None, quiet=True) as fed:
        view = picker(fed)
        view.chosen, view.columns = {"a": name}, [column]
        got = evaluated(view.code, fed=fed)
        view.close()
    assert (got["table"].name, got["columns"]) == (name, [column])


def test_nothing_chosen_is_an_error_that_says_so(choosing: Picker) -> None:
    assert (choosing.parties, choosing.columns, choosing.code) == ((), [], "")
    with pytest.raises(InvalidArgument, match="no table is chosen"):
        _ = choosing.tables
    choosing.chosen = {"keeper": ""}
    with pytest.raises(InvalidArgument, match="no table is chosen"):
        _ = choosing.table
    choosing.chosen = {"north": "people", "south": "people"}
    with pytest.raises(InvalidArgument, match="2 tables are chosen"):
        _ = choosing.table


def test_what_a_page_sends_is_checked(choosing: Picker) -> None:
    choosing.set_state({"chosen": {"north": "no such table"}})
    with pytest.raises(UnknownName):
        _ = choosing.tables
    choosing.set_state({"chosen": {"nobody": "people"}})
    assert choosing.parties == ()


def test_the_kernel_says_what_choice_it_has(choosing: Picker) -> None:
    choosing.set_state({"use": "join", "chosen": {"north": "people"}, "columns": ["id"]})
    assert choosing._taken == {"use": "join", "chosen": {"north": "people"}, "columns": ["id"]}
    assert choosing.table.party == "north"


def test_unknown_uses_are_refused(fed: ps.Federation) -> None:
    with pytest.raises(InvalidArgument, match="'juggle'"):
        picker(fed, use="juggle")


def test_permits_are_those_for_the_purpose() -> None:
    grants = (
        ps.Grant(table="t", columns={"a": "aggregate", "rows": "aggregate"}, purpose=("audit",)),
        ps.Grant(table="t", columns={"a": "join key", "b": "DP release"}, purpose=("study",), max_epsilon=0.2),
        ps.Grant(table="t", columns={"b": "DP release"}, max_epsilon=0.1),
        ps.Grant(table="t", columns={"b": "join key"}, to=("somebody else",)),
    )
    policy = ps.Policy(operations=("*",), grants=grants)
    with ps.embedded(
        {"p": {"t": pa.table({"a": [1], "b": [2]})}}, store=None, policy=policy, purpose="audit", quiet=True
    ) as fed:
        view = picker(fed)
        (table,) = view._parties[0]["tables"]
        view.close()
    a, b = table["columns"]
    assert set(a["permits"]) == {"aggregate", "HE operand"}
    assert set(a["elsewhere"]) == {"join key", "cardinality only"}
    assert (b["permits"], b["elsewhere"], b["max_epsilon"]) == (("DP release",), (), 0.1)
    assert "aggregate" in table["rows"]["permits"]


def test_the_card_shows_the_choice(choosing: Picker) -> None:
    choosing.use, choosing.chosen, choosing.columns = "join", {"north": "people"}, ["id"]
    text = repr(choosing)
    assert "find shared keys" in text
    assert 'table = fed["north"]["people"]' in text
    assert [line.split()[:3] for line in text.splitlines() if line.strip().startswith("x")] == [
        ["x", "north", "answers"]
    ]
    data, _ = choosing._repr_mimebundle_() or ({}, {})
    assert data["text/plain"] == text
    assert "k17" not in str(data)  # a row's value


def test_a_party_that_cannot_be_reached_is_said_so() -> None:
    with federation() as fed:
        endpoints = fed._link._endpoints  # type: ignore[attr-defined]
        kept = endpoints["east"]

        class Gone:
            def handle(self, caller: str, call: Any) -> Any:
                raise ps.errors.PeerGone("east is gone")

        endpoints["east"] = Gone()
        view = picker(fed)
        states = {party["name"]: party["reachable"] for party in view._parties}
        assert states == {"north": True, "south": True, "east": False, "keeper": True}
        assert "cannot be reached" in repr(view)
        view.chosen = dict.fromkeys(("north", "south"), "people")
        assert "fed.tables(" not in view.code  # which would ask east too
        assert named(evaluated(view.code, fed=fed)["tables"]) == named(view.tables)
        endpoints["east"] = kept
        view.close()

# ruff: noqa: RUF001
"""Titles of parties: beside their names in every card and error, in any script, and never another party's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st

import privsdk as ps
from privsdk import psi
from privsdk.deploy.config import PartyConfig, read_config
from privsdk.deploy.serve import serve
from privsdk.display.readable import readable
from privsdk.display.titles import MOST, Titles, is_title
from privsdk.errors import InvalidArgument, PolicyRefused, UnknownName
from privsdk.protocol import control
from privsdk.widgets import budgets, picker

CLAIM = pytest.mark.claim(
    "titles: a party's title stands beside its name, and no title reads as another party or turns the text around it"
)
TITLES = {"north": "北京银行", "south": "בנק הדרום", "east": "شرق‌کار", "west": "Zürich ☂ Ω"}
TABLE = pa.table({"id": range(40), "x": range(40)})


def opened(titles: dict[str, str], **more: Any) -> ps.Federation:
    tables: dict[str, Any] = {party: {"t": TABLE} for party in ("north", "south", "east", "west")}
    return ps.embedded(tables, store=None, quiet=True, titles=titles, **more)


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    with opened(TITLES) as federation:
        yield federation


@CLAIM
def test_every_card_has_them(fed: ps.Federation, cases: Cases) -> None:
    north, south = fed["north"]["t"], fed["south"]["t"]
    plan = psi.join(north, south, on="id")
    both = "north (北京银行)", "south (בנק הדרום)"
    for shown in (plan, plan.preview(), plan.release(), plan.start()):
        for text in (repr(shown), shown._repr_html_()):
            assert all(each in text for each in both)
            cases()
    assert plan.request.parties == ("north", "south")  # names stay the certificate's
    for shown, title in ((fed, "北京银行"), (fed["east"], "شرق‌کار"), (north, both[0]), (fed.tables("t"), "Zürich ☂ Ω")):
        assert title in repr(shown)
        assert title in shown._repr_html_()
        cases()
    fed["north"], fed["west"]  # a title does not open anything
    with pytest.raises(UnknownName, match="no party named '北京银行'"):
        fed["北京银行"]


@CLAIM
def test_errors_have_them(fed: ps.Federation, cases: Cases) -> None:
    with pytest.raises(PolicyRefused) as refused:
        fed["south"]["t"].max("x").release()
    assert str(refused.value).split("\n")[-2:] == ["  Party: south (בנק הדרום)", "  [refused.policy]"]
    assert "south (בנק הדרום)" in refused.value._repr_html_()
    assert refused.value.party == "south"
    cases()


@CLAIM
@given(st.text(st.characters() | st.sampled_from("\u202e\u2066\x1b\u200f\u0301\n\r\u2028abc"), max_size=MOST + 5))
def test_a_title_is_last_in_its_line_and_steers_nothing(title: str) -> None:
    titles = Titles(lambda: ("north", "south"))
    titles.give("north", title)
    shown = titles.titled("north")
    assert shown in ("north", f"north ({title})")
    assert readable(shown) == shown
    assert "\n" not in shown
    lines = dict(titles.facts(("north", "south"))).get("parties", "").split("\n")
    assert lines in ([""], [shown, "south"])


LIKE_SOUTH = [
    "south",
    "SOUTH",
    "South!",
    "sοuth",
    "ѕоuth",
    "ｓｏｕｔｈ",
    "s o u t h",
    "sóuth",
    "s0uth",
    "(south)",
    "𝐬𝐨𝐮𝐭𝐡",
]


@CLAIM
@pytest.mark.parametrize("title", LIKE_SOUTH)
def test_none_reads_as_another_party(title: str, cases: Cases) -> None:
    titles = Titles(lambda: ("north", "south"))
    titles.give("north", title)
    assert titles.titled("north") == "north"
    titles.give("south", title)
    assert titles.titled("south") in ("south", f"south ({title})")  # its own name is its to repeat
    cases()


@CLAIM
def test_two_of_the_same_title_are_told_apart_by_name(cases: Cases) -> None:
    with opened({"north": "中国银行", "south": "中国银行"}) as fed:
        plan = psi.join(fed["north"]["t"], fed["south"]["t"], on="id")
        assert "north (中国银行)" in repr(plan)
        assert "south (中国银行)" in repr(plan)
    cases()


@CLAIM
def test_what_a_party_says_is_not_trusted(fed: ps.Federation, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    call = fed._link.call

    def lying(party: str, asked: Any, kind: Any) -> Any:
        reply = call(party, asked, kind)
        lies = isinstance(reply, control.Description) and party == "north"
        return msgspec.structs.replace(reply, title="\u202ehtuos\x1b[2J") if lies else reply

    monkeypatch.setattr(fed._link, "call", lying)
    for shown in (fed, fed["north"], fed["north"]["t"]):
        assert "htuos" not in repr(shown)
        assert "htuos" not in shown._repr_html_()
        cases()


UNFIT = ["", " ", "a\nb", " a", "a\x1b[2J", "a\u202eb", "\u2066a", "a" * (MOST + 1), "a" + "\u0301" * 4, "\ue000"]


@pytest.mark.parametrize("title", [*UNFIT, "a), south (b", "(a", "a）"])
def test_titles_that_are_refused(title: str) -> None:
    assert not is_title(title)
    with pytest.raises(InvalidArgument, match="cannot be a party's title"):
        opened({"north": title})


def test_a_title_of_no_party() -> None:
    with pytest.raises(UnknownName, match="to give a policy, budget or title"):
        opened({"nort": "x"})


def test_a_title_in_party_toml(tmp_path: Path) -> None:
    path = tmp_path / "party.toml"
    text = 'name = "north"\ntitle = "%s"\nlisten = "x"\nledger = "x"\nfederation = "x"\n'
    text += 'tls = { authority = "x", certificate = "x", key = "x" }\n'
    path.write_text(text % "北京银行", encoding="utf-8")
    assert read_config(path, PartyConfig).title == "北京银行"
    path.write_text(text % "a\\u202eb", encoding="utf-8")
    with pytest.raises(InvalidArgument, match="cannot be a party's title"):
        serve(path)


def test_widgets_have_them(fed: ps.Federation) -> None:
    for view in (picker(fed), budgets(fed)):
        assert {party["name"]: party["title"] for party in view.get_state()["_parties"]} == TITLES
        view.close()

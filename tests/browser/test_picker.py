"""The party picker in a real browser: choosing by mouse and keyboard, and what is refused with its reason."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from axe_playwright_python.sync_playwright import Axe
from claims import Cases, Counts
from measuring import UPDATE
from mounting import Mount
from offering import clinics, picking, without
from playwright.sync_api import Page, expect

import privsdk as ps
from privsdk import dp, he, psi
from privsdk.client.plan import Plan
from privsdk.errors import PrivsdkError
from privsdk.governance.policy import Disclosure, Need
from privsdk.governance.suggested import smallest_grants
from privsdk.widgets import picker
from privsdk.widgets.view import module

PEOPLE = {"north": "people", "south": "people"}


@pytest.fixture(scope="module")
def fed() -> Iterator[ps.Federation]:
    with clinics() as opened:
        yield opened


@pytest.fixture
def show(mount: Mount) -> Callable[..., Page]:
    return lambda state, **options: mount(module("picker"), state, **options)


def state(page: Page, name: str) -> Any:
    return page.evaluate("(name) => model.state[name]", name)


def box(page: Page, name: str) -> Any:
    return page.get_by_role("checkbox", name=name, exact=True)


def verdicts(page: Page) -> dict[str, list[str]]:
    """By column, what stands in its row after its type."""
    rows = page.locator("tbody tr[data-key]:not(.privsdk-why)").all()
    return {row.get_attribute("data-key") or "": row.locator("td").all_inner_texts()[1:] for row in rows}


def test_titles_stand_beside_names(show: Callable[..., Page]) -> None:
    with clinics(titles={"north": "בנק הצפון 7", "south": "<b>x</b>"}) as titled:
        page = show(picking(titled))
        box(page, "north (בנק הצפון 7)").click()
        assert state(page, "chosen") == {"north": "people"}
        expect(page.locator("bdi").first).to_have_text("(בנק הצפון 7)")
        box(page, "south (<b>x</b>)").wait_for()


def test_choosing_with_the_mouse(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed))
    page.get_by_text("Choose a party to see its columns.").wait_for()
    box(page, "north").click()
    assert state(page, "chosen") == {"north": "people"}
    page.get_by_label("Table of south").select_option("visits")
    assert state(page, "chosen") == {"north": "people", "south": "visits"}
    expect(box(page, "south")).to_be_checked()
    assert set(verdicts(page)) == {"id", "age", "income", "region", "diagnosis", "cost", "note"}
    page.get_by_text("only at south").first.wait_for()
    box(page, "id").click()
    box(page, "cost").click()
    assert state(page, "columns") == ["id", "cost"]
    box(page, "north").click()
    assert state(page, "chosen") == {"south": "visits"}
    page.get_by_label("What do you want to do?").select_option("join")
    assert state(page, "use") == "join"
    assert page.evaluate("() => model.saved.length") == 6
    expect(page.get_by_role("status")).to_contain_text("1 party, 2 columns chosen")


def test_choosing_with_the_keyboard(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed))
    press = page.keyboard.press
    page.get_by_label("What do you want to do?").focus()
    press("Tab")  # the button that chooses all
    press("Tab")
    expect(box(page, "north")).to_be_focused()
    for key in ("Space", "ArrowDown", "ArrowDown", "ArrowDown", "Space", "ArrowUp", "Home", "ArrowUp"):
        press(key)
    expect(box(page, "north")).to_be_focused()
    assert state(page, "chosen") == {"north": "people", "keeper": ""}
    press("Tab")  # the choice of south's tables
    press("Tab")  # all columns
    press("Tab")  # the columns' own place to scroll, where the browser makes it one
    if page.evaluate("() => document.activeElement.tagName") != "INPUT":
        press("Tab")
    expect(box(page, "id")).to_be_focused()
    for key in ("End", "Space", "Home", "ArrowDown", "Space"):
        press(key)
    assert state(page, "columns") == ["age", "diagnosis"]
    expect(box(page, "age")).to_be_focused()
    press("Shift+Tab")
    press("Tab")
    expect(box(page, "age")).to_be_focused()  # the list is one stop, and keeps the reader's place


def test_reasons_open_by_key_and_by_mouse(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed, use="exact", chosen={"north": "people"}))
    barred = box(page, "diagnosis")
    expect(barred).to_have_attribute("aria-disabled", "true")
    expect(barred).to_have_accessible_description(re.compile("not granted as group key at north"))
    reason = page.get_by_text("diagnosis as groups: not granted as group key at north.")
    barred.focus()
    page.keyboard.press("Space")
    assert state(page, "columns") == []
    expect(barred).not_to_be_checked()
    page.keyboard.press("ArrowRight")
    why = page.get_by_role("button", name="Why not diagnosis")
    expect(why).to_have_attribute("aria-expanded", "true")
    page.evaluate("() => model.set('_again_s', 11)")  # any news: what is open stays open
    expect(reason).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(reason).to_be_hidden()
    why.click()
    expect(reason).to_be_visible()
    page.get_by_label("What do you want to do?").select_option("encrypted")
    page.get_by_text("not granted as HE operand for workshop, only for other purposes, at north.").wait_for()


def test_the_grant_is_the_smallest_that_would_allow_it(fed: ps.Federation, show: Callable[..., Page]) -> None:
    for use, table, column, ways in (
        ("exact", "people", "id", (Disclosure.GROUP_KEY,)),
        ("release", "people", "region", (Disclosure.DP_RELEASE,)),
        ("encrypted", "people", "diagnosis", (Disclosure.HE_OPERAND, Disclosure.COMPARISON)),
    ):
        page = show(picking(fed, use=use, chosen={"north": table}))
        page.get_by_role("button", name=f"Why not {column}").click()
        texts = page.locator("tr.privsdk-why:visible code").all_inner_texts()
        needs = [Need(table=table, column=column, disclosure=way, epsilon=0.1 * (use == "release")) for way in ways]
        (wanted,) = smallest_grants(needs, to="analyst", purpose="workshop")
        assert wanted in [eval(text, {"ps": ps}) for text in texts]  # noqa: S307


def plans(fed: ps.Federation, use: str, column: str) -> list[Callable[[], Plan[Any]]]:
    """A plan for each part of a use, in which this column plays it."""
    north, tables = fed["north"]["people"], [fed[party]["people"] for party in PEOPLE]
    key = {"region": ["coast"], "id": ["k1"]}.get(column, [1])
    found: dict[str, list[Callable[[], Plan[Any]]]] = {
        "join": [lambda: psi.join(*tables, on=column)],
        "exact": [
            lambda: north.mean(column),
            lambda: north.count(by=column),
            lambda: north.count(where={column: key[0]}),
        ],
        "encrypted": [
            lambda: he.mean(tables, column, key_holder="keeper"),
            lambda: he.count(tables, by=column, keys=key, key_holder="keeper"),
            lambda: he.histogram(tables, column, edges=[0, 1, 2], key_holder="keeper"),
        ],
        "release": [
            lambda: dp.mean(north, column, epsilon=0.1, bounds=(0, 1)),
            lambda: dp.count(north, by=column, keys=key, epsilon=0.1),
        ],
    }
    return found[use]


def allowed(fed: ps.Federation, plan: Callable[[], Plan[Any]], column: str) -> bool:
    """Whether the parties would allow it, as far as this column is concerned."""
    try:
        made = plan()
        quotes = fed.quote([made.request])
    except PrivsdkError:
        return False
    return not any(isinstance(q, PrivsdkError) and f".{column} " in f"{q.message} " for q in quotes.values())


@pytest.mark.claim("what the party picker lets be chosen is what the parties would allow, column by column")
def test_what_is_shown_is_what_parties_would_say(fed: ps.Federation, show: Callable[..., Page], cases: Cases) -> None:
    for use, chosen in (
        ("join", PEOPLE),
        ("exact", {"north": "people"}),
        ("encrypted", PEOPLE),
        ("release", {"north": "people"}),
    ):
        page = show(picking(fed, use=use, chosen=chosen))
        for column, found in verdicts(page).items():
            for text, plan in zip(found, plans(fed, use, column), strict=False):
                assert text.startswith("✓") == allowed(fed, plan, column), (use, column, text)
                cases()
            barred = box(page, column).get_attribute("aria-disabled") == "true"
            assert barred == all("✗" in text for text in found[: len(plans(fed, use, column))]), (use, column)


def test_what_stands_in_the_way_at_a_party_is_said(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed, use="encrypted", chosen={"east": "people"}, columns=["age"]))
    page.get_by_text("he.mean is not among the operations that its owner lets run here").wait_for()
    page.get_by_text("at least 3 parties' tables in a joint result: 1 chosen").wait_for()
    page.get_by_text("chosen, but refused for this").wait_for()
    page.get_by_text("This takes tables of 2 parties or more.").wait_for()
    altered = picking(fed, use="exact", chosen={"north": "people"})
    altered["_parties"][0] |= {"frozen": {"people": "a complaint"}, "used_up": {"people": ["exact"]}}
    page = show(altered)
    page.get_by_text("people is frozen by its owner: a complaint").wait_for()
    page.get_by_text("people has no exact disclosures left").wait_for()


def test_a_party_that_cannot_be_reached(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(without(picking(fed, use="join", chosen={"north": "people", "east": "people"}), "east"))
    page.get_by_text("asked again every 10 s, on its own").wait_for()
    expect(box(page, "east")).to_be_checked()  # what was chosen stays so until the reader changes it
    box(page, "east").click()
    assert state(page, "chosen") == {"north": "people"}
    expect(box(page, "east")).to_have_attribute("aria-disabled", "true")
    box(page, "east").click(force=True)
    assert state(page, "chosen") == {"north": "people"}
    page.get_by_role("button", name="all that answer").click()
    assert set(state(page, "chosen")) == {"north", "south", "keeper"}
    page.get_by_role("button", name="none").first.click()
    assert state(page, "chosen") == {}


def test_all_that_are_allowed(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed, use="release", chosen=PEOPLE))
    page.get_by_role("button", name="all that are allowed").click()
    assert state(page, "columns") == ["age", "income"]
    page.get_by_role("button", name="none").click()
    assert state(page, "columns") == []


def test_the_code_is_that_of_the_kernel(fed: ps.Federation, show: Callable[..., Page]) -> None:
    everyone = dict.fromkeys(("north", "south", "east"), "people")
    chosen = ({}, {"north": "people"}, PEOPLE, everyone, {**everyone, "keeper": ""}, {**PEOPLE, "south": "visits"})
    for choice in chosen:
        view = picker(fed)
        view.chosen, view.columns = choice, ["age", 'größe "x"\\\n\u2028']
        code = view.code
        view.close()
        page = show(picking(fed, chosen=view.chosen, columns=view.columns))
        assert page.locator("pre code").evaluate("(element) => element.textContent") == code
    page = show(without(picking(fed, chosen=PEOPLE), "east"))
    assert "fed.tables(" not in page.locator("pre").inner_text()


def test_code_is_copied(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed, chosen=PEOPLE))
    page.evaluate("() => { navigator.clipboard ?? Object.defineProperty(navigator, 'clipboard', { value: {} });"
                  " navigator.clipboard.writeText = async (text) => { window.clip = text; }; }")  # fmt: skip
    page.get_by_role("button", name="copy").click()
    page.get_by_role("button", name="copied").wait_for()
    assert page.evaluate("() => window.clip") == 'tables = [fed["north"]["people"], fed["south"]["people"]]'
    page.get_by_role("button", name="copy").wait_for()


def test_a_choice_that_the_kernel_lacks_is_said_so(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed))
    late = page.get_by_text("The kernel gets this when the running cell ends.")
    assert late.count() == 0
    box(page, "north").click()
    expect(late).to_be_visible()
    page.evaluate("() => model.set('_taken', { use: '', chosen: { north: 'people' }, columns: [] })")
    assert late.count() == 0


def test_two_views_and_a_new_one_show_the_same(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed, use="exact"))
    page.evaluate(
        """async (source) => {
          const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
          const { default: view } = await import(url);
          const again = document.body.appendChild(document.createElement("aside"));
          view.render({ model, el: again });
        }""",
        module("picker"),
    )
    first, second = page.locator("main"), page.locator("aside")
    first.get_by_role("checkbox", name="north").click()
    second.get_by_role("checkbox", name="age").click()
    second.get_by_label("What do you want to do?").select_option("join")
    expect(first.get_by_role("checkbox", name="age")).to_be_checked()
    expect(first.get_by_label("What do you want to do?")).to_have_value("join")
    shown = "(e) => e.textContent"
    assert first.evaluate(shown) == second.evaluate(shown)
    page.evaluate("() => { model.set('use', ''); model.set('use', 'join'); }")  # from the kernel
    expect(second.get_by_label("What do you want to do?")).to_have_value("join")
    second.get_by_role("checkbox", name="age").focus()
    page.evaluate("() => { model.set('columns', []); model.set('use', ''); }")
    expect(second.get_by_role("checkbox", name="age")).not_to_be_checked()
    expect(second.get_by_label("What do you want to do?")).to_have_value("")
    kept = page.evaluate("() => structuredClone(model.state)")
    before = first.evaluate(shown)
    page = show(kept)  # the page was loaded again
    assert page.locator("main").evaluate(shown) == before


def test_nothing_listens_after_the_picker_is_gone(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(picking(fed))
    assert page.evaluate("() => model.listeners()") > 0
    page.evaluate("() => window.unmount()")
    assert page.evaluate("() => model.listeners()") == 0


def test_a_closed_federation(fed: ps.Federation, show: Callable[..., Page]) -> None:
    page = show({**picking(fed), "_ended": True})
    expect(page.get_by_role("status").first).to_contain_text("This federation is closed")


def test_names_are_text(show: Callable[..., Page]) -> None:
    with clinics() as other:
        given = picking(other, use="exact", chosen={"north": "people"})
    raw = json.dumps(given).replace('"region"', '"<img src=x onerror=document.title=1>"')
    page = show(json.loads(raw))
    assert page.locator("img").count() == 0
    page.get_by_text("<img src=x").first.wait_for()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_picker_is_accessible(fed: ps.Federation, show: Callable[..., Page], dark: bool) -> None:
    for given in (
        picking(fed),
        picking(fed, use="encrypted", chosen={**PEOPLE, "east": "people"}, columns=["age"]),
        without(picking(fed, use="release", chosen=PEOPLE), "east"),
    ):
        page = show(given, dark=dark)
        for why in page.get_by_role("button", name="Why not").all():
            why.click()
        found = Axe().run(page, context="main").response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not serious, [(each["id"], each["nodes"][0]["html"]) for each in serious]


@pytest.mark.claim("a picker of 10 parties with 30 columns each is redrawn within 200 ms of a change (median of 50)")
def test_a_change_is_soon_seen(show: Callable[..., Page], cases: Cases, counts: Counts) -> None:
    table = pa.table({f"column_{n}": [float(n)] for n in range(30)})
    with ps.embedded({f"party_{n}": {"people": table} for n in range(10)}, store=None, quiet=True) as large:
        given = picking(large, chosen={f"party_{n}": "people" for n in range(10)})
    page = show(given)
    uses = [use["name"] for use in given["_uses"]]
    took = []
    for n in range(counts(10, 50, 50)):
        took.append(page.evaluate(UPDATE, {"use": uses[n % len(uses)], "columns": [f"column_{n % 30}"]}))
        cases()
    assert page.get_by_role("checkbox").count() == 40
    cases.say(f"median {statistics.median(took):.0f} ms, largest {max(took):.0f} ms")

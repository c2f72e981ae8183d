"""What all views share, in a real browser."""

from __future__ import annotations

from mounting import Mount

from privsdk.widgets.view import asset

VIEW = """
export default {
  render({ model, el }) {
    return drawing(model, el, ["items", "text"], () => [
      h("p", { id: "text" }, model.get("text")),
      h("input", { type: "text", "aria-label": "typed" }),
      h("details", {}, h("summary", {}, "more"), h("p", {}, "hidden")),
      h("ul", {}, model.get("items").map((item) =>
        h("li", { "data-key": item, onclick: () => model.send(item) }, item))),
    ]);
  },
};
"""


def view() -> str:
    return asset("dom.js") + VIEW


def test_an_update_keeps_the_readers_place(mount: Mount) -> None:
    page = mount(view(), {"items": ["a", "b"], "text": "one"})
    page.get_by_label("typed").fill("half a wo")
    page.get_by_text("more").click()
    page.evaluate("() => { window.before = document.querySelector('input') }")
    page.get_by_label("typed").focus()
    page.evaluate("() => { model.set('text', 'two'); model.set('items', ['a', 'c', 'd']) }")
    assert page.get_by_role("listitem").all_inner_texts() == ["a", "c", "d"]
    assert page.locator("#text").inner_text() == "two"
    assert page.get_by_label("typed").input_value() == "half a wo"
    assert page.evaluate("() => document.activeElement === window.before")
    assert page.get_by_text("hidden").is_visible()
    page.get_by_text("c", exact=True).click()
    assert page.evaluate("() => model.sent") == ["c"]


def test_what_parties_send_is_text(mount: Mount) -> None:
    page = mount(view(), {"items": [], "text": "<img src=x onerror=document.title='run'>"})
    assert page.locator("img").count() == 0
    assert page.title() != "run"


def test_nothing_listens_after_the_view_is_gone(mount: Mount) -> None:
    page = mount(view(), {"items": [], "text": ""})
    assert page.evaluate("() => model.listeners()") == 2
    page.evaluate("() => window.unmount()")
    assert page.evaluate("() => model.listeners()") == 0


def test_figures(mount: Mount) -> None:
    shown = """
    export default { render({ el }) {
      el.textContent = [bytes(0), bytes(999), bytes(1234567), bytes(7e14), duration(0.25), duration(42.4),
        duration(185), figure(1234), figure(0.123456), figure(NaN), figure(2.5e-9)].join("|");
    } };
    """
    page = mount(asset("dom.js") + shown, {})
    assert page.locator("main").inner_text().split("|") == [
        "0 B", "999 B", "1.2 MB", "700.0 TB", "0.3 s", "42 s", "3 min 5 s", "1,234", "0.1235", "NaN", "2.5e-9",
    ]  # fmt: skip

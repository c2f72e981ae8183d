"""Views in pages of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mounting import DARK, FAKE, LIGHT, Mount
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=60_000)  # a busy machine is not a failure


@pytest.fixture(scope="module")
def logged(chromium: Browser) -> Iterator[tuple[Page, list[str]]]:
    """The one page of a module's tests, as a process for each takes longer than most of them, and its errors."""
    context = chromium.new_context(viewport={"width": 900, "height": 700})
    opened, errors = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield opened, errors
    context.close()


@pytest.fixture
def page(logged: tuple[Page, list[str]]) -> Iterator[Page]:
    """A page, with nothing of the test before, that may load nothing from anywhere; what it logs as an error fails."""
    opened, errors = logged
    opened.context.set_offline(True)
    yield opened
    opened.unroute_all()
    opened.goto("about:blank")
    found, errors[:] = [*errors], []
    assert not found


@pytest.fixture
def mount(page: Page) -> Mount:
    """Mounts a view's module (`privsdk.widgets.view.module`) over a state; `model` and `unmount()` are in the page."""
    from privsdk.widgets.view import STYLE

    def mounted(source: str, state: dict[str, Any], *, dark: bool = False) -> Page:
        page.evaluate(FAKE, [source, STYLE, json.loads(json.dumps(state)), DARK if dark else LIGHT])
        return page

    return mounted

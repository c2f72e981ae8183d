"""A headless Chromium for all browser tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mounting import DARK, FAKE, LIGHT, Mount
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; pages of one test are closed with it."""
    path = subprocess.run([ROOT / "scripts" / "chromium.sh"], check=True, capture_output=True, text=True).stdout.strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that may load nothing from anywhere; what it logs as an error fails the test."""
    context = chromium.new_context(viewport={"width": 900, "height": 700}, offline=True)
    opened, errors = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert not errors


@pytest.fixture
def mount(page: Page) -> Mount:
    """Mounts a view's module (`privsdk.widgets.view.module`) over a state; `model` and `unmount()` are in the page."""
    from privsdk.widgets.view import STYLE

    def mounted(source: str, state: dict[str, Any], *, dark: bool = False) -> Page:
        page.evaluate(FAKE, [source, STYLE, json.loads(json.dumps(state)), DARK if dark else LIGHT])
        return page

    return mounted

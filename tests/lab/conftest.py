"""One JupyterLab server for all tests, a page for each; what a page looked like when its test failed is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import leaked
from lab_page import Lab
from lab_server import Server, serving
from playwright.sync_api import Browser, BrowserContext


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Pages of one context share what they have loaded of JupyterLab."""
    opened = chromium.new_context(viewport={"width": 1400, "height": 1000}, device_scale_factor=1)
    yield opened
    opened.close()


@pytest.fixture
def lab(context: BrowserContext, server: Server) -> Iterator[Lab]:
    """JupyterLab in a fresh page.

    A test fails also where the page logs an error, asks another host, or where a message to or from the kernel, or the
    page in the end, holds a canary.
    """
    opened = Lab(context, server)
    yield opened
    found = [*opened.errors(), *opened.elsewhere, *leaked(opened.frames), *leaked([opened.page.content()])]
    opened.close()
    server.end_kernels()
    if found:
        pytest.fail("\n".join(["the page logged errors, asked other hosts or shows row values:", *found]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.when == "call" and report.failed and isinstance(lab, Lab):
        report.sections.append(("JupyterLab", _evidence(lab, item.config, item.name)))
    return report


def _evidence(lab: Lab, config: pytest.Config, name: str) -> str:
    """Keep the page's picture and log beside the server's; where they are."""
    folder: Path = lab.server.folder.parent
    stem = "".join(c if c.isalnum() else "_" for c in name)
    picture, log = folder / f"{stem}.png", folder / f"{stem}.log"
    log.write_text("\n".join(lab.console))
    try:
        lab.page.screenshot(path=picture)
    except Exception as error:  # the page is gone: say so instead of hiding why the test failed
        return f"no picture ({error}); console: {log}; server: {lab.server.log}"
    return f"picture: {picture}; console: {log}; server: {lab.server.log}"

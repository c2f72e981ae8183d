"""Shared by all tests: the claims report, case counts, the browser."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from claims import Cases, Counts
from hypothesis import HealthCheck, settings
from people import federation
from playwright.sync_api import Browser, Playwright, sync_playwright

import privsdk as ps
from privsdk.client.federation import open_federations

SOAK = os.environ.get("PRIVSDK_SOAK") == "1"
FEWEST_TESTS = 100  # a floor on collected tests: a suite that silently shrinks fails
LONGEST = {"test_notebooks.py", "test_crash.py", "test_wire_crash.py"}

CHROMIUM = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]  # as a container needs it

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a shell starts in its background, and all below it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "claims", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("test", parent=settings.get_profile("claims"), max_examples=20)
settings.register_profile("soak", parent=settings.get_profile("claims"), max_examples=1000)


gc.disable()  # while tests are collected, of which nothing is given back
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # of jsonschema, which reads notebooks: 38 grammars


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--claims", action="store_true", help="print one line for each claim at the end")
    parser.addoption("--cpu", action="store_true", help="--durations in seconds of processors, children included")
    parser.addoption("--screenshots", action="store_true", help="write the pictures of docs/images")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("soak" if SOAK else "claims" if config.option.claims else "test")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    option = config.option
    if config.args == config.getini("testpaths") and not (
        option.ignore or option.ignore_glob or config.getoption("lf", False)
    ):
        if len(items) < FEWEST_TESTS:
            raise pytest.UsageError(f"only {len(items)} tests were collected; there are at least {FEWEST_TESTS}")
        kept = json.loads((Path(__file__).with_name("kept_claims.json")).read_text())
        if missing := set(kept) - {marker.args[0] for item in items for marker in item.iter_markers("claim")}:
            raise pytest.UsageError(f"no test is of these claims of kept_claims.json any more: {sorted(missing)}")
    if not config.option.claims:
        lengthy = [item for item in items if item.get_closest_marker("lengthy")]
        config.hook.pytest_deselected(items=lengthy)
        items[:] = [item for item in items if item not in lengthy]
    items.sort(key=lambda item: item.path.name not in LONGEST)  # so that no process begins one when the others end


_REPORT: dict[str, list[tuple[int, bool, str]]] = {}
_ATTACKS: dict[str, list[tuple[bool, tuple[str, str, str]]]] = {}  # before, gain, bound


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Cases:
    counter = Cases()
    request.node.stash[_CASES] = counter
    return counter


_CASES = pytest.StashKey[Cases]()


_CPU = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if item.config.option.cpu:  # since the phase before; children count where they ended
        used = sum(os.times()[:4])
        report.duration, item.config.stash[_CPU] = used - item.config.stash.get(_CPU, used), used
    marker = item.get_closest_marker("claim")
    if marker and (report.when == "call" or report.failed):
        counter = item.stash.get(_CASES, None)
        report.user_properties.append(
            ("claim", (marker.args[0], counter.tried if counter else 1, counter.figure if counter else ""))
        )
        for attack in item.iter_markers("attack"):
            what, *stated = attack.args
            before, gain, bound = counter.gain if counter else ("", "", "")
            once, limit = stated or ("", "")
            report.user_properties.append(("attack", (what, before or once, gain, bound or limit)))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what was found of a claim: here, as tests may run in several processes."""
    for name, found in report.user_properties:
        if name == "claim":
            claim, tried, figure = cast(tuple[str, int, str], found)
            _REPORT.setdefault(claim, []).append((tried, report.passed, figure))
        if name == "attack":
            attack, *figures = cast(tuple[str, str, str, str], found)
            before, gain, bound = figures
            _ATTACKS.setdefault(attack, []).append((report.passed, (before, gain, bound)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.option.claims:
        return
    terminalreporter.section("claims: promise | cases tried | passed")
    for claim, outcomes in sorted(_REPORT.items()):
        tried = sum(tried for tried, _, _ in outcomes)
        passed = "passed" if all(ok for _, ok, _ in outcomes) else "FAILED"
        figures = "; ".join(figure for _, _, figure in outcomes if figure)
        terminalreporter.write_line(f"{claim} | {tried:,} | {passed}" + (f" | {figures}" if figures else ""))
    if _ATTACKS:
        terminalreporter.section("attacks: attack | gained undefended | gains | bound")
    for attack, tries in sorted(_ATTACKS.items()):
        before, gains, bound = (
            ", ".join(dict.fromkeys(filter(None, each))) for each in zip(*(said for _, said in tries), strict=True)
        )
        gains = gains or "nothing"
        gained = gains if all(ok for ok, _ in tries) else f"MORE THAN THE BOUND ({gains})"
        terminalreporter.write_line(f"{attack} | {before} | {gained} | {bound}")


@pytest.fixture
def tidy() -> Iterator[None]:
    """For tests that run cells as they are printed: closes the federations that they leave open."""
    before = set(open_federations())
    yield
    for number, fed in open_federations().items():
        if number not in before:
            fed.close()


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    """Three parties with a table of people each, and a keeper."""
    with federation() as opened:
        yield opened


@pytest.fixture
def soak() -> bool:
    """Whether the long counts are wanted (`make soak`)."""
    return SOAK


@pytest.fixture
def counts(pytestconfig: pytest.Config) -> Counts:
    """A choice between what `make test`, `make claims` and `make soak` try."""
    return lambda few, more, most: most if SOAK else more if pytestconfig.option.claims else few


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parent.parent


_BROWSING: list[tuple[Playwright, Browser]] = []


@pytest.fixture(scope="module")
def chromium(repository: Path) -> Browser:
    """A headless browser: one for all tests of a folder that follow one another."""
    if not _BROWSING:
        found = subprocess.run([repository / "scripts" / "chromium.sh"], check=True, capture_output=True, text=True)
        playwright = sync_playwright().start()
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=CHROMIUM)
        _BROWSING.append((playwright, browser))
    return _BROWSING[0][1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Ends the browser: while Playwright runs, asyncio takes this thread for one with a loop of its own."""
    yield
    if nextitem is None or nextitem.path.parent != item.path.parent:
        for playwright, browser in _BROWSING:
            browser.close()
            playwright.stop()
        _BROWSING.clear()

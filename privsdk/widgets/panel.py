"""The kernel's side of JupyterLab's panel: shows pages the open federations while they look, does what they ask.

Everything in it comes from the parties and from this process's own runs, sent whole at first and as edits from then
on. What pages say may arrive in any thread, or only when a cell has ended; nothing here waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from typing import Any

import msgspec

from ..client.audit import AuditReports
from ..client.federation import Federation, open_federations, openings
from ..errors import PrivsdkError
from .facts import Json
from .follower import Subscription

WHOLE_S = 2.0  # at most between two times that all is sent while there is news: for pages that cannot ask for it
MOST_EVENTS = 30  # of a federation's audits
MOST_PAGES = 8  # that are remembered: one whose browser died says no goodbye


class PageHello(msgspec.Struct, frozen=True, kw_only=True, tag="hello", tag_field="kind"):
    """A page begins to look; the numbers of a page's visits rise."""

    page: str
    visit: int


class Bye(msgspec.Struct, frozen=True, kw_only=True, tag="bye", tag_field="kind"):
    """A page looks no more, after its visit of this number."""

    page: str
    visit: int


class Refresh(msgspec.Struct, frozen=True, kw_only=True, tag="refresh", tag_field="kind"):
    """Ask all parties again."""


class Verify(msgspec.Struct, frozen=True, kw_only=True, tag="verify", tag_field="kind"):
    """Have the parties of all open federations check their audit chains."""


class StopRun(msgspec.Struct, frozen=True, kw_only=True, tag="stop", tag_field="kind"):
    """End a run after its present round, with what there is."""

    run: str


class CancelRun(msgspec.Struct, frozen=True, kw_only=True, tag="cancel", tag_field="kind"):
    """End a run now, without a result."""

    run: str


PageMessage = PageHello | Bye | Refresh | Verify | StopRun | CancelRun


class Panel:
    """What all pages see of this kernel."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._lock = threading.RLock()
        self._pages: dict[str, int] = {}  # those that look, and their visits
        self._left: dict[str, int] = {}  # the last visit that each has ended
        self._subscriptions: dict[int, Subscription] = {}
        self._facts: dict[int, dict[str, Any]] = {}
        self._audits: dict[int, Json] = {}  # the last verification: under way, or when it ended and with what verdicts
        self._asked: dict[str, str] = {}
        self._leave: Callable[[], None] = lambda: None
        self._sent: dict[str, Any] = {}
        self._serial = 0
        self._whole = 0.0

    def take(self, message: Any) -> None:
        """Do what a page says."""
        asked: PageMessage = msgspec.convert(message, PageMessage)
        match asked:
            case PageHello():
                self._hello(asked)
            case Bye():
                self._bye(asked)
            case Refresh():
                with self._lock:
                    for subscription in self._subscriptions.values():
                        subscription.refresh()
            case Verify():
                for fed in open_federations().values():
                    self._verify(fed)
            case StopRun() | CancelRun():
                self._end(asked)

    def _hello(self, hello: PageHello) -> None:
        with self._lock:
            if hello.visit <= self._left.get(hello.page, -1):  # its goodbye went by a faster way
                return
            if not self._pages:
                self._leave = openings.add(lambda _: self._follow())
            self._pages[hello.page] = max(hello.visit, self._pages.get(hello.page, -1))
            for surplus in list(self._pages)[:-MOST_PAGES]:
                del self._pages[surplus]
            self._reconcile()
            self._send_news(whole=True)

    def _bye(self, bye: Bye) -> None:
        with self._lock:
            self._left[bye.page] = max(bye.visit, self._left.pop(bye.page, -1))
            for surplus in list(self._left)[:-MOST_PAGES]:
                del self._left[surplus]
            if bye.visit < self._pages.get(bye.page, bye.visit + 1):  # it looks again, or never did
                return
            del self._pages[bye.page]
            if not self._pages:
                self._leave()
                for number in list(self._subscriptions):
                    self._forget(number)

    def _follow(self) -> None:
        """A federation was opened, closed or forgotten."""
        with self._lock:
            if self._pages:
                self._reconcile()
                self._send_news()

    def _reconcile(self) -> None:
        """Watch the federations that are open, and no others."""
        found = open_federations()
        for number in self._subscriptions.keys() - found.keys():
            self._forget(number)
            self._audits.pop(number, None)
        for number in found.keys() - self._subscriptions.keys():
            self._subscriptions[number] = Subscription(found[number], partial(self._show, number))

    def _forget(self, number: int) -> None:
        self._subscriptions.pop(number).close()
        self._facts.pop(number, None)

    def _show(self, number: int, facts: dict[str, Any]) -> None:
        with self._lock:
            if facts["closed"]:
                self._follow()
            elif number in self._subscriptions:
                self._facts[number] = facts
                known = {run["id"] for facts in self._facts.values() for run in facts["runs"]}
                self._asked = {run: asked for run, asked in self._asked.items() if run in known}
                self._send_news()

    def _verify(self, fed: Federation) -> None:
        def work() -> None:
            failed, reports = "", AuditReports()
            try:
                reports = fed.verify_audit()
            except PrivsdkError as error:
                failed = str(error)
            verdicts = tuple(
                {"party": party, "rows": report.rows, "fault": "" if report.first_bad < 0 else report.reason}
                for party, report in reports.items()
            )
            at = datetime.now(UTC).isoformat(timespec="seconds")
            with self._lock:
                self._audits[fed.number] = {"running": False, "at": at, "verdicts": verdicts, "failed": failed}
                self._send_news()

        with self._lock:
            if self._audits.get(fed.number, {}).get("running"):
                return
            self._audits[fed.number] = {"running": True, "at": "", "verdicts": (), "failed": ""}
            self._send_news()
        threading.Thread(target=work, name=f"privsdk-verifying-{fed.number}", daemon=True).start()

    def _end(self, asked: StopRun | CancelRun) -> None:
        for fed in open_federations().values():
            for live in fed.activity.runs:
                if live.request.run_id == asked.run and live.state == "running":
                    word, event = ("stop", live.stopping) if isinstance(asked, StopRun) else ("cancel", live.cancelled)
                    event.set()
                    with self._lock:
                        self._asked[asked.run] = word
                        self._send_news()

    def _state(self) -> dict[str, Any]:
        """The state of all pages, latest opened federation first; one that has not answered yet has its number only.

        Of tables the names, of audits the latest rows, of runs what was asked of them here.
        """
        return {
            "federations": [
                {
                    **self._panel_facts(self._facts.get(number, {})),
                    "number": number,
                    "audit": self._audits.get(number),
                }
                for number in sorted(self._subscriptions, reverse=True)
            ]
        }

    def _panel_facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        if not facts:
            return {}
        parties = [{**party, "tables": [table["name"] for table in party["tables"]]} for party in facts["parties"]]
        runs = [{**run, "asked": self._asked.get(run["id"], "")} for run in facts["runs"]]
        return {**facts, "parties": parties, "runs": runs, "events": facts["events"][:MOST_EVENTS]}

    def _send_news(self, *, whole: bool = False) -> None:
        """Send the pages what is new, if they are looking."""
        if not self._pages:
            return
        state, now = self._state(), time.monotonic()
        whole = whole or (state != self._sent and now - self._whole >= WHOLE_S)
        if whole:
            self._serial += 1
            self._whole = now
            self._send({"kind": "whole", "serial": self._serial, "all": state})
        elif changes := edits(self._sent, state):
            self._serial += 1
            self._send({"kind": "edits", "serial": self._serial, "edits": changes})
        self._sent = state


Path = tuple[str | int, ...]
Edit = list[Any]


def edits(old: Any, new: Any) -> list[Edit]:
    """The edits that make `new` of `old`, two JSON values, in the order in which a page is to make them.

    An edit is a list: `["set", path, value]`, `["drop", path]` of a key, or `["cut", path, at, count, items]`, which
    takes `count` items of a list out at `at` and puts others there. A path is the keys and indices that lead there.
    """
    return list(_edits(old, new, ()))


def _edits(old: Any, new: Any, path: Path) -> Iterator[Edit]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() - new.keys():
            yield ["drop", [*path, key]]
        for key, value in new.items():
            if key in old:
                yield from _edits(old[key], value, (*path, key))
            else:
                yield ["set", [*path, key], value]
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        yield from _list_edits(list(old), list(new), path)
    elif old != new:
        yield ["set", list(path), new]


def _list_edits(old: list[Any], new: list[Any], path: Path) -> Iterator[Edit]:
    """What both begin and end with stays."""
    head = _alike(old, new)
    tail = min(_alike(old[::-1], new[::-1]), min(len(old), len(new)) - head)
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after, strict=True), head):
            yield from _edits(one, other, (*path, at))
    else:
        yield ["cut", list(path), head, len(before), after]


def _alike(one: list[Any], other: list[Any]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))

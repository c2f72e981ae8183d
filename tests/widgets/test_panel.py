"""The kernel's side of the panel: what pages are told, what they may ask, and that nothing is left when they go."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import IPython
import msgspec
import pytest
from applying import applied
from claims import Cases
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from people import everyone, federation, north

import privsdk as ps
from privsdk import dp, fl
from privsdk.client import kernel
from privsdk.client.federation import openings
from privsdk.widgets.panel import MOST_EVENTS, MOST_PAGES, Panel

WAIT_S = 120.0
MODEL = fl.Logistic(features={"age": (0, 60)})


class Page:
    """What a page makes of what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.all: dict[str, Any] = {}
        self.serial = 0

    def take(self, message: dict[str, Any]) -> None:
        message = json.loads(json.dumps(message))
        self.told.append(message)
        if message["kind"] == "whole":
            self.all = message["all"]
        else:
            assert message["kind"] == "edits"
            assert message["serial"] == self.serial + 1
            self.all = applied(self.all, message["edits"])
        self.serial = message["serial"]

    def until(self, there: Callable[[Page], Any]) -> Any:
        """Wait for a state, and return what was found in it."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            try:
                found = there(self)
            except (LookupError, StopIteration):
                found = None
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError(self.all)

    def federation(self, number: int) -> dict[str, Any]:
        return next(fed for fed in self.all["federations"] if fed["number"] == number)

    def run(self, number: int) -> dict[str, Any]:
        return self.federation(number)["runs"][-1]


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    gc.collect()
    with federation() as opened:
        yield opened


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def panel(page: Page) -> Iterator[Panel]:
    side = Panel(page.take)
    side.take({"kind": "hello", "page": "a", "visit": 1})
    yield side
    side.take({"kind": "bye", "page": "a", "visit": 1})


def followers() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("privsdk-following")]


def test_a_page_is_told_all_at_first(fed: ps.Federation, page: Page, panel: Panel) -> None:
    assert page.told[0]["kind"] == "whole"
    parties = page.until(lambda page: page.federation(fed.number)["parties"])
    assert [party["name"] for party in parties] == list(fed.parties)
    assert parties[0]["tables"] == ["people"]
    assert parties[0]["balances"][0]["epsilon"]["text"] == "3 of 3"


def test_then_what_is_new(fed: ps.Federation, page: Page, panel: Panel) -> None:
    page.until(lambda page: page.federation(fed.number)["parties"])
    dp.count(north(fed), epsilon=0.5).release()
    balance = page.until(
        lambda page: next(
            b for b in page.federation(fed.number)["parties"][0]["balances"] if b["epsilon"]["text"] == "2.5 of 3"
        )
    )
    assert balance["party"] == "north"
    run = page.until(lambda page: page.run(fed.number))
    assert run["operation"] == "dp.count"
    page.until(lambda page: page.run(fed.number)["state"] == "done")
    page.until(lambda page: page.federation(fed.number)["events"][0]["event"] == "finished")
    assert {each["kind"] for each in page.told[1:]} <= {"edits", "whole"}
    assert any(each["kind"] == "edits" for each in page.told)


def test_a_round_is_a_small_message(fed: ps.Federation, page: Page, panel: Panel) -> None:
    page.until(lambda page: page.federation(fed.number)["parties"])
    run = fl.fit(MODEL, everyone(fed), label="late", rounds=80).start()
    page.until(lambda page: page.run(fed.number)["latest"])
    run.result()
    page.until(lambda page: page.run(fed.number)["state"] == "done")
    sizes = sorted(len(json.dumps(each)) for each in page.told if each["kind"] == "edits")
    assert sizes[len(sizes) // 2] < 6_000 < len(json.dumps(page.all))


@pytest.mark.parametrize(("wish", "state"), [("stop", "done"), ("cancel", "cancelled")])
def test_a_run_is_ended(fed: ps.Federation, page: Page, panel: Panel, wish: str, state: str) -> None:
    run = fl.fit(MODEL, everyone(fed), label="late", rounds=5000).start()
    told = page.until(lambda page: page.run(fed.number)["latest"] and page.run(fed.number))
    panel.take({"kind": wish, "run": "another"})
    panel.take({"kind": wish, "run": told["id"]})
    assert page.run(fed.number)["asked"] == wish
    page.until(lambda page: page.run(fed.number)["state"] == state)
    assert run.done() or state == "done"
    if state == "done":
        assert len(run.result().value.history) < 5000
    assert page.run(fed.number)["asked"] == wish


def test_audits_are_verified(fed: ps.Federation, page: Page, panel: Panel) -> None:
    dp.count(north(fed), epsilon=0.1).release()
    panel.take({"kind": "verify"})
    audit = page.until(lambda page: page.federation(fed.number)["audit"] or None)
    audit = page.until(lambda page: (a := page.federation(fed.number)["audit"])["verdicts"] and a)
    assert [verdict["party"] for verdict in audit["verdicts"]] == list(fed.parties)
    assert {verdict["fault"] for verdict in audit["verdicts"]} == {""}
    assert audit["verdicts"][0]["rows"] > audit["verdicts"][1]["rows"]


def test_an_audit_that_fails_says_so(
    fed: ps.Federation, page: Page, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: ps.Federation) -> None:
        raise ps.PrivsdkError("north is gone", hint="wait")

    monkeypatch.setattr(ps.Federation, "verify_audit", broken)
    panel.take({"kind": "verify"})
    page.until(lambda page: "north is gone" in page.federation(fed.number)["audit"]["failed"])


def test_federations_come_and_go(page: Page, panel: Panel) -> None:
    gc.collect()
    before = len(page.until(lambda page: page.told) and page.all["federations"])
    with federation() as one:
        page.until(lambda page: page.federation(one.number)["parties"])
        with federation() as other:
            page.until(lambda page: page.federation(other.number)["parties"])
            assert [fed["number"] for fed in page.all["federations"]][:2] == [other.number, one.number]
        page.until(lambda page: page.all["federations"][0]["number"] == one.number)
    page.until(lambda page: len(page.all["federations"]) == before)


def test_a_federation_that_is_forgotten_is_not_kept(page: Page, panel: Panel) -> None:
    forgotten = federation()
    number, link = forgotten.number, forgotten._link
    page.until(lambda page: page.federation(number)["parties"])
    del forgotten

    def gone(page: Page) -> bool:
        gc.collect()
        panel.take({"kind": "refresh"})  # which is when its watcher finds that it has nothing to watch
        return all(fed["number"] != number for fed in page.all["federations"])

    page.until(gone)
    link.close()


def test_only_the_latest_events_are_sent(fed: ps.Federation, page: Page, panel: Panel) -> None:
    for _ in range(MOST_EVENTS // 3 + 2):
        dp.count(north(fed), epsilon=0.01).release()
    page.until(lambda page: len(page.federation(fed.number)["events"]) == MOST_EVENTS)
    assert all(isinstance(table, str) for party in page.federation(fed.number)["parties"] for table in party["tables"])


def test_nothing_is_sent_or_kept_when_no_page_looks(fed: ps.Federation, page: Page) -> None:
    side = Panel(page.take)
    before, listening = len(followers()), len(openings)
    for name in "ab":
        side.take({"kind": "hello", "page": name, "visit": 1})
    page.until(lambda page: page.federation(fed.number)["parties"])
    side.take({"kind": "bye", "page": "a", "visit": 1})
    side.take({"kind": "bye", "page": "never seen", "visit": 1})
    side.take({"kind": "refresh"})
    assert len(followers()) > before
    side.take({"kind": "bye", "page": "b", "visit": 1})
    page.until(lambda _: len(followers()) == before)
    assert len(openings) == listening
    assert len(fed.activity._observers) == 0
    told = len(page.told)
    dp.count(north(fed), epsilon=0.1).release()
    side.take({"kind": "verify"})
    page.until(lambda _: not [t for t in threading.enumerate() if t.name.startswith("privsdk-verifying")])
    assert len(page.told) == told


def test_what_a_page_says_may_come_in_another_order(fed: ps.Federation, page: Page) -> None:
    """Messages by a subshell overtake those by the main shell."""
    side = Panel(page.take)
    before, listening = len(followers()), len(openings)

    def say(kind: str, visit: int) -> int:
        side.take({"kind": kind, "page": "a", "visit": visit})
        return len(side._subscriptions)

    assert [say("bye", 1), say("hello", 1)] == [0, 0]  # of one visit
    assert [say("hello", 2), say("hello", 3), say("bye", 2), say("bye", 3)] == [1, 1, 1, 0]  # of two
    assert [say("bye", 5), say("bye", 4), say("hello", 5), say("hello", 4)] == [0, 0, 0, 0]
    assert [say("hello", 7), say("hello", 6), say("bye", 6), say("bye", 7)] == [1, 1, 1, 0]
    page.until(lambda _: (len(followers()), len(openings)) == (before, listening))
    for number in range(5 * MOST_PAGES):
        side.take({"kind": "bye", "page": str(number), "visit": 1})
    assert len(side._left) == MOST_PAGES


def test_pages_that_died_are_forgotten(page: Page) -> None:
    side = Panel(page.take)
    for number in range(MOST_PAGES + 5):
        side.take({"kind": "hello", "page": str(number), "visit": 1})
    for number in range(5, MOST_PAGES + 5):
        assert len(openings)
        side.take({"kind": "bye", "page": str(number), "visit": 1})
    page.until(lambda _: not followers())


def test_what_no_page_says_is_refused(panel: Panel) -> None:
    for message in (
        {"kind": "run", "code": "1"},
        {"kind": "stop"},
        {"kind": "hello", "page": 1, "visit": 1},
        "hello",
        None,
    ):
        with pytest.raises(msgspec.ValidationError):
            panel.take(message)


class FakeComm:
    """What `comm.create_comm` gives, as far as it is used."""

    def __init__(self, **options: Any) -> None:
        assert options == {"target_name": kernel.NAME, "comm_id": kernel.NAME, "primary": False}
        self.comm_id = options["comm_id"]
        self.sent: list[Any] = []
        self.heard: Any = None

    def send(self, data: Any) -> None:
        self.sent.append(data)

    def on_msg(self, heard: Any) -> None:
        self.heard = heard


def test_registering_in_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    import comm

    class Shell:
        class kernel:  # noqa: N801
            comm_manager = comm.CommManager()

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.setattr(comm, "create_comm", FakeComm)
    kernel.register(ps._panel)
    kernel.register(ps._panel)
    (line,) = Shell.kernel.comm_manager.comms.values()
    assert isinstance(line, FakeComm)
    assert line.sent == [{"kind": "here"}]
    line.heard({"content": {"data": {"kind": "hello", "page": "a", "visit": 1}}})
    assert line.sent[1]["kind"] == "whole"
    line.heard({"content": {"data": {"kind": "bye", "page": "a", "visit": 1}}})


@pytest.fixture(scope="module")
def client() -> Iterator[BlockingKernelClient]:
    """A kernel of its own."""
    manager, client = start_new_kernel()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def say(client: BlockingKernelClient, message: dict[str, Any], *, subshell: str | None = None) -> None:
    sent = client.session.msg("comm_msg", {"comm_id": kernel.NAME, "data": message})
    sent["header"] |= {"subshell_id": subshell} if subshell else {}
    client.shell_channel.send(sent)


def heard(client: BlockingKernelClient, there: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first message of the panel's comm for which this is so."""
    while True:
        message = client.get_iopub_msg(timeout=WAIT_S)
        if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == kernel.NAME:
            data: dict[str, Any] = message["content"]["data"]
            if there(data):
                return data


def printed(client: BlockingKernelClient, code: str) -> str:
    found: list[str] = []

    def take(message: dict[str, Any]) -> None:
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "stream":
            found.append(message["content"]["text"])

    client.execute_interactive(code, timeout=60, output_hook=take)
    return "".join(found)


COUNT = """
import threading, time
from ipykernel.kernelapp import IPKernelApp
from privsdk.client.federation import openings
ends = time.monotonic() + 60
while (threads := sum(each.name.startswith("privsdk") for each in threading.enumerate())) and time.monotonic() < ends:
    time.sleep(0.05)
print(threads, len(openings), len(fed.activity._observers), len(IPKernelApp.instance().kernel.comm_manager.comms))
"""


@pytest.mark.claim("the panel leaves no comm, listener or thread in the kernel after 100 open/close cycles")
def test_a_hundred_pages_leave_nothing(client: BlockingKernelClient, cases: Cases) -> None:
    printed(client, "import privsdk as ps, pyarrow as pa")
    printed(client, "fed = ps.embedded(north={'people': pa.table({'id': [1, 2, 3]})}, store=None, quiet=True)")
    before = printed(client, COUNT)
    for number in range(100):
        say(client, {"kind": "hello", "page": str(number), "visit": 1})
        heard(client, lambda data: data["kind"] == "whole")
        say(client, {"kind": "bye", "page": str(number), "visit": 1})
        cases()
    assert printed(client, COUNT) == before
    assert before.split() == ["0", "0", "0", "1"]
    cases.say("before and after: 0 threads, 0 listeners, 1 comm of the kernel's own")


def blocking(folder: Path) -> str:
    """A cell that blocks the kernel until there is a file `heard` in the folder."""
    file = str(folder / "heard")
    return f"import os, time\nwhile not os.path.exists({file!r}): time.sleep(0.05)\nprint('end')"


@pytest.mark.claim("the panel is told how a run goes on while a cell blocks the kernel")
def test_a_cell_that_blocks_does_not_stop_the_news(client: BlockingKernelClient, tmp_path: Path, cases: Cases) -> None:
    printed(client, "import privsdk as ps, pyarrow as pa; from privsdk import dp")
    table = "{'people': pa.table({'id': list(range(60))})}"
    printed(client, f"fed = ps.embedded(north={table}, store=None, quiet=True)")
    say(client, {"kind": "hello", "page": "a", "visit": 1})
    heard(client, lambda data: data["kind"] == "edits" and "parties" in str(data))
    client.execute(f"dp.count(fed['north']['people'], epsilon=0.5).release()\n{blocking(tmp_path)}")
    seen = []
    while "end" not in seen:
        message = client.get_iopub_msg(timeout=WAIT_S)
        if message["msg_type"] == "stream":
            seen.append(message["content"]["text"].strip())
        elif message["msg_type"] == "comm_msg":
            told = message["content"]["data"]
            cases()
            seen += ["done"] * ("'done'" in str(told)) + ["spent"] * ("2.5 of 3" in str(told))
            if {"done", "spent"} <= set(seen):
                (tmp_path / "heard").touch()
    assert {"done", "spent"} <= set(seen[: seen.index("end")])
    say(client, {"kind": "bye", "page": "a", "visit": 1})


def test_a_page_with_a_subshell_is_heard_while_a_cell_blocks(client: BlockingKernelClient, tmp_path: Path) -> None:
    printed(client, "import privsdk as ps, pyarrow as pa")
    printed(client, "fed = ps.embedded(north={'people': pa.table({'id': [1, 2]})}, store=None, quiet=True)")
    client.control_channel.send(client.session.msg("create_subshell_request"))
    subshell = client.get_control_msg(timeout=WAIT_S)["content"]["subshell_id"]
    say(client, {"kind": "hello", "page": "a", "visit": 2})  # from here on it has last written from the main shell
    heard(client, lambda data: "parties" in str(data))
    client.execute(blocking(tmp_path))
    say(client, {"kind": "verify"}, subshell=subshell)
    while True:
        message = client.get_iopub_msg(timeout=WAIT_S)
        assert message["msg_type"] != "stream", "the cell ended first"
        if message["msg_type"] == "comm_msg" and "fault" in str(message["content"]["data"]):
            break
    (tmp_path / "heard").touch()
    say(client, {"kind": "bye", "page": "a", "visit": 2}, subshell=subshell)

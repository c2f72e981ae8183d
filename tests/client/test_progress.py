"""How far a run is: told by the parties, kept for who watches, shown in a line; never more than the caller may know."""

from __future__ import annotations

import io
import threading

import pyarrow as pa
import pytest
from waiting import until

import privsdk as ps
from privsdk import fl, psi
from privsdk.client.progress import Live, Ticker
from privsdk.errors import UnknownName
from privsdk.governance.policy import NO_KEY_BOUNDS
from privsdk.party.run import PartyRun
from privsdk.protocol.control import ProgressReport, Stop, Trace, Watch, Watched
from privsdk.protocol.conversation import Conversation, Inbox
from privsdk.protocol.messages import Binding, pack
from privsdk.protocol.operation import Request
from privsdk.protocol.roles import Progress
from privsdk.transport.local import LocalChannel

REQUEST = Request(
    run_id="r", operation="fl.fit", caller="analyst", purpose="workshop", parties=("k", "p"), operands={}, parameters={}
)


def watched(*done: int, phase: str = "round 1", loss: float | None = 0.5) -> Watched:
    figures = {} if loss is None else {"loss": loss}
    return Watched(phase=phase, told=tuple(ProgressReport(done=n, total=9, figures=figures) for n in done))


def test_news_are_added_once_whatever_order_they_come_in() -> None:
    live = Live(REQUEST)
    live.update("k", watched(0, 1, 2), 0)
    live.update("k", watched(1, 2, 3), 1)  # an older question, answered later
    live.update("k", watched(7), 6)  # what came between is not known
    live.update("p", watched(3, loss=None), 0)
    assert [told.done for told in live.curve] == [0, 1, 2, 3]
    assert (live.latest["k"].done, len(live.reports("k")), len(live.reports("q"))) == (3, 4, 0)
    assert live.phases == {"k": "round 1", "p": "round 1"}
    assert str(live) == "3 of 9 done, loss 0.5"


def test_a_line_of_phases_where_nothing_else_is_told() -> None:
    live = Live(REQUEST)
    assert (str(live), live.curve, live.latest) == ("", (), {})
    live.update("a", Watched(phase="blinding"), 0)
    live.update("b", Watched(phase=""), 0)
    assert str(live) == "a: blinding"


def test_observers_hear_news_and_one_that_fails_is_dropped() -> None:
    live, heard = Live(REQUEST), []

    def fails(_: Live) -> None:
        raise ValueError("broken")

    leave = live.observe(lambda now: heard.append(str(now)))
    live.observe(fails)
    with pytest.warns(RuntimeWarning, match="an observer failed and is not called again: ValueError"):
        live.update("k", watched(1), 0)
    live.update("k", watched(), 1)  # no news
    live.update("k", watched(2), 1)
    leave()
    leave()
    live.update("k", watched(3), 2)
    assert heard == ["1 of 9 done, loss 0.5", "2 of 9 done, loss 0.5"]


def test_the_line_follows_after_a_while_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    ticker = Ticker(output)
    ticker.show("too early")
    assert output.getvalue() == ""
    monkeypatch.setattr("privsdk.client.progress.AFTER_S", 0.0)
    for text in ("round 10", "round 10", "round 2", "x" * 200):
        ticker.show(text)
    ticker.end()
    ticker.end()
    lines = output.getvalue().split("\r")
    assert lines[1:3] == ["round 10", "round 2 "]
    assert (len(lines[3]), lines[3][-3:], lines[4].strip(), len(lines)) == (100, "...", "", 6)


def test_nothing_is_written_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("privsdk.client.progress.AFTER_S", 0.0)
    with federation() as fed:
        plan(fed, 5).release()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stdout", Terminal())
    Ticker().show("seen")
    assert "seen" in __import__("sys").stdout.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def federation() -> ps.Federation:
    table = pa.table({"id": range(60), "x": [n / 60 for n in range(60)], "y": [0, 1] * 30})
    names = ("north", "south", "east")
    budget = ps.Budget(exact=100_000)
    return ps.embedded({**dict.fromkeys(names, table), "keeper": {}}, store=None, budget=budget, quiet=True)


def plan(fed: ps.Federation, rounds: int) -> ps.Plan[fl.Fitted]:
    return fl.fit(fl.Logistic(features={"x": (0, 1)}), fed.tables("table"), label="y", rounds=rounds)


def test_a_training_tells_its_rounds_and_loss_while_it_goes_on() -> None:
    with federation() as fed:
        run = plan(fed, 2000).start()
        seen = threading.Event()
        counts: list[int] = []

        def observe(live: Live) -> None:
            counts.append(len(live.curve))
            if live.curve and live.curve[-1].done > 1:
                seen.set()

        run.progress.observe(observe)
        assert seen.wait(120)
        assert "so far" in repr(run)
        assert " of 2000 done, loss 0." in str(run.progress)
        run.stop()
        fitted = run.result(timeout_s=120).value
        history = fitted.history.to_pylist()
        for told in run.progress.curve:
            assert told.total == 2000
            assert told.figures == ({"loss": history[told.done - 1]["loss"]} if told.done else {})
        assert [told.done for told in run.progress.curve] == list(range(len(history) + 1))
        assert counts == sorted(counts)
        assert set(run.progress.phases) == {"north", "south", "east", "keeper"}
        last = run.progress.latest["keeper"]
        assert (
            last.bytes_sent == sum(row["bytes_sent"] for row in history[: last.done]) + run.progress.curve[0].bytes_sent
        )
        assert all(row["seconds"] > 0 and row["bytes_received"] > 0 for row in history)


def test_only_its_caller_watches_or_stops_a_run() -> None:
    with federation() as fed:
        run = plan(fed, 2000).start()
        until(lambda: bool(run.progress.curve))
        gate = fed._link._endpoints["keeper"]  # type: ignore[attr-defined]
        call = Watch(run_id=run.plan.request.run_id)
        assert gate.handle("analyst", call).told
        with pytest.raises(UnknownName, match="has no run"):
            gate.handle("mallory", call)
        gate.handle("mallory", Stop(run_id=call.run_id))
        assert not gate._runs._running[call.run_id].stop_requested.is_set()
        run.stop()
        run.result(timeout_s=120)
        ended = gate.handle("analyst", call)
        assert (ended.phase, ended.told[-1]) == ("the final model", run.progress.curve[-1])
        later = Watch(run_id=call.run_id, since=len(run.progress.curve) - 1)
        assert gate.handle("analyst", later).told == run.progress.curve[-1:]
        with pytest.raises(UnknownName):
            gate.handle("mallory", call)


def run_at_north() -> PartyRun:
    with federation() as fed:
        request = psi.join(fed["north"]["table"], fed["south"]["table"], on="id").request
    from privsdk.protocol.operation import operation_of
    from privsdk.protocol.timeouts import Timeouts

    return PartyRun("north", operation_of(request), 1, NO_KEY_BOUNDS, Timeouts())


def test_numbers_that_are_not_for_the_caller_are_not_told() -> None:
    """How many pieces there are tells how many rows; the phase is what an error says too."""
    own = run_at_north()
    own.on_step(Progress("blinding", 3, 17))
    assert own.watched() == Watched(phase="blinding")
    own.on_step(Progress("round 2", 1, 5, {"loss": 0.5}))
    own.on_step(Progress("round 2", 1, 5, {"loss": 0.5}))
    own.on_step(None)
    own.on_step(Progress("adding", 4, 8))
    seen = own.watched()
    assert (seen.phase, [(t.done, t.total, t.figures) for t in seen.told]) == ("adding", [(1, 5, {"loss": 0.5})])
    assert own.watched(since=1).told == ()


def test_conversations_count_what_they_carry() -> None:
    at_a, at_b = Inbox("b"), Inbox("a")
    bound = {name: Binding(session="s", request="r", sender=name) for name in "ab"}
    a = Conversation(LocalChannel(at_a, at_b, "a"), bound["a"], bound["b"], timeout_s=60)
    b = Conversation(LocalChannel(at_b, at_a, "b"), bound["b"], bound["a"], timeout_s=60)
    a.send(pack(watched(1)))
    b.receive(Watched)
    assert a.bytes_sent == b.bytes_received > 100
    assert (a.bytes_received, b.bytes_sent) == (0, 0)


def test_a_trace_of_many_rounds_fits_a_header() -> None:
    told = [
        ProgressReport(
            done=n, total=10_000, figures={"loss": 0.1}, seconds=n * 1.23456, bytes_sent=n << 24, bytes_received=n << 24
        )
        for n in range(10_001)
    ]
    trace = Trace.of(told)
    assert trace.seconds[-1] == round(told[-1].seconds, 4)
    import msgspec

    assert len(msgspec.json.encode(trace)) < 450_000  # the history beside it takes as much, and 1 MiB is allowed

"""Roles talk through steps, in one thread or over channels, and a driver hands them what arrived or who is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from privsdk.errors import Cancelled, DataError, PeerFailed, PeerGone, ProtocolViolation
from privsdk.protocol.conversation import Conversation, Inbox
from privsdk.protocol.messages import Binding, Message, pack
from privsdk.protocol.roles import Gone, Progress, Role, Step, ask, checkpoint, drive, gather, hear, tell, tell_all
from privsdk.testing import Sent, pair, together
from privsdk.transport.local import LocalChannel


class Number(Message, frozen=True, kw_only=True, tag="test.Number"):
    value: int


class Word(Message, frozen=True, kw_only=True, tag="test.Word"):
    value: str


def doubler(peer: str, times: int) -> Role[int]:
    for done in range(times):
        yield from checkpoint("doubling", done, times)
        heard = yield from hear(peer, Number)
        yield from tell(peer, Number(value=2 * heard.value))
    return times


def asker(peer: str, values: list[int]) -> Role[list[int]]:
    answers = []
    for value in values:
        reply = yield from ask(peer, Number(value=value), Number)
        answers.append(reply.value)
    return answers


def conversations(*names: str) -> tuple[Conversation, Conversation]:
    """Both ends of a link between two parties."""
    a, b = names
    at_a, at_b = Inbox(b), Inbox(a)
    bound = {name: Binding(session="s", request="r", sender=name) for name in names}
    return (
        Conversation(LocalChannel(at_a, at_b, a), bound[a], bound[b], timeout_s=60),
        Conversation(LocalChannel(at_b, at_a, b), bound[b], bound[a], timeout_s=60),
    )


def test_ask_and_hear_and_tell_take_turns() -> None:
    transcript: list[Sent] = []
    assert pair(asker("b", [1, 2, 3]), doubler("a", 3), transcript=transcript) == ([2, 4, 6], 3)
    assert [(s.sender, s.tag) for s in transcript] == [("a", "test.Number"), ("b", "test.Number")] * 3
    assert all(s.size == len(s.header) and s.table is None for s in transcript)


def test_gather_waits_for_all_and_tell_all_gives_each_its_own() -> None:
    def hub() -> Role[int]:
        yield from tell_all({"x": Number(value=1), "y": Number(value=2)})
        back = yield from gather(("x", "y"), Number)
        return 10 * back["x"].value + back["y"].value

    def spoke() -> Role[None]:
        got = yield from hear("hub", Number)
        yield from tell("hub", Number(value=got.value + 3))

    assert together({"hub": hub(), "x": spoke(), "y": spoke()}) == {"hub": 45, "x": None, "y": None}


def test_roles_that_all_wait_are_found() -> None:
    with pytest.raises(RuntimeError, match="every role waits: a, b"):
        pair(doubler("b", 1), doubler("a", 1))


def test_a_message_of_another_kind_is_no_reply() -> None:
    def wrong() -> Role[None]:
        yield from hear("a", Number)
        yield from tell("a", Word(value="2"))

    here, there = conversations("a", "b")
    with ThreadPoolExecutor() as threads:
        threads.submit(drive, wrong(), lambda _: there, lambda _: None)
        with pytest.raises(ProtocolViolation, match=r"not a valid test\.Number"):
            drive(asker("b", [1]), lambda _: here, lambda _: None)
    with pytest.raises(TypeError, match="resumed a role with Word for Number"):
        pair(asker("b", [1]), wrong())


def test_drive_runs_a_role_over_channels_and_reports_progress() -> None:
    here, there = conversations("a", "b")
    steps: list[Progress | None] = []
    with ThreadPoolExecutor() as threads:
        other = threads.submit(drive, doubler("a", 2), lambda _: there, steps.append)
        assert drive(asker("b", [5, 6]), lambda _: here, lambda _: None) == [10, 12]
        assert other.result() == 2
    assert [s for s in steps if s] == [Progress("doubling", 0, 2), Progress("doubling", 1, 2)]


@pytest.mark.parametrize("how", [Conversation.end, lambda there: there._channel.close()], ids=["ended", "closed"])
def test_a_lost_peer_is_raised_where_the_role_needs_it(how: Callable[[Conversation], None]) -> None:
    here, there = conversations("a", "b")
    how(there)
    with pytest.raises(PeerGone):
        drive(asker("b", [1]), lambda _: here, lambda _: None)


def test_a_role_can_go_on_without_a_lost_peer() -> None:
    def survivor() -> Role[tuple[int, str]]:
        heard = yield Step({}, {"b": Number, "c": Number})
        number, gone = heard["b"], heard["c"]
        assert isinstance(number, Number)
        assert isinstance(gone, Gone)
        return number.value, gone.party

    links = {"b": conversations("a", "b"), "c": conversations("a", "c")}
    links["b"][1].send(pack(Number(value=7)))
    links["c"][1].end()
    assert drive(survivor(), lambda peer: links[peer][0], lambda _: None) == (7, "c")


def test_a_peer_that_stops_with_an_error_tells_its_code_only() -> None:
    here, there = conversations("a", "b")
    there.end(DataError("the value 1234 is bad"))
    with pytest.raises(PeerFailed, match=r"usage\.data") as raised:
        drive(asker("b", [1]), lambda _: here, lambda _: None)
    assert "1234" not in str(raised.value)


def test_an_error_in_on_step_stops_the_role_before_it_sends() -> None:
    here, there = conversations("a", "b")
    stopped = []

    def role() -> Role[None]:
        try:
            yield from asker("b", [1, 2])
        finally:
            stopped.append(True)

    def cancel(progress: Progress | None) -> None:
        raise Cancelled("the run was cancelled")

    running = role()
    with pytest.raises(Cancelled):
        drive(running, lambda _: here, cancel)
    here.end()
    with pytest.raises(PeerGone, match="ended the session"):
        there.receive(Number)  # the End is the first message that came
    assert stopped == [True]  # though `running` is still held, as a traceback would


def test_roles_run_together_are_closed_where_one_fails() -> None:
    ended = []

    def busy() -> Role[None]:
        try:
            while True:
                yield from checkpoint("working", 0, 1)
        finally:
            ended.append(True)

    def failing() -> Role[None]:
        yield from checkpoint("working", 0, 1)
        raise DataError("no")

    roles = {"a": busy(), "b": failing()}
    with pytest.raises(DataError):
        together(roles)
    assert ended == [True]


def test_an_interrupt_wakes_a_role_that_waits() -> None:
    here, _ = conversations("a", "b")
    threading.Timer(0.05, here.interrupt, [Cancelled("the run was cancelled")]).start()
    with pytest.raises(Cancelled):
        drive(asker("b", [1]), lambda _: here, lambda _: None)


def test_ending_after_the_peer_left_is_harmless() -> None:
    here, there = conversations("a", "b")
    there.end()
    here.end(Cancelled("stop"))
    here.end()
    with pytest.raises(PeerFailed, match="cancelled"):
        there.receive(Number)

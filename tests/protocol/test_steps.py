"""Steps that go on without lost parties, with deadlines and the first of several: in one thread and over links."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from privsdk.errors import DataError, PeerError, PeerFailed, PeerGone, ProtocolViolation
from privsdk.protocol.conversation import Conversation, Inbox
from privsdk.protocol.messages import Binding, Frame, Message, pack
from privsdk.protocol.roles import (
    Progress,
    Role,
    checkpoint,
    collect,
    colocated,
    drive,
    during,
    gather,
    hear,
    next_of,
    tell,
    tell_present,
)
from privsdk.protocol.timeouts import Timeouts
from privsdk.testing import together
from privsdk.transport.local import LocalChannel
from privsdk.transport.streams import Stream

Run = Callable[[Mapping[str, Role[Any]]], dict[str, Any]]


class Digit(Message, frozen=True, kw_only=True, tag="test.Digit"):
    value: int


class Letter(Message, frozen=True, kw_only=True, tag="test.Letter"):
    value: str


def over_links(roles: Mapping[str, Role[Any]]) -> dict[str, Any]:
    """Each role in a thread of its own, over local channels; the errors of those that fail in place of outputs."""
    inboxes = {(a, b): Inbox(b) for a in roles for b in roles if a != b}
    bound = {name: Binding(session="s", request="r", sender=name) for name in roles}
    talks = {
        (a, b): Conversation(LocalChannel(inboxes[a, b], inboxes[b, a], a), bound[a], bound[b], timeout_s=60)
        for a, b in inboxes
    }

    def run(name: str) -> Any:
        error = None
        try:
            return drive(roles[name], lambda peer: talks[name, peer], lambda _: None)
        except Exception as raised:
            error = raised if isinstance(raised, PeerError | DataError) else PeerGone("broken")
            return raised
        finally:
            for (a, _), talk in talks.items():
                if a == name:
                    talk.end(error)

    with ThreadPoolExecutor(len(roles)) as threads:
        return dict(zip(roles, threads.map(run, roles), strict=True))


@pytest.fixture(params=[together, over_links], ids=["together", "links"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def says(*values: int, to: str = "hub") -> Role[str]:
    for value in values:
        yield from tell(to, Digit(value=value))
    return "done"


def test_collect_names_who_did_not_come_and_goes_on(run: Run) -> None:
    def hub() -> Role[Any]:
        first = yield from collect(("a", "b"), Digit, send={"a": Digit(value=0), "b": Digit(value=0)}, within_s=60)
        second = yield from collect(("a", "b"), Digit, within_s=60)
        return first.messages, second.messages, second.lost

    def a() -> Role[None]:
        yield from hear("hub", Digit)
        yield from says(1, 2)

    def b() -> Role[None]:
        yield from hear("hub", Digit)
        yield from says(5)

    first, second, lost = run({"hub": hub(), "a": a(), "b": b()})["hub"]
    assert {name: message.value for name, message in first.items()} == {"a": 1, "b": 5}
    assert {name: message.value for name, message in second.items()} == {"a": 2}
    assert set(lost) == {"b"}
    assert isinstance(lost["b"], PeerGone)


def test_who_is_lost_stays_lost_and_nothing_waits_for_it(run: Run) -> None:
    def hub() -> Role[Any]:
        lost = []
        yield from hear("c", Letter)  # a has spoken
        for _ in range(3):
            lost.append((yield from collect(("a", "b"), Digit, within_s=0.3)).lost)
        told = yield from tell_present({"a": Digit(value=9), "b": Digit(value=9)})
        return lost, told

    def late() -> Role[str]:
        yield from hear("a", Letter)  # only when a has heard the hub's last word
        return (yield from says(1))

    def a() -> Role[int]:
        yield from says(1, 2, 3)
        yield from tell("c", Letter(value="spoken"))
        heard = yield from hear("hub", Digit)
        yield from tell("b", Letter(value="now"))
        return heard.value

    def c() -> Role[None]:
        yield from hear("a", Letter)
        yield from tell("hub", Letter(value="spoken"))

    outputs = run({"hub": hub(), "a": a(), "b": late(), "c": c()})
    lost, told = outputs["hub"]
    assert [set(each) for each in (*lost, told)] == [{"b"}] * 4
    assert len({id(each["b"]) for each in lost}) == 1 or run is together
    assert outputs["a"] == 9


def test_next_of_takes_the_first_and_leaves_the_others(run: Run) -> None:
    def hub() -> Role[Any]:
        got = []
        while len(got) < 4:
            came, lost = yield from next_of(("a", "b"), Digit, within_s=60)
            assert not lost
            assert len(came) == 1
            got += [(name, message.value) for name, message in came.items()]
        for name in "ab":
            yield from tell(name, Letter(value="end"))
        return got

    def spoke(*values: int) -> Role[None]:
        yield from says(*values)
        yield from hear("hub", Letter)

    got = run({"hub": hub(), "a": spoke(1, 2), "b": spoke(3, 4)})["hub"]
    assert sorted(got) == [("a", 1), ("a", 2), ("b", 3), ("b", 4)]
    assert [value for name, value in got if name == "a"] == [1, 2]


def test_next_of_has_neither_where_time_is_up(run: Run) -> None:
    def hub() -> Role[Any]:
        nothing = yield from next_of(("a",), Digit, within_s=0.05)
        yield from tell("a", Letter(value="go"))
        later = yield from next_of(("a",), Digit, within_s=60)
        gone = yield from next_of(("a",), Digit, within_s=60)
        return nothing, later.messages["a"].value, set(gone.lost)

    def a() -> Role[None]:
        yield from hear("hub", Letter)
        yield from says(7)

    (messages, lost), value, gone = run({"hub": hub(), "a": a()})["hub"]
    assert (dict(messages), dict(lost) if run is over_links else {}, value, gone) == ({}, {}, 7, {"a"})


def test_who_sends_another_kind_is_lost_for_that(run: Run) -> None:
    if run is together:
        pytest.skip("in one thread a role gets the very message: another kind is a defect of the test")

    def hub() -> Role[Any]:
        return (yield from collect(("a", "b"), Digit, within_s=60))

    def a() -> Role[None]:
        yield from tell("hub", Letter(value="1"))
        yield from hear("hub", Digit)

    outputs = run({"hub": hub(), "a": a(), "b": says(2)})
    came, lost = outputs["hub"]
    assert (set(came), type(lost["a"])) == ({"b"}, ProtocolViolation)
    assert isinstance(outputs["a"], PeerFailed)  # it was told that it is left behind, and by which kind of error


def test_a_step_that_is_not_tolerant_ends_the_role(run: Run) -> None:
    def hub() -> Role[Any]:
        return (yield from gather(("a", "b"), Digit))

    def b() -> Role[None]:
        yield from checkpoint("nothing", 0, 1)

    if run is together:
        with pytest.raises(PeerGone):
            run({"hub": hub(), "a": says(1), "b": b()})
    else:
        assert isinstance(run({"hub": hub(), "a": says(1), "b": b()})["hub"], PeerGone)


def test_an_interrupt_reaches_a_role_that_waits_for_the_first() -> None:
    at_a, at_b = Inbox("b"), Inbox("a")
    bound = {name: Binding(session="s", request="r", sender=name) for name in "ab"}
    talk = Conversation(LocalChannel(at_a, at_b, "a"), bound["a"], bound["b"], timeout_s=30)

    def waits() -> Role[Any]:
        return (yield from next_of(("b",), Digit))

    threading.Timer(0.05, talk.interrupt, [DataError("stopped")]).start()
    with pytest.raises(DataError, match="stopped"):
        drive(waits(), lambda _: talk, lambda _: None)


def test_two_roles_of_one_party_talk_to_each_other_and_to_others(run: Run) -> None:
    """A coordinator that is a client too: its halves meet within, the third party sees one."""

    def leader() -> Role[int]:
        yield from tell_present({"me": Digit(value=1), "a": Digit(value=2)})
        came, lost = yield from collect(("me", "a"), Digit, within_s=60)
        assert not lost
        return sum(message.value for message in came.values())

    def follower() -> Role[int]:
        heard = yield from hear("me", Digit)
        yield from tell("me", Digit(value=10 * heard.value))
        return heard.value

    done = run({"me": colocated("me", leader(), follower()), "a": follower()})
    assert done == {"me": (30, 1), "a": 2}


def test_roles_beside_each_other_that_wait_for_each_other_are_found() -> None:
    def waits() -> Role[Digit]:
        return (yield from hear("me", Digit))

    with pytest.raises(PeerGone, match="one role of me waits for the other"):
        together({"me": colocated("me", waits(), waits())})


def test_during_tells_phases_within_and_hands_everything_on(run: Run) -> None:
    steps: list[Progress] = []

    def inner() -> Role[int]:
        yield from checkpoint("adding", 1, 2, {"loss": 0.5})
        heard = yield from hear("a", Digit)
        return heard.value

    def watched() -> Role[int]:
        role = during("round 3", inner())
        heard = None
        while True:
            try:
                step = role.send(heard) if heard is not None else next(role)
            except StopIteration as stop:
                return stop.value
            if step.progress:
                steps.append(step.progress)
            heard = yield step

    assert run({"hub": watched(), "a": says(4)})["hub"] == 4
    assert steps == [Progress("round 3, adding", 1, 2, {"loss": 0.5})]


def test_during_closes_what_it_holds() -> None:
    closed = []

    def inner() -> Role[None]:
        try:
            yield from hear("a", Digit)
        finally:
            closed.append(True)

    role = during("round 1", inner())
    next(role)
    role.close()
    assert closed == [True]


def test_a_conversation_ends_once_and_says_nothing_afterwards() -> None:
    """Over Flight a stream that was closed is gone: writing to it once more ended the process."""
    here, there = Inbox("a"), Inbox("b")
    bound = {name: Binding(session="s", request="r", sender=name) for name in "ab"}
    talk = Conversation(LocalChannel(here, there, "b"), bound["b"], bound["a"], timeout_s=60)
    talk.end(ProtocolViolation("nonsense"))
    talk.end(PeerGone("later"))
    with pytest.raises(PeerGone, match="the conversation with a has ended"):
        talk.send(pack(Digit(value=1)))
    heard = Conversation(LocalChannel(there, here, "a"), bound["a"], bound["b"], timeout_s=60)
    with pytest.raises(PeerFailed, match=r"peer\.violation"):
        heard.receive(Digit)
    with pytest.raises(PeerGone, match="b closed the stream"):  # and not a second word
        heard.receive(Digit)


def test_a_stream_that_is_closed_is_not_written_to() -> None:
    stream = Stream("a", Timeouts(), lambda: None)
    stream.send(Frame(b"header", b""))
    stream.close()
    with pytest.raises(PeerGone, match="the stream to a is closed"):
        stream.send(Frame(b"header", b""))
    assert [frame.header for frame in stream.outbox] == [b"header"]

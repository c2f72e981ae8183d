"""The in-process link behaves as a network would where a party is not there any more."""

from __future__ import annotations

import pytest

from privsdk.errors import PeerGone, ProtocolViolation, UnknownName
from privsdk.protocol.control import Call, Describe, Description, Done, Hello
from privsdk.protocol.conversation import Channel
from privsdk.protocol.messages import Frame, Message
from privsdk.transport.local import LocalNetwork


class Party:
    """Takes streams, or has no run that awaits one."""

    def __init__(self, *, expects: bool) -> None:
        self._expects = expects
        self.streams: list[Channel] = []

    def handle(self, caller: str, call: Call) -> Message:
        return Done()

    def accept(self, caller: str, hello: Hello, channel: Channel) -> None:
        if not self._expects:
            raise UnknownName("no such run")
        self.streams.append(channel)


def network(*, expects: bool) -> tuple[LocalNetwork, Party]:
    party, link = Party(expects=expects), LocalNetwork("analyst")
    link.add("south", party)
    return link, party


HELLO = Hello(run_id="r", session="s")


def test_a_refused_stream_is_a_lost_peer() -> None:
    """The peer's run may just have failed: its own error is the cause that a caller is to see, not this one."""
    link, _ = network(expects=False)
    with pytest.raises(PeerGone, match="south does not take a stream"):
        link.dial("north", "south", HELLO)


def test_frames_go_both_ways_until_a_side_closes() -> None:
    link, party = network(expects=True)
    near = link.dial("north", "south", HELLO)
    (far,) = party.streams
    near.send(Frame(b"a", b"1"))
    far.send(Frame(b"b", b"2"))
    assert (far.receive(1), near.receive(1)) == (Frame(b"a", b"1"), Frame(b"b", b"2"))
    near.send(Frame(b"last", b""))
    near.close()
    assert far.receive(1).header == b"last"
    with pytest.raises(PeerGone, match="north closed the stream"):
        far.receive(1)
    with pytest.raises(PeerGone, match="nothing came from south"):
        near.receive(0.01)


def test_an_interrupt_comes_before_what_is_queued() -> None:
    link, party = network(expects=True)
    near = link.dial("north", "south", HELLO)
    party.streams[0].send(Frame(b"a", b""))
    near.interrupt(ProtocolViolation("stop"))
    for _ in range(2):
        with pytest.raises(ProtocolViolation, match="stop"):
            near.receive(1)


def test_unknown_parties_and_replies_of_another_kind() -> None:
    link, _ = network(expects=True)
    with pytest.raises(UnknownName, match="no party named 'soth'"):
        link.call("soth", Describe(), Description)
    with pytest.raises(ProtocolViolation, match="not a valid description"):
        link.call("south", Describe(), Description)

"""The server within this process: who a caller is, callers who go away, frames that are none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from privsdk.errors import Cancelled, PeerGone, ProtocolViolation
from privsdk.protocol import effort
from privsdk.protocol.control import Call, Done, Hello, VerifyAudit
from privsdk.protocol.conversation import Channel
from privsdk.protocol.messages import FRAME_BYTES, Frame, Message
from privsdk.protocol.timeouts import Timeouts
from privsdk.transport import wire
from privsdk.transport.flight import FlightNetwork
from privsdk.transport.identities import Credentials, make_certificates
from privsdk.transport.server import Server
from privsdk.transport.streams import Outbox


class Party:
    """Answers at once, or computes for as long as its caller is there; keeps its streams."""

    def __init__(self) -> None:
        self.callers: list[str] = []
        self.ended = threading.Event()
        self.computing = threading.Event()
        self.streams: list[Channel] = []

    def handle(self, caller: str, call: Call) -> Message:
        self.callers.append(caller)
        if isinstance(call, VerifyAudit):
            self.computing.set()
            try:
                while True:
                    effort.check()
            except Cancelled:
                self.ended.set()
                raise
        return Done()

    def accept(self, caller: str, hello: Hello, channel: Channel) -> None:
        self.streams.append(channel)
        channel.listen()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Party, Callable[[str], FlightNetwork]]]:
    make_certificates(tmp_path, ["north", "ann"])

    def identity(name: str) -> Credentials:
        files = {"certificate": tmp_path / f"{name}.pem", "key": tmp_path / f"{name}.key"}
        return Credentials.read(authority=tmp_path / "ca.pem", **files)

    party, opened = Party(), list[FlightNetwork]()
    server = Server(party, "north", "grpc+tls://127.0.0.1:0", identity("north"))

    def network(name: str) -> FlightNetwork:
        addresses = {"north": f"grpc+tls://127.0.0.1:{server.port}"}
        opened.append(FlightNetwork(identity(name), lambda: addresses, timeouts=Timeouts(read_s=0.2)))
        return opened[-1]

    yield party, network
    for each in opened:
        each.close()
    server.shutdown()


Served = tuple[Party, Callable[[str], FlightNetwork]]


def test_a_free_question_ends_with_its_caller(served: Served) -> None:
    party, network = served
    link = network("ann")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(link.call, "north", VerifyAudit(), Done)
        until(party.computing.is_set)
        link.close()
        until(party.ended.is_set, "the party computes for nobody")
        with pytest.raises(Cancelled):
            asking.result()
    assert party.callers == ["ann"]


def test_frames_go_both_ways_and_what_was_sent_before_a_close_arrives(served: Served) -> None:
    party, network = served
    near = network("ann").dial("north", Hello(run_id="r", session="s"))
    until(lambda: party.streams)
    (far,) = party.streams
    large = bytes(range(256)) * (FRAME_BYTES // 256)
    near.send(Frame(b"a", large))
    far.send(Frame(b"b", b"2"))
    came = far.receive(60)
    assert (came.header, bytes(came.chunk)) == (b"a", large)
    assert near.receive(60).header == b"b"
    for number in range(5):
        near.send(Frame(b"%d" % number, large))
    near.close()
    assert [far.receive(60).header for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    with pytest.raises(PeerGone, match="ann closed the stream"):
        far.receive(60)
    far.send(Frame(b"still", b""))  # the other direction is open until it is closed, too
    assert near.receive(60).header == b"still"
    far.close()
    with pytest.raises(PeerGone, match="north closed the stream"):
        near.receive(60)


def test_a_peer_that_takes_nothing_is_gone() -> None:
    outbox = Outbox("bob", stall_s=0.05)
    large = Frame(b"", bytes(FRAME_BYTES))
    outbox.put(large)
    with pytest.raises(PeerGone, match=r"bob took nothing of what was sent for 0\.05 s"):
        outbox.put(large)
    outbox.put(Frame(b"the last word", b""))
    outbox.end()
    assert [frame.header for frame in outbox] == [b"", b"the last word"]


def test_a_send_that_waits_is_interrupted() -> None:
    outbox = Outbox("bob", stall_s=600)
    large = Frame(b"", bytes(FRAME_BYTES))
    outbox.put(large)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(outbox.put, large)
        outbox.interrupt(Cancelled("stop"))
        with pytest.raises(Cancelled, match="stop"):
            waiting.result()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_frames_survive_the_wire(header: bytes, chunk: bytes) -> None:
    frame = wire.decode_frame(wire.encode_frame(Frame(header, chunk)))
    assert (frame.header, bytes(frame.chunk)) == (header, chunk)
    assert bytes(wire.decode_action(wire.encode_action(chunk))) == chunk
    assert wire.decode_result(wire.encode_result(chunk)).to_pybytes() == chunk
    assert bytes(wire.decode_opening(wire.encode_opening(chunk))) == chunk


@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_are_a_violation(data: bytes) -> None:
    for decode in (wire.decode_frame, wire.decode_action, wire.decode_opening, wire.decode_result):
        try:
            decode(data)
        except ProtocolViolation:
            continue


def test_a_frame_over_the_limit_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="a frame of"):
        wire.decode_frame(wire.encode_frame(Frame(b"", bytes(FRAME_BYTES + 1))))

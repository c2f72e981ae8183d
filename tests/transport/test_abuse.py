"""What one member can do to a served party for free: nothing is kept of a run that is gone, and no more read than fits.

The party is a process of its own, so that its memory, threads and connections can be looked at.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import msgspec
import numpy as np
import psutil
import pyarrow as pa
import pytest
from claims import Cases
from cluster import Cluster
from pyarrow import flight
from waiting import until

import privsdk as ps
from privsdk.errors import Busy
from privsdk.protocol import control
from privsdk.protocol.messages import Frame
from privsdk.protocol.operation import Operand, Request
from privsdk.protocol.timeouts import Limits, Timeouts
from privsdk.transport import wire
from privsdk.transport.flight import OPTIONS, FlightNetwork, scheme_and_address
from privsdk.transport.identities import Credentials, make_certificates

CLAIM = pytest.mark.claim("abuse: a member keeps no memory, thread or place of a party that its runs do not pay for")
MB = 1 << 20
PREPARED_S = 3.0
TABLE = pa.table({"k": np.arange(300), "x": np.arange(300)})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    limits = Limits(runs=8, runs_each=6, calls_each=20)
    opened = Cluster(
        tmp_path_factory.mktemp("abused"),
        {"north": {"t": TABLE}, "south": {"t": TABLE}},
        budget=ps.Budget(epsilon=10, exact=1000),
        party_timeouts=Timeouts(prepared_s=PREPARED_S),
        limits=limits,
    )
    make_certificates(opened.folder, ["mallory"])
    with opened:
        yield opened


def identity(cluster: Cluster, name: str) -> Credentials:
    folder = cluster.folder
    return Credentials.read(authority=folder / "ca.pem", certificate=folder / f"{name}.pem", key=folder / f"{name}.key")


def network(cluster: Cluster, name: str) -> FlightNetwork:
    return FlightNetwork(identity(cluster, name), lambda: cluster.addresses)


@contextmanager
def channel(cluster: Cluster, name: str, **more: Any) -> Iterator[Any]:
    """gRPC's own, as a member may use it."""
    who = identity(cluster, name)
    credentials = grpc.ssl_channel_credentials(who.authority, who.key, who.certificate)
    options = [*OPTIONS, ("grpc.ssl_target_name_override", "north"), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(
        scheme_and_address(cluster.addresses["north"]), credentials, options=options, **more
    ) as made:
        yield made


class Party:
    """North's process, from outside."""

    def __init__(self, cluster: Cluster) -> None:
        self.process = psutil.Process(cluster._processes["north"]._process.pid)

    def peak(self) -> int:
        """The most memory it has had, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024

    def connections(self) -> int:
        return sum(each.status == psutil.CONN_ESTABLISHED for each in self.process.net_connections())


numbers = iter(range(10**6))


def join() -> Request:
    """South's own, with north: it may play a party."""
    parties = ("south", "north")
    return Request(
        run_id=f"south{next(numbers)}",
        operation="psi.join",
        caller="south",
        purpose="workshop",
        parties=parties,
        operands={party: Operand(table="t", columns=("k",)) for party in parties},
        parameters={"keys": {party: {"columns": ["k"]} for party in parties}, "protocol": "auto"},
    )


def count(caller: str, least: int) -> Request:
    column = {"party": "north", "column": "x"}
    where = [{"type": "between", "name": column, "low": least, "high": None}]
    return Request(
        run_id=f"{caller}{next(numbers)}",
        operation="aggregate",
        caller=caller,
        purpose="workshop",
        parties=("north",),
        operands={"north": Operand(table="t", columns=("x",))},
        parameters={"statistic": "count", "party": "north", "column": "x", "by": None, "where": where},
    )


def opened(made: Any, run_id: str, frames: Iterator[Frame] | None = None, *, half_closed: bool = False) -> Any:
    """A stream for a run; it stays open, half closed where wanted, until the party ends it."""
    held = threading.Event()

    def outgoing() -> Iterator[bytes]:
        yield wire.encode_opening(msgspec.json.encode(control.Hello(run_id=run_id, session="x")))
        for frame in frames or ():
            yield wire.encode_frame(frame)
        half_closed or held.wait(100)

    return made.stream_stream(wire.DO_EXCHANGE)(outgoing())


def ended(stream: Any) -> bool:
    return not stream.is_active()


GONE: dict[str, Callable[[FlightNetwork, str], Any]] = {
    "released": lambda link, run_id: link.call("north", control.Release(run_id=run_id), control.Done),
    "timed out": lambda link, run_id: None,
    "failed": lambda link, run_id: link.call(
        "north", control.Start(run_id=run_id, nonces={}, heads={}), control.Finished
    ),
}


@CLAIM
@pytest.mark.attack("streams into runs that are never started", "1.7 GB and 40 threads for good", "nothing is kept")
@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("half_closed", [False, True], ids=["open", "half closed"])
def test_streams_of_a_run_that_is_gone_end_with_all_that_they_hold(
    cluster: Cluster, how: str, half_closed: bool, cases: Cases
) -> None:
    """Queued, free of charge, and for the life of the server: 16 MB, a thread and a connection each, before."""
    party, link = Party(cluster), network(cluster, "south")
    link.call("north", control.Describe(), control.Description)
    until(lambda: party.connections() <= 2)
    threads, connections, peak = party.process.num_threads(), party.connections(), party.peak()
    with ExitStack() as made:
        requests, streams = [join() for _ in range(6)], []
        for request in requests:
            link.call("north", control.Prepare(request=request), control.Prepared)
            frames = iter([Frame(b"", bytes(4 * MB))] * 16)
            to = made.enter_context(channel(cluster, "south"))
            streams.append(opened(to, request.run_id, frames, half_closed=half_closed))
            until(lambda: party.connections() > connections)
        for request in requests:
            with suppress(ps.PrivsdkError):
                GONE[how](link, request.run_id)
        until(lambda: all(map(ended, streams)), "the stream of a run that is gone stays")
        cases(len(streams))
        assert party.peak() - peak < 100, "what streams of unstarted runs sent was kept"
    until(lambda: party.connections() <= connections, "connections stay")
    until(lambda: party.process.num_threads() <= threads + 4, "threads stay")
    link.close()


@CLAIM
@pytest.mark.attack("a stream of 2 GB before its run's start", "2 GB of memory", "gRPC's window")
def test_a_stream_before_its_runs_start_is_not_read(cluster: Cluster, cases: Cases) -> None:
    """2 GB of it were kept, before; now gRPC's flow control holds the peer."""
    party, link, sent = Party(cluster), network(cluster, "south"), [0]
    peak, request = party.peak(), join()
    link.call("north", control.Prepare(request=request), control.Prepared)

    def frames() -> Iterator[Frame]:
        for _ in range(100):
            sent[0] += 4
            yield Frame(b"", bytes(4 * MB))

    with channel(cluster, "south") as made:
        stream = opened(made, request.run_id, frames())
        until(lambda: ended(stream))  # as the run is not started in time
    assert sent[0] <= 24
    assert party.peak() - peak < 50
    cases.say(f"{sent[0]} MB taken of 400")
    link.close()
    cases()


@CLAIM
@pytest.mark.attack("a call with a body of 1 GiB", "3.8 GB of memory", "16 MB")
def test_a_body_over_the_limit_is_refused_before_it_is_read(cluster: Cluster, cases: Cases) -> None:
    party = Party(cluster)
    peak = party.peak()
    with channel(cluster, "mallory") as made:
        for size in (control.MAX_CALL_BYTES + 5000, 400 * MB):
            with pytest.raises(grpc.RpcError) as refused:
                list(made.unary_stream(wire.DO_ACTION)(wire.encode_action(bytes(size))))
            assert refused.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN)
            cases()
    assert party.peak() - peak < 64


@CLAIM
def test_compressed_messages_are_refused(cluster: Cluster, cases: Cases) -> None:
    """16 kB that unpack to 16 MB, as often as a member likes; and more where there is no limit."""
    who = identity(cluster, "mallory")
    credentials = grpc.ssl_channel_credentials(who.authority, who.key, who.certificate)
    options = [("grpc.ssl_target_name_override", "north"), ("grpc.max_send_message_length", -1)]
    address = scheme_and_address(cluster.addresses["north"])
    with grpc.secure_channel(address, credentials, options=options, compression=grpc.Compression.Gzip) as made:
        with pytest.raises(grpc.RpcError) as refused:
            list(made.unary_stream(wire.DO_ACTION)(wire.encode_action(bytes(16 * MB))))
        assert refused.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)
    cases()


def flight_client(cluster: Cluster) -> flight.FlightClient:
    who = identity(cluster, "mallory")
    return flight.FlightClient(
        cluster.addresses["north"],
        tls_root_certs=who.authority,
        cert_chain=who.certificate,
        private_key=who.key,
        override_hostname="north",
    )


UNUSED: dict[str, Callable[[flight.FlightClient], Any]] = {
    "list_flights": lambda client: list(client.list_flights()),
    "get_flight_info": lambda client: client.get_flight_info(flight.FlightDescriptor.for_path("t")),
    "get_schema": lambda client: client.get_schema(flight.FlightDescriptor.for_path("t")),
    "do_get": lambda client: client.do_get(flight.Ticket(b"t")).read_all(),
    "do_put": lambda client: client.do_put(flight.FlightDescriptor.for_path("t"), TABLE.schema)[0].close(),
    "list_actions": lambda client: list(client.list_actions()),
    "unknown action": lambda client: list(client.do_action(flight.Action("shell", b"x"))),
    "handshake": lambda client: client.authenticate_basic_token("a", "b"),
    "foreign stream": lambda client: client.do_exchange(flight.FlightDescriptor.for_path("t"))[1].read_chunk(),
}


@pytest.mark.claim("abuse: Flight methods that are not used answer a short error, without a path or a line of Python")
@pytest.mark.parametrize("method", UNUSED)
def test_methods_that_are_not_used_answer_a_short_error(cluster: Cluster, method: str, cases: Cases) -> None:
    with flight_client(cluster) as client, pytest.raises((pa.ArrowException, StopIteration, OSError)) as refused:
        UNUSED[method](client)
    said = str(refused.value).partition(". Client context")[0].partition(". gRPC client debug")[0]
    assert len(said) < 250
    for leak in ("Traceback", ".py", "File ", "site-packages", "privsdk/"):
        assert leak not in said
    cases()


@CLAIM
@pytest.mark.attack("one member prepares runs and starts none", "all 64 places", "its share")
def test_one_member_has_its_share_of_the_places(cluster: Cluster, cases: Cases) -> None:
    mallory, analyst, south = (network(cluster, name) for name in ("mallory", "analyst", "south"))

    def prepare(link: FlightNetwork, caller: str, least: int) -> Any:
        return link.call("north", control.Prepare(request=count(caller, least)), control.Prepared)

    for least in range(6):
        prepare(mallory, "mallory", least)
    with pytest.raises(Busy, match="north has 6 runs of mallory already"):
        prepare(mallory, "mallory", 100)
    prepare(analyst, "analyst", 101)
    prepare(analyst, "analyst", 102)
    with pytest.raises(Busy, match="north has 8 runs already"):
        prepare(analyst, "analyst", 103)
    prepare(south, "south", 104)  # its first: it gets in though all are taken
    cases(4)

    def again() -> bool:
        try:
            prepare(mallory, "mallory", 105)
        except Busy:
            return False
        return True

    until(again, "what was never started keeps its place")
    for link in (mallory, analyst, south):
        link.close()


@CLAIM
def test_calls_and_streams_of_one_member_are_bounded_and_others_get_in(cluster: Cluster, cases: Cases) -> None:
    """Callers that open calls and send nothing of them: each would hold a thread."""
    party = Party(cluster)
    threads = party.process.num_threads()
    held = threading.Event()

    def nothing() -> Iterator[bytes]:
        held.wait(100)
        yield b""

    link = network(cluster, "mallory")
    with channel(cluster, "mallory") as made:
        calls = [made.stream_stream(wire.DO_ACTION)(nothing()) for _ in range(60)]
        until(lambda: sum(map(ended, calls)) == 40)
        assert {call.code() for call in calls if ended(call)} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert party.process.num_threads() <= threads + 30
        with pytest.raises(Busy, match="north has as many calls and streams of yours as it takes"):
            link.call("north", control.Describe(), control.Description)
        others = network(cluster, "analyst")
        others.call("north", control.Describe(), control.Description)
        others.close()
        cases(62)
    held.set()

    def answers() -> bool:
        try:
            link.call("north", control.Describe(), control.Description)
        except Busy:
            return False
        return True

    until(answers, "places of calls that are gone stay taken")
    link.close()


@pytest.mark.attack("peers that hold streams and calls open", "SIGTERM ignored for 27 s", "5 s")
@pytest.mark.claim("abuse: SIGTERM ends a server within 5 s, whatever its peers hold open")
def test_shutdown_does_not_wait_for_peers(cluster: Cluster, cases: Cases) -> None:
    """27 s and a kill, before: streams that are open or half closed, calls that are not finished or not read."""
    link, party = network(cluster, "south"), Party(cluster)
    held = threading.Event()

    def nothing() -> Iterator[bytes]:
        held.wait(100)
        yield b""

    with ExitStack() as made:
        streams = []
        for half_closed in (False, True):
            request = join()
            link.call("north", control.Prepare(request=request), control.Prepared)
            to = made.enter_context(channel(cluster, "south"))
            frames = iter([Frame(b"", bytes(4 * MB))] * 4)
            streams.append(opened(to, request.run_id, frames, half_closed=half_closed))
        streams += [to.stream_stream(wire.DO_ACTION)(nothing()) for _ in range(5)]
        until(lambda: party.connections() >= 3)
        cluster._processes["north"].send_signal(signal.SIGTERM)
        took = until(lambda: cluster.ended("north") is not None, "peers keep the server from its end")
        assert cluster.ended("north") == 0
        cases.say(f"{took:.1f} s")
    held.set()
    cases(7)
    cluster.start("north")
    cluster.await_address("north")

"""The network link: Arrow Flight with mutual TLS. Calls are actions; a stream between two parties is one DoExchange.

Who a caller is comes from its certificate alone, and a server is checked against the party's name. Streams carry frames
as rows of {header, table}; a stream that ends without the protocol's own End is a lost peer. Blocking network calls run
in worker threads, never where a KeyboardInterrupt must get through.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import flight

from ..errors import Cancelled, ConnectTimeout, PeerGone, PrivsdkError, ProtocolViolation, ReadTimeout, UnknownName
from ..protocol.control import (
    Call,
    Cancel,
    Endpoint,
    Hello,
    R,
    Start,
    decode_call,
    decode_reply,
    encode_call,
    encode_reply,
)
from ..protocol.conversation import Inbox
from ..protocol.failpoints import FailPoint, reach
from ..protocol.messages import Frame
from ..protocol.timeouts import CallerTimeouts
from .identities import Credentials
from .local import InboxChannel

FRAMES = pa.schema([pa.field("header", pa.binary()), pa.field("table", pa.large_binary())])
ACTION = "privsdk"
POLL_S = 0.1

_HELLO = msgspec.json.Decoder(Hello)


class Server(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow has no type information
    """Serves one party. `location` such as "grpc+tls://0.0.0.0:4711"; port 0 takes a free one."""

    def __init__(self, endpoint: Endpoint, party: str, location: str, identity: Credentials) -> None:
        super().__init__(
            location,
            tls_certificates=[(identity.certificate, identity.key)],
            verify_client=True,
            root_certificates=identity.authority,
        )
        self._endpoint = endpoint
        self._party = party

    def do_action(self, context: Any, action: Any) -> Iterator[Any]:
        """One call. The work runs in a thread so that a caller who goes away can be noticed."""
        caller = _caller(context)
        outcome: list[Any] = []

        def work() -> None:
            try:
                if action.type != ACTION:
                    raise ProtocolViolation(f"unknown action {action.type!r}")
                call = decode_call(action.body.to_pybytes())
                if isinstance(call, Start):
                    outcome.append(call.run_id)
                outcome.append(self._endpoint.handle(caller, call))
            except PrivsdkError as error:
                outcome.append(error)

        thread = threading.Thread(target=work, name=f"privsdk-{self._party}-call", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL_S if outcome else POLL_S / 10)
            if outcome and isinstance(outcome[0], str) and context.is_cancelled():
                self._endpoint.handle(caller, Cancel(run_id=outcome[0]))
                thread.join()
        reach(FailPoint.ANSWER_BEFORE)
        for frame in encode_reply(self._party, outcome[-1]):
            yield flight.Result(pa.py_buffer(frame.header))
            yield flight.Result(pa.py_buffer(frame.chunk))
        reach(FailPoint.ANSWER_AFTER)

    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """A peer's stream: hand it to the run it belongs to, and pump what comes until either side ends."""
        caller = _caller(context)
        inbox = Inbox(caller)
        channel = ServerChannel(inbox, writer)
        writer.begin(FRAMES)
        try:
            self._endpoint.accept(caller, _HELLO.decode(descriptor.command), channel)
        except (PrivsdkError, msgspec.DecodeError):
            return  # the dialler reads the end of the stream as a lost peer; the reason stays here
        _pump(reader, inbox, caller)
        channel.closed.wait()


def _caller(context: Any) -> str:
    return str(context.peer_identity().decode())


def _pump(reader: Any, inbox: Inbox, peer: str) -> None:
    """Move frames from a stream to an inbox until the stream ends."""
    try:
        while True:
            batch = reader.read_chunk().data
            for header, chunk in zip(batch.column(0), batch.column(1), strict=True):
                inbox.put(Frame(header.as_py() or b"", chunk.as_buffer() or b""))
    except StopIteration:
        inbox.stop(PeerGone(f"{peer} closed the stream"))
    except (pa.ArrowException, OSError):
        inbox.stop(PeerGone(f"the stream to {peer} broke"))


class Stream(InboxChannel):
    """What both ends of a stream share: frames out by the writer, frames in from the inbox."""

    def __init__(self, inbox: Inbox, writer: Any) -> None:
        super().__init__(inbox)
        self._writer = writer

    def send(self, frame: Frame) -> None:
        """Write a frame; raises PeerGone where the stream is closed."""
        row = [pa.array([frame.header], pa.binary()), pa.array([memoryview(frame.chunk)], pa.large_binary())]
        try:
            self._writer.write_batch(pa.record_batch(row, schema=FRAMES))
        except (pa.ArrowException, OSError, StopIteration):
            raise PeerGone(f"the stream to {self._inbox.peer} is closed") from None


class ServerChannel(Stream):
    """The accepting end; the call that serves it returns when it is closed."""

    def __init__(self, inbox: Inbox, writer: Any) -> None:
        super().__init__(inbox, writer)
        self.closed = threading.Event()

    def send(self, frame: Frame) -> None:
        """Write a frame; never once it is closed: the call that served it may have returned, and its writer with it."""
        if self.closed.is_set():
            raise PeerGone(f"the stream to {self._inbox.peer} is closed")
        super().send(frame)

    def close(self) -> None:
        self.closed.set()


class ClientChannel(Stream):
    """The dialling end. A thread pumps what comes and keeps the connection until the peer ends it."""

    def __init__(self, client: Any, hello: Hello, peer: str) -> None:
        descriptor = flight.FlightDescriptor.for_command(msgspec.json.encode(hello))
        try:
            writer, reader = client.do_exchange(descriptor)
            writer.begin(FRAMES)
        except (pa.ArrowException, OSError) as error:
            client.close()
            raise _unreachable(peer, error) from None
        super().__init__(Inbox(peer), writer)

        def pump() -> None:
            _pump(reader, self._inbox, peer)
            client.close()

        threading.Thread(target=pump, name=f"privsdk-stream-{peer}", daemon=True).start()

    def close(self) -> None:
        with suppress(pa.ArrowException, OSError):  # closed already, by us or by the peer
            self._writer.done_writing()


class FlightNetwork:
    """Calls and dials in the name of one identity: a notebook's link to its parties, or a party's to its peers.

    `addresses` gives each party's location; it is asked anew each time, so that an address book on disk may change.
    """

    def __init__(
        self,
        identity: Credentials,
        addresses: Callable[[], Mapping[str, str]],
        *,
        call_s: float = CallerTimeouts().call_s,
    ) -> None:
        self._call_s = call_s
        self._identity = identity
        self._addresses = addresses
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def parties(self) -> tuple[str, ...]:
        return tuple(self._addresses())

    def call(self, party: str, call: Call, kind: type[R]) -> R:
        with self._lock:
            address = self._address(party)
            if (party, address) not in self._clients:
                self._clients[party, address] = self._connect(party, address)
            client = self._clients[party, address]
        timeout = None if isinstance(call, Start) else self._call_s  # a Start answers when its run has ended
        options = flight.FlightCallOptions(timeout=timeout) if timeout else flight.FlightCallOptions()
        try:
            pieces = [r.body.to_pybytes() for r in client.do_action(flight.Action(ACTION, encode_call(call)), options)]
        except flight.FlightCancelledError:
            raise Cancelled(f"the call to {party} was cancelled") from None
        except (pa.ArrowException, OSError) as error:
            raise _unreachable(party, error, timeout or 0.0) from None
        frames = iter([Frame(*pair) for pair in zip(pieces[::2], pieces[1::2], strict=True)])
        return decode_reply(party, kind, lambda: next(frames))

    def dial(self, peer: str, hello: Hello) -> ClientChannel:
        """Open a stream to another party."""
        return ClientChannel(self._connect(peer, self._address(peer)), hello, peer)

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _address(self, party: str) -> str:
        addresses = self._addresses()
        if party not in addresses:
            raise UnknownName.among("party", party, addresses, where="in the address book")
        return addresses[party]

    def _connect(self, party: str, address: str) -> Any:
        try:
            return flight.FlightClient(
                address,
                tls_root_certs=self._identity.authority,
                cert_chain=self._identity.certificate,
                private_key=self._identity.key,
                override_hostname=party,
            )
        except (pa.ArrowException, ValueError) as error:
            raise _unreachable(party, error) from None


def _unreachable(party: str, error: BaseException, waited_s: float = 0.0) -> PeerGone:
    reason = str(error)
    connecting = "failed to connect" in reason
    if "Peer name" in reason:
        what, hint = "the server there is another party's", "check the address book"
    elif connecting and ("Socket closed" in reason or "andshake" in reason or "ertificate" in reason):
        what, hint = "it refused the connection", "check that your certificate is of the same federation"
    elif not connecting and ("Socket closed" in reason or "reset" in reason):
        what, hint = "it closed the connection in mid-call", "check that it still runs"
    elif connecting and "timed out" in reason.lower():
        return ConnectTimeout(f"{party}: it could not be reached in time", hint="check that its address is right")
    elif "timed out" in reason.lower() or "Deadline" in reason:
        within = f"within {waited_s:g} s" if waited_s else "in time"
        return ReadTimeout(f"{party}: it did not answer {within}", hint="check that it runs and is not overloaded")
    else:
        what, hint = "it cannot be reached", "check that it runs and that its address is right"
    return PeerGone(f"{party}: {what}", hint=hint)

"""A party as a Flight server: who calls, what may be read of a call, and how many of each caller are under way.

Who a caller is comes from its certificate alone. Nothing of a call is read before its caller has a place, and no stream
is read before its run has started. What ends, ends with its threads, whatever the peer does.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import msgspec

from ..errors import InvalidArgument, PeerGone, PrivsdkError
from ..errors.sessions import StreamEnded
from ..protocol import effort
from ..protocol.control import Cancel, Endpoint, Hello, Start, decode_call, encode_reply
from ..protocol.deadlines import DEADLINES
from ..protocol.failpoints import FailPoint, reach
from ..protocol.timeouts import LEAST_KEEPALIVE_S, Limits, Timeouts
from . import wire
from .flight import OPTIONS, keepalive, pump, scheme_and_address
from .identities import Credentials, member_of
from .streams import Stream

TAKE_S = 60.0  # for a caller to send a call, or to take a piece of its answer
READING = 4  # calls of one caller that are read at one time: each may have 16 MB
STOP_S = 1.0

_HELLO = msgspec.json.Decoder(Hello)
_SERVER = [
    *OPTIONS,
    ("grpc.so_reuseport", 0),  # a port has one server
    ("grpc.http2.min_ping_interval_without_data_ms", int(LEAST_KEEPALIVE_S * 250)),  # half of what the busiest ask
]


class Server:
    """Serves one party from when it is made. `location` such as "grpc+tls://0.0.0.0:4711"; port 0 takes a free one."""

    def __init__(
        self,
        endpoint: Endpoint,
        party: str,
        location: str,
        identity: Credentials,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        limits, timeouts = limits or Limits(), timeouts or Timeouts()
        self._endpoint = endpoint
        self._party = party
        self._timeouts = timeouts
        self._callers = Callers(limits.calls_each)
        options = [*_SERVER, *keepalive(timeouts.keepalive_s)]
        self._server = grpc.server(
            CallThreads(f"privsdk-{party}-call"), options=options, maximum_concurrent_rpcs=limits.calls
        )
        handlers = {
            "DoAction": grpc.stream_stream_rpc_method_handler(self._guarded(self._do_action)),
            "DoExchange": grpc.stream_stream_rpc_method_handler(self._guarded(self._do_exchange)),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, handlers),))
        credentials = grpc.ssl_server_credentials(
            [(identity.key, identity.certificate)], identity.authority, require_client_auth=True
        )
        try:
            self.port = self._server.add_secure_port(scheme_and_address(location), credentials)
        except (RuntimeError, ValueError):
            raise InvalidArgument(
                f"{location} cannot be listened on", hint="give a free port, such as grpc+tls://0.0.0.0:4711"
            ) from None
        self._server.start()

    def shutdown(self) -> None:
        """End all calls and streams, whatever their peers do."""
        self._server.stop(STOP_S).wait(2 * STOP_S)

    def _guarded(self, handler: Callable[[str, Any, Any], Iterator[bytes]]) -> Callable[[Any, Any], Iterator[bytes]]:
        """A handler with its caller's name and place; what it raises is never told to the other side."""

        def handle(requests: Any, context: Any) -> Iterator[bytes]:
            caller, status = _caller(context), grpc.StatusCode.UNAUTHENTICATED
            if caller:
                with self._callers.place(caller) as there_is:
                    status = grpc.StatusCode.RESOURCE_EXHAUSTED
                    if there_is:
                        status = grpc.StatusCode.INTERNAL
                        try:
                            yield from handler(caller, requests, context)
                        except PrivsdkError:
                            status = grpc.StatusCode.INVALID_ARGUMENT
                        except Exception as error:
                            logging.getLogger(__name__).error("%s in the link", type(error).__name__)
                        else:
                            return
            context.set_code(status)
            context.set_details("")

        return handle

    def _do_action(self, caller: str, requests: Any, context: Any) -> Iterator[bytes]:
        """One call: the caller who goes away ends the run that it started."""
        with self._callers.reading(caller), DEADLINES.within(TAKE_S, context.cancel):
            message = next(requests, None)
        if message is None:
            return
        for frame in encode_reply(self._party, self._reply(caller, bytes(wire.decode_action(message)), context)):
            for piece in (frame.header, frame.chunk):
                with DEADLINES.within(TAKE_S, context.cancel):
                    yield wire.encode_result(piece)
        reach(FailPoint.ANSWER_AFTER)

    def _reply(self, caller: str, body: bytes, context: Any) -> Any:
        done = threading.Event()
        effort.wanted.set(context.is_active)
        try:
            call = decode_call(body)
            if isinstance(call, Start):
                cancel = Cancel(run_id=call.run_id)
                context.add_callback(lambda: None if done.is_set() else self._in_thread(caller, cancel))
            return self._endpoint.handle(caller, call)
        except PrivsdkError as error:
            return error
        finally:
            done.set()
            reach(FailPoint.ANSWER_BEFORE)

    def _in_thread(self, caller: str, cancel: Cancel) -> None:
        def work() -> None:
            with suppress(PrivsdkError):
                self._endpoint.handle(caller, cancel)

        threading.Thread(target=work, name=f"privsdk-{self._party}-cancel", daemon=True).start()

    def _do_exchange(self, caller: str, requests: Any, context: Any) -> Iterator[bytes]:
        """A peer's stream: handed to the run it belongs to, which begins to listen once it has started."""
        with DEADLINES.within(TAKE_S, context.cancel):
            opening = next(requests, b"")
        stream = ServerStream(caller, self._timeouts, requests, context)
        try:
            self._endpoint.accept(caller, _HELLO.decode(wire.decode_opening(opening)), stream)
        except (PrivsdkError, msgspec.DecodeError):
            return  # the dialler reads the end of the stream as a lost peer; the reason stays here
        for frame in stream.outbox:
            yield wire.encode_frame(frame)
        stream.await_peer()


class ServerStream(Stream):
    """The accepting end; the call that serves it returns when it is closed."""

    def __init__(self, peer: str, timeouts: Timeouts, requests: Any, context: Any) -> None:
        super().__init__(peer, timeouts, context.cancel)
        self._requests = requests
        self._pumping: threading.Thread | None = None
        context.add_callback(lambda: self.gone(PeerGone(StreamEnded(peer=peer, how="broke"))))

    def listen(self) -> None:
        """Begin to take what comes, by a thread of its own."""
        if self._pumping is None:
            self._pumping = threading.Thread(target=self._pump, name=f"privsdk-stream-{self._peer}", daemon=True)
            self._pumping.start()

    def await_peer(self) -> None:
        """Once this side has said all, let the peer say what it was saying: it reads why only when it has."""
        if self._pumping is not None:
            self._pumping.join(self._linger_s)

    def _pump(self) -> None:
        error = pump(self._requests, self._inbox)
        broken = error if isinstance(error, PrivsdkError) else PeerGone(StreamEnded(peer=self._peer, how="broke"))
        self._inbox.stop(PeerGone(StreamEnded(peer=self._peer, how="closed")) if error is None else broken)
        if error is not None:
            self._cut()


class Callers:
    """How many calls and streams of each caller are under way, and which of them are being read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()
        self._reading: defaultdict[str, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(READING)
        )
        self._lock = threading.Lock()

    @contextmanager
    def place(self, caller: str) -> Iterator[bool]:
        """A place for one more of this caller's; whether there was one."""
        with self._lock:
            there_is = self._under_way[caller] < self._most
            self._under_way[caller] += there_is
        try:
            yield there_is
        finally:
            with self._lock:
                self._under_way[caller] -= there_is

    @contextmanager
    def reading(self, caller: str) -> Iterator[None]:
        """Wait for one's turn to be read."""
        with self._lock:
            turn = self._reading[caller]
        with turn:
            yield


class CallThreads(futures.Executor):
    """A thread for each call that is under way, as many as gRPC lets in; none waits for another, or keeps a process."""

    def __init__(self, name: str) -> None:
        self._name = name

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        future: futures.Future[Any] = futures.Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name=self._name, daemon=True).start()
        return future


def _caller(context: Any) -> str:
    """Whom the caller's certificate names; "" where that is not one member."""
    return member_of(b"".join(context.auth_context().get("x509_pem_cert", ())))

"""The network link: Arrow Flight over gRPC with mutual TLS. Calls are actions; a stream of two parties is a DoExchange.

A server is checked against the party's name. A stream that ends without the protocol's own End is a lost peer. Blocking
network calls run in worker threads, never where a KeyboardInterrupt must get through.

gRPC is spoken to by its own library: it refuses what is too large before it is read, and ends a call from either side,
which pyarrow's Flight leaves out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # workers are processes of their own, not forks
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc

from ..errors import (
    Busy,
    Cancelled,
    ConnectTimeout,
    PeerGone,
    PrivsdkError,
    ProtocolViolation,
    ReadTimeout,
    UnknownName,
)
from ..errors.sessions import StreamEnded, TooBusy
from ..protocol.control import MAX_CALL_BYTES, Call, Hello, R, Start, check_size, decode_reply, encode_call
from ..protocol.conversation import Inbox
from ..protocol.messages import Frame
from ..protocol.timeouts import CallerTimeouts, Timeouts
from . import wire
from .identities import Credentials
from .streams import Stream

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_CALL_BYTES + 4096),  # the largest message that there is: a call
    ("grpc.max_send_message_length", -1),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: a few bytes could unpack to any size
]
_CLIENT = [
    *OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),  # each stream has a connection of its own
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
BROKEN = (grpc.RpcError, OSError, ValueError)


def keepalive(seconds: float) -> list[tuple[str, int]]:
    """Options of either end: a peer that is frozen or cut off is lost within so many seconds."""
    half_ms = int(seconds * 500)
    return [
        ("grpc.keepalive_time_ms", half_ms),
        ("grpc.keepalive_timeout_ms", half_ms),
        ("grpc.http2.ping_timeout_ms", half_ms),  # of the pings that measure throughput: keepalive waits for them
        ("grpc.http2.max_pings_without_data", 0),  # no limit: a run may compute for hours and say nothing
    ]


def scheme_and_address(location: str) -> str:
    """The host and port of "grpc+tls://host:port"."""
    scheme, _, address = location.partition("://")
    if scheme != "grpc+tls" or not address:
        raise ValueError(f"{location} is no address such as grpc+tls://host:4711")
    return address


def pump(messages: Iterator[bytes], inbox: Inbox) -> Exception | None:
    """Move frames from a stream to its inbox until it ends; returns what broke it."""
    try:
        for message in messages:
            inbox.put(wire.decode_frame(message))
    except Exception as error:  # gRPC raises bare ones, too
        return error
    return None


class ClientStream(Stream):
    """The dialling end. A thread pumps what comes and keeps the connection until the stream has ended."""

    def __init__(self, channel: Any, hello: Hello, peer: str, timeouts: Timeouts) -> None:
        super().__init__(peer, timeouts, lambda: rpc.cancel())
        rpc = channel.stream_stream(wire.DO_EXCHANGE)(self._outgoing(msgspec.json.encode(hello)))

        def work() -> None:
            error = pump(rpc, self._inbox)
            rpc.cancel()
            self.gone(PeerGone(StreamEnded(peer=peer, how="closed")) if error is None else _lost_stream(peer, error))
            channel.close()

        threading.Thread(target=work, name=f"privsdk-stream-{peer}", daemon=True).start()

    def listen(self) -> None:
        """It does from the beginning: it was opened by a run that had started."""

    def _outgoing(self, opening: bytes) -> Iterator[bytes]:
        yield wire.encode_opening(opening)
        for frame in self.outbox:
            yield wire.encode_frame(frame)


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
        timeouts: Timeouts | None = None,
    ) -> None:
        self._call_s = call_s
        self._timeouts = timeouts or Timeouts()
        self._identity = identity
        self._addresses = addresses
        self._channels: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def parties(self) -> tuple[str, ...]:
        return tuple(self._addresses())

    def call(self, party: str, call: Call, kind: type[R]) -> R:
        body = encode_call(call)
        check_size(len(body))
        with self._lock:
            address = self._address(party)
            if (party, address) not in self._channels:
                self._channels[party, address] = self._connect(party, address)
            channel = self._channels[party, address]
        timeout = None if isinstance(call, Start) else self._call_s  # a Start answers when its run has ended
        try:
            rpc = channel.unary_stream(wire.DO_ACTION)(wire.encode_action(body), timeout=timeout)
            pieces = [wire.decode_result(result) for result in rpc]
        except BROKEN as error:
            raise _unreachable(party, error, timeout or 0.0) from None
        frames = iter(
            [Frame(header.to_pybytes(), chunk) for header, chunk in zip(pieces[::2], pieces[1::2], strict=False)]
        )
        return decode_reply(party, kind, lambda: _next(frames, party))

    def dial(self, peer: str, hello: Hello) -> ClientStream:
        """Open a stream to another party."""
        return ClientStream(self._connect(peer, self._address(peer)), hello, peer, self._timeouts)

    def close(self) -> None:
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()

    def _address(self, party: str) -> str:
        addresses = self._addresses()
        if party not in addresses:
            raise UnknownName.among("party", party, addresses, where="in the address book")
        return addresses[party]

    def _connect(self, party: str, address: str) -> Any:
        credentials = grpc.ssl_channel_credentials(
            self._identity.authority, self._identity.key, self._identity.certificate
        )
        try:
            options = [*_CLIENT, *keepalive(self._timeouts.keepalive_s), ("grpc.ssl_target_name_override", party)]
            return grpc.secure_channel(scheme_and_address(address), credentials, options=options)
        except ValueError as error:
            raise _unreachable(party, error) from None


def _next(frames: Iterator[Frame], party: str) -> Frame:
    frame = next(frames, None)
    if frame is None:
        raise ProtocolViolation(f"{party} broke off its reply")
    return frame


def _lost_stream(peer: str, error: Exception) -> PrivsdkError:
    if isinstance(error, PrivsdkError):
        return error
    lost = _unreachable(peer, error)
    return (
        lost if isinstance(lost, Busy) or "connect" in _reason(error) else PeerGone(StreamEnded(peer=peer, how="broke"))
    )


def _reason(error: BaseException) -> str:
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    return details or ""


def _unreachable(party: str, error: BaseException, waited_s: float = 0.0) -> PrivsdkError:
    reason, code = _reason(error), error.code() if isinstance(error, grpc.Call) else None
    connecting = "failed to connect" in reason.lower()
    if code is grpc.StatusCode.CANCELLED:
        return Cancelled(f"the call to {party} was cancelled")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Busy(TooBusy(party=party, of="calls"))
    if "Peer name" in reason or "Hostname Verification" in reason:
        what, hint = "the server there is another party's", "check the address book"
    elif connecting and ("Socket closed" in reason or "andshake" in reason or "ertificate" in reason):
        what, hint = "it refused the connection", "check that your certificate is of the same federation"
    elif not connecting and ("Socket closed" in reason or "reset" in reason):
        what, hint = "it closed the connection in mid-call", "check that it still runs"
    elif connecting and "timed out" in reason.lower():
        return ConnectTimeout(f"{party}: it could not be reached in time", hint="check that its address is right")
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED or "ping timeout" in reason.lower():
        due = code is grpc.StatusCode.DEADLINE_EXCEEDED and waited_s > 0
        within = f"within {waited_s:g} s" if due else "in time"
        return ReadTimeout(f"{party}: it did not answer {within}", hint="check that it runs and is not overloaded")
    else:
        what, hint = "it cannot be reached", "check that it runs and that its address is right"
    return PeerGone(f"{party}: {what}", hint=hint)

"""The in-process link, for embedded parties. Every call, reply and message is still encoded and decoded."""

from __future__ import annotations

import threading

from ..errors import PeerGone, PrivsdkError, UnknownName
from ..errors.sessions import StreamEnded
from ..protocol.control import Call, Endpoint, Hello, R, decode_call, decode_reply, encode_call, encode_reply
from ..protocol.conversation import Channel, Inbox
from ..protocol.messages import Frame


class InboxChannel:
    """The receiving half of a channel over any link."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def receive(self, timeout_s: float) -> Frame:
        return self._inbox.get(timeout_s)

    def watch(self, arrived: threading.Event) -> bool:
        return self._inbox.watch(arrived)

    def interrupt(self, error: PrivsdkError) -> None:
        self._inbox.interrupt(error)


class LocalChannel(InboxChannel):
    """One end of a two-way stream between two embedded parties."""

    def __init__(self, inbox: Inbox, outbox: Inbox, me: str) -> None:
        super().__init__(inbox)
        self._outbox = outbox
        self._me = me

    def send(self, frame: Frame) -> None:
        self._outbox.put(frame)

    def listen(self) -> None:
        """What comes is there already: parties of one process do not wear each other down."""

    def close(self) -> None:
        self._outbox.stop(PeerGone(StreamEnded(peer=self._me, how="closed")))


class LocalNetwork:
    """All embedded parties, and the notebook's link to them in the name of `caller`."""

    def __init__(self, caller: str) -> None:
        self._caller = caller
        self._endpoints: dict[str, Endpoint] = {}

    def add(self, name: str, endpoint: Endpoint) -> None:
        self._endpoints[name] = endpoint

    def parties(self) -> tuple[str, ...]:
        return tuple(self._endpoints)

    def call(self, party: str, call: Call, kind: type[R]) -> R:
        endpoint = self._endpoint(party)
        try:
            reply = endpoint.handle(self._caller, decode_call(encode_call(call)))
            frames = iter(list(encode_reply(party, reply)))
        except PrivsdkError as error:
            frames = iter(list(encode_reply(party, error)))
        # Outside the handler on purpose: the error rebuilt here has no link to the party's traceback and its variables.
        return decode_reply(party, kind, lambda: next(frames))

    def dial(self, caller: str, peer: str, hello: Hello) -> Channel:
        """Open a stream from one party to another."""
        there, here = Inbox(caller), Inbox(peer)
        try:
            self._endpoint(peer).accept(caller, hello, LocalChannel(there, here, peer))
        except PrivsdkError:  # as over a network: the dialler sees a closed stream, the reason stays at the peer
            raise PeerGone(f"{peer} does not take a stream for this run: it has ended there, or never began") from None
        return LocalChannel(here, there, caller)

    def close(self) -> None:
        self._endpoints.clear()

    def _endpoint(self, party: str) -> Endpoint:
        if party not in self._endpoints:
            raise UnknownName.among("party", party, self._endpoints)
        return self._endpoints[party]

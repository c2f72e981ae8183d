"""A counting forwarder on loopback: TCP in, the same TCP out, and how many bytes went either way.

It knows nothing of what it carries, so TLS, HTTP and bare sockets are counted alike: payloads of TCP, without the
headers of TCP and IP. Its threads live in the process that measures, whose time is nobody's.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

BUFFER = 1 << 20
PATIENCE_S = 60.0  # until the address behind it accepts


class Forwarder:
    """Listens on a free port and forwards to `port`; both are on loopback. A context manager that closes it."""

    def __init__(self, port: int) -> None:
        self._behind = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._counts: list[int] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._run(self._accept)

    @property
    def bytes(self) -> int:
        """Bytes so far, both ways and over all connections."""
        return sum(self._counts)

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listening.close()
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()
        for one in self._open:
            one.close()

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                front, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(front)
            self._run(self._connect, front)

    def _connect(self, front: socket.socket) -> None:
        """Connect to what is behind, once it listens, and carry both ways."""
        began = time.monotonic()
        while True:
            try:
                back = socket.create_connection(self._behind)
                break
            except OSError:
                if self._closed or time.monotonic() - began > PATIENCE_S:
                    with suppress(OSError):
                        front.shutdown(socket.SHUT_RDWR)
                    return
                time.sleep(0.02)
        self._open.append(back)
        for source, sink in ((front, back), (back, front)):
            sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._counts.append(0)
            self._run(self._carry, source, sink, len(self._counts) - 1)

    def _carry(self, source: socket.socket, sink: socket.socket, which: int) -> None:
        buffer = memoryview(bytearray(BUFFER))
        try:
            while size := source.recv_into(buffer):
                self._counts[which] += size
                sink.sendall(buffer[:size])
        except OSError:
            with suppress(OSError):
                source.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def free_port() -> int:
    """A port that nobody listens on, for programs that cannot be told to take any."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])

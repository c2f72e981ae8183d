"""A way to a party that goes wrong: a relay on loopback that stalls, cuts off, doubles, swaps or alters bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

CHUNK = 16384


class Proxy:
    """Relays to one address. From the chunk numbered `at` of a direction on, `fault` passes it in place of `sendall`.

    Faults: "stall" passes nothing more and keeps the connection, "truncate" passes half of a chunk and closes,
    "double", "swap" and "alter" do so to one chunk. A callable is called once instead, and all is passed.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition("://")[2].rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"grpc+tls://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._stalled = threading.Event()
        self.heal()
        threading.Thread(target=self._accept, daemon=True).start()

    def break_at(self, at: int, fault: str | Callable[[], None]) -> None:
        """Go wrong at the chunk of this number, counted over all connections from now on."""
        with self._lock:
            self.passed, self._at, self._fault, self.struck = 0, at, fault, False

    def heal(self) -> None:
        """Pass everything again; connections that were harmed are closed."""
        self._stalled.set()
        self._stalled = threading.Event()
        with self._lock:
            self._fault: str | Callable[[], None] = ""
            self.passed, self._at, self.struck = 0, -1, False

    def close(self) -> None:
        self.heal()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._target, timeout=10)
                    far.settimeout(None)
                except OSError:
                    near.close()
                    continue
                self._open |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if not self._pass(sink, data):
                    break
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                each.close()
            self._open.discard(each)

    def _pass(self, sink: socket.socket, data: bytes) -> bool:
        """Pass a chunk, rightly or not; whether the connection goes on."""
        with self._lock:
            self.passed += 1
            due = self._fault if self.passed >= self._at >= 0 and not (self.struck and self._fault != "stall") else ""
            self.struck = self.struck or bool(due)
            stalled = self._stalled
        half = max(1, len(data) // 2)
        match due:
            case "":
                sink.sendall(data)
            case "stall":
                stalled.wait()
                return False
            case "truncate":
                sink.sendall(data[:half])
                return False
            case "double":
                sink.sendall(data * 2)
            case "swap":
                sink.sendall(data[half:] + data[:half])
            case "alter":
                sink.sendall(data[:half] + bytes([data[half % len(data)] ^ 1]) + data[half + 1 :])
            case str():
                raise ValueError(due)
            case act:
                act()
                sink.sendall(data)
        return True

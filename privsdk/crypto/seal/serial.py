"""SEAL's serialised form, taken apart and put together: header, compression, and where the coefficients lie.

SEAL saves to files alone, compressed, behind a header of 16 bytes; it loads what is not compressed as well. Where the
coefficients begin is found in samples made here, so that no format is written down twice.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

SEED_BYTES = 64
HEADER = 16
WORD = 8
_ZLIB = 1  # SEAL's number for it; 0 is none, 2 zstd

Buffer: TypeAlias = bytes | memoryview


class Layout:
    """Where the coefficients lie in SEAL's serialised form of an object, from a sample made here."""

    def __init__(self, sample: bytes, words: int, *, tail: int = 0) -> None:
        end = len(sample) - tail
        start = end - words * WORD
        self._words = struct.pack("<Q", words)
        if sample[start - WORD : start] != self._words:
            raise RuntimeError("this TenSEAL writes ciphertexts in a form that privsdk does not know")
        self.head = sample[:start]
        self._span = slice(start, end)
        self._tail = sample[end : len(sample) - SEED_BYTES] if tail else b""
        self.length = len(sample)

    def data_of(self, stream: bytes) -> memoryview:
        start = self._span.start
        if len(stream) != self.length or stream[start - WORD : start] != self._words:
            raise RuntimeError("an object of SEAL is not of the size that its parameters give")
        return memoryview(stream)[self._span]

    def pieces(self, words: Buffer, seed: bytes) -> list[Buffer]:
        return [header(self.length), self.head, words, self._tail + seed]


class _File:
    """What SEAL saves to and loads from: in memory on Linux, elsewhere in a temporary folder of this user."""

    def __init__(self) -> None:
        self.process = os.getpid()
        if hasattr(os, "memfd_create"):
            self.file = os.fdopen(os.memfd_create("privsdk"), "r+b", buffering=0)
            self.path, self._named = f"/proc/self/fd/{self.file.fileno()}", False
        else:  # pragma: no cover
            descriptor, self.path = tempfile.mkstemp(prefix="privsdk")
            self.file, self._named = os.fdopen(descriptor, "r+b", buffering=0), True

    def __del__(self) -> None:
        self.file.close()
        if self._named and self.process == os.getpid():
            Path(self.path).unlink(missing_ok=True)


class _Scratch(threading.local):
    """One file for each thread, closed when it ends, and none of a process that this was forked from: both would write
    to it, and read what the other wrote."""

    def __init__(self) -> None:
        self._of = _File()

    @property
    def of(self) -> _File:
        if self._of.process != os.getpid():
            self._of = _File()
        return self._of


_scratch = _Scratch()


def header(length: int) -> bytes:
    """SEAL's header of an uncompressed object of so many bytes behind it, in the version of the SEAL that runs here."""
    return _magic()[:5] + b"\0\0\0" + struct.pack("<Q", HEADER + length)


@lru_cache(maxsize=1)
def _magic() -> bytes:
    from tenseal import sealapi

    sealapi.Plaintext("1").save(_scratch.of.path)
    _scratch.of.file.seek(0)
    return _scratch.of.file.read(HEADER)


def saved(thing: Any, length: int | None = None) -> bytes:
    """What SEAL saves, without its header and compression; sooner where the length to come is known."""
    scratch = _scratch.of
    thing.save(scratch.path)
    scratch.file.seek(0)
    stream: bytes = scratch.file.read()
    if stream[5] == 0:
        return stream[HEADER:]
    packed = memoryview(stream)[HEADER:]
    if stream[5] == _ZLIB:
        return zlib.decompress(packed)
    plain: bytes
    if length is None:
        plain = pa.CompressedInputStream(pa.py_buffer(packed), "zstd").read()
    else:
        plain = pa.decompress(packed, length, "zstd", asbytes=True)
    return plain


def load(made: Any, context: Any, pieces: Sequence[Buffer]) -> None:
    file = _scratch.of.file
    file.seek(0)
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while len(view):
            view = view[file.write(view) :]
    file.truncate()
    made.load(context, _scratch.of.path)


def forget() -> None:
    """Empty this thread's file: it held a secret key."""
    _scratch.of.file.truncate(0)

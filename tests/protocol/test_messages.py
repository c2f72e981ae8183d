"""Messages survive the wire unchanged, and whatever else arrives is a ProtocolViolation before a role sees it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from forked import Forked
from hypothesis import given
from hypothesis import strategies as st
from waiting import HANGS_S

from privsdk.errors import BudgetExceeded, PeerFailed, PeerGone, ProtocolViolation
from privsdk.protocol import messages
from privsdk.protocol.messages import Abort, Binding, End, Frame, Message, decode, encode

BINDING = Binding(session="s", request="r", sender="north")
SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("word", pa.string())])


class Note(Message, frozen=True, kw_only=True, tag="test.Note"):
    SCHEMA = SCHEMA
    MAX_BYTES = 32 << 20
    text: str
    numbers: tuple[int, ...]
    table: pa.Table


class Plain(Message, frozen=True, kw_only=True, tag="test.Plain"):
    value: dict[str, Any]


def table_of(numbers: list[int | None], words: list[str | None]) -> pa.Table:
    return pa.table({"n": pa.array(numbers, pa.int64()), "word": pa.array(words, pa.string())}, schema=SCHEMA)


NOTE = Note(text="hello", numbers=(1, 2), table=table_of([1, None], ["a", "€"]))


def receive(frames: list[Frame], kind: type[Message] = Note, binding: Binding = BINDING, sequence: int = 0) -> Message:
    arriving = iter(frames)
    return decode(kind, binding, sequence, lambda: next(arriving, Frame(b"", b"")))


def wire(message: Message = NOTE, sequence: int = 0) -> list[Frame]:
    return list(encode(message, BINDING, sequence))


class Strict(Message, frozen=True, kw_only=True, tag="test.Strict"):
    SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    table: pa.Table


def test_nulls_where_there_are_none_are_found() -> None:
    """Arrow's own validation lets them pass."""
    whole = Strict(table=pa.table([pa.array([1, 2])], schema=Strict.SCHEMA))
    assert receive(wire(whole), Strict) == whole
    holed = Strict(table=pa.table([pa.array([1, None])], schema=Strict.SCHEMA))
    with pytest.raises(ProtocolViolation, match="nulls where there are none"):
        receive(wire(holed), Strict)


text = st.text(st.characters(codec="utf-8"))


@given(text, st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.tuples(st.none() | st.integers(-9, 9), text)))
def test_a_decoded_message_equals_the_encoded_one(said: str, numbers: list[int], rows: list[Any]) -> None:
    note = Note(text=said, numbers=tuple(numbers), table=table_of([n for n, _ in rows], [w for _, w in rows]))
    assert receive(wire(note)) == note
    assert receive(wire(Plain(value={said: numbers})), Plain) == Plain(value={said: numbers})


def test_a_table_of_several_frames_arrives_whole() -> None:
    note = Note(text="", numbers=(), table=table_of(list(range(1_500_000)), [None] * 1_500_000))
    frames = wire(note)
    assert len(frames) >= 4
    assert all(len(frame.chunk) <= messages.FRAME_BYTES for frame in frames)
    assert [bool(frame.header) for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert receive(frames) == note
    with pytest.raises(ProtocolViolation, match="broke off"):
        receive(frames[:-1])


def header(change: Callable[[dict[str, Any]], None]) -> list[Frame]:
    """The note's frames with its header's JSON changed."""
    first, *rest = wire()
    content = json.loads(first.header)
    change(content)
    return [Frame(json.dumps(content).encode(), first.chunk), *rest]


def ipc(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def body_table(data: bytes, announced: int | None = None) -> list[Frame]:
    """The note's header with other bytes for its table."""
    changed = header(lambda h: h.update(table_bytes=len(data) if announced is None else announced))
    return [Frame(changed[0].header, data)]


def bad_text() -> pa.Table:
    words = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0])), pa.py_buffer(b"\xff\xfe")]
    )
    return pa.table({"n": pa.array([1], pa.int64()), "word": words}, schema=SCHEMA)


def nested(depth: int) -> list[Frame]:
    return [Frame(wire()[0].header[:-1] + b',"x":' + b"[" * depth, b"")]


RUN, INVALID, TABLE = "of another run, request or sender", r"not a valid test\.Note", "whose table is malformed"
SHAPE, HEADER = "whose table has another schema", "header is malformed"
OTHER_TYPE = pa.schema([("n", pa.int32()), ("word", pa.string())])

MALFORMED: dict[str, tuple[Callable[[], list[Frame]], str]] = {
    "another kind": (lambda: header(lambda h: h["body"].update(type="test.Plain")), INVALID),
    "no kind": (lambda: header(lambda h: h["body"].pop("type")), INVALID),
    "another schema": (lambda: body_table(ipc(NOTE.table.rename_columns(["m", "word"]))), SHAPE),
    "another column type": (lambda: body_table(ipc(NOTE.table.cast(OTHER_TYPE))), SHAPE),
    "another session": (lambda: header(lambda h: h["binding"].update(session="t")), RUN),
    "another request": (lambda: header(lambda h: h["binding"].update(request="q")), RUN),
    "another sender": (lambda: header(lambda h: h["binding"].update(sender="south")), RUN),
    "out of order": (lambda: wire(sequence=1), "message 1 where 0 was due"),
    "a large header": (lambda: [Frame(b" " * (messages.MAX_HEADER_BYTES + 1), b"")], "header of 1048577 bytes"),
    "a large table": (lambda: header(lambda h: h.update(table_bytes=Note.MAX_BYTES + 1)), "announced 33554433 bytes"),
    "more than announced": (lambda: body_table(ipc(NOTE.table), announced=10), "bytes and announced 10"),
    "less than announced": (lambda: body_table(ipc(NOTE.table), announced=5000), "broke off a message of 5000"),
    "a table and none announced": (lambda: body_table(ipc(NOTE.table), announced=-1), "bytes and announced -1"),
    "a message inside": (
        lambda: [body_table(ipc(NOTE.table), announced=2 * len(wire()[0].chunk))[0], wire()[0]],
        "broke off",
    ),
    "garbage for a table": (lambda: body_table(b"garbage" * 100), TABLE),
    "half a table": (lambda: body_table(ipc(NOTE.table)[: len(ipc(NOTE.table)) * 2 // 3]), TABLE),
    "an empty table stream": (lambda: body_table(b""), TABLE),
    "a table of invalid text": (lambda: body_table(ipc(bad_text())), TABLE),
    "a compressed table": (lambda: body_table(ipc(NOTE.table, "zstd")), "whose table is compressed"),
    "a foreign version": (lambda: header(lambda h: h.update(version=messages.VERSION + 1)), "wire version 2"),
    "an unknown field": (lambda: header(lambda h: h["body"].update(more=1)), INVALID),
    "a missing field": (lambda: header(lambda h: h["body"].pop("text")), INVALID),
    "a field of another type": (lambda: header(lambda h: h["body"].update(numbers=["one"])), INVALID),
    "no table where one is due": (lambda: header(lambda h: h["body"].update(table=None)), INVALID),
    "a binding of another type": (lambda: header(lambda h: h.update(binding="north")), HEADER),
    "no JSON": (lambda: [Frame(b"\x00\x01", b"")], HEADER),
    "no header": (lambda: [Frame(b"", b"")], HEADER),
    "no text": (lambda: [Frame(wire()[0].header.replace(b"hello", b"\xff"), wire()[0].chunk)], r"malformed test\.Note"),
    "brackets without end": (lambda: nested(200_000), HEADER),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_input_is_a_protocol_violation(kind: str) -> None:
    frames, reason = MALFORMED[kind]
    with pytest.raises(ProtocolViolation, match=reason):
        receive(frames())


def test_a_compressed_dictionary_is_found_too() -> None:
    class Loose(Message, frozen=True, kw_only=True, tag="test.Note"):
        text: str
        numbers: tuple[int, ...]
        table: pa.Table

    table = pa.table({"w": pa.array(["a" * 99, "b"]).dictionary_encode()})
    assert receive(body_table(ipc(table)), Loose).table == table
    plain, packed = (list(pa.ipc.MessageReader.open_stream(ipc(table, how))) for how in (None, "lz4"))
    mixed = b"".join(m.serialize().to_pybytes() for m in (plain[0], packed[1], plain[2]))
    assert pa.ipc.open_stream(mixed).read_all() == table
    with pytest.raises(ProtocolViolation, match="compressed"):
        receive(body_table(mixed), Loose)


def test_an_end_or_abort_where_a_message_was_due() -> None:
    with pytest.raises(PeerGone, match=r"north ended the session where a test\.Note was due"):
        receive(wire(End()))
    with pytest.raises(PeerFailed, match=r"usage\.data"):
        receive(wire(Abort(code="usage.data")))
    record = BudgetExceeded("too little left", hint="ask", party="north").to_record()
    with pytest.raises(BudgetExceeded, match="too little left") as raised:
        receive(wire(Abort(code=record.code, error=record)))
    assert (raised.value.hint, raised.value.party) == ("ask", "north")


def test_what_has_no_wire_form_is_our_own_error() -> None:
    with pytest.raises(TypeError, match="object, which has no wire form"):
        wire(Plain(value={"x": object()}))


def first_use(start: threading.Barrier, frames: list[Frame], kind: type[Message]) -> None:
    start.wait()
    receive(frames, kind)


def use_new_kinds_in_many_threads() -> None:
    sys.setswitchinterval(1e-6)
    for number in range(100):
        inner = msgspec.defstruct("Inner", [("names", tuple[str, ...])], frozen=True, kw_only=True)
        fields = [("values", dict[str, int]), ("inner", inner), ("table", pa.Table | None, None)]
        kind: Any = msgspec.defstruct("Kind", fields, bases=(Message,), frozen=True, kw_only=True, tag=f"kind{number}")
        start, frames = threading.Barrier(8), wire(kind(values={"a": 1}, inner=inner(names=("x",))))
        threads = [threading.Thread(target=first_use, args=(start, frames, kind)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_first_use_in_many_threads_at_once(tmp_path: Path) -> None:
    """Without `build`, msgspec ends the process here."""
    log = tmp_path / "log"
    assert Forked(use_new_kinds_in_many_threads, log=log).wait(HANGS_S) == 0, log.read_text()
    assert log.read_text() == ""

"""Messages: a small typed header and at most one Arrow table, encoded, bounded and checked.

Not a transport: frames are plain bytes that any link can carry. Nothing is ever pickled. Whatever arrives is
untrusted: size first, then header types, then the table's schema, then its buffers, before a role sees it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec
import pyarrow as pa

from ..errors import PeerFailed, PeerGone, PrivsdkError, ProtocolViolation
from ..errors.record import ErrorRecord
from ..errors.sessions import SessionEnded

VERSION = 1
FRAME_BYTES = 4 << 20
MAX_HEADER_BYTES = 1 << 20


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages. A subclass names itself with `tag=`; a field `table` is its Arrow table.

    `SCHEMA` is the table's exact schema (None: any schema, for results whose columns the request decides);
    `MAX_BYTES` bounds the encoded table.
    """

    SCHEMA: ClassVar[pa.Schema | None] = None
    MAX_BYTES: ClassVar[int] = 256 << 20


class End(Message, frozen=True, kw_only=True, tag="privsdk.End"):
    """The sender's role is done; a stream that closes without this is a lost peer."""


class Abort(Message, frozen=True, kw_only=True, tag="privsdk.Abort"):
    """The sender stopped with an error. Between parties the code is all that is disclosed; a caller gets the record."""

    code: str
    error: ErrorRecord | None = None


M = TypeVar("M", bound=Message)


class Frame(NamedTuple):
    """What a link carries: the header of a message (empty for a continuation) and a piece of its table."""

    header: bytes
    chunk: bytes | pa.Buffer


class Packed(NamedTuple):
    """A message as it goes to any receiver: its fields, and its table where it has one."""

    message: Message
    body: bytes
    table: pa.Buffer | None


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What ties a message to its run: session, digest of the approved request, sender."""

    session: str
    request: str
    sender: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    binding: Binding
    sequence: int
    table_bytes: int  # -1: the message has no table
    body: msgspec.Raw


_built: set[type] = set()
_building = threading.Lock()


def build(kind: type[msgspec.Struct]) -> None:
    """Let msgspec look at a struct's types, once and in one thread.

    It does so at a struct's first use, and two threads that first use one at the same time end the process (seen in
    msgspec 0.22: a segmentation fault). Whatever is decoded in threads is built before.
    """
    if kind not in _built:
        with _building:
            msgspec.json.Decoder(kind, dec_hook=_no_table)
            _built.add(kind)


def _no_table(expected: type, value: object) -> Any:
    raise ValueError("a table was expected")


def tag_of(kind: type[Message]) -> str:
    return str(kind.__struct_config__.tag)


def pack(message: Message) -> Packed:
    """Encode what does not depend on the receiver."""
    tables: list[pa.Table] = []

    def set_aside(value: Any) -> bool:
        if not isinstance(value, pa.Table):
            raise TypeError(f"{tag_of(type(message))} holds a {type(value).__name__}, which has no wire form")
        tables.append(value)
        return True

    body = msgspec.json.encode(message, enc_hook=set_aside, order="sorted")
    return Packed(message, body, _to_ipc(tables[0]) if tables else None)


def frames(packed: Packed, binding: Binding, sequence: int) -> Iterator[Frame]:
    """The frames of a message to one receiver, in order; the first holds the header."""
    table = pa.py_buffer(b"") if packed.table is None else packed.table
    envelope = Envelope(
        version=VERSION,
        binding=binding,
        sequence=sequence,
        table_bytes=-1 if packed.table is None else table.size,
        body=msgspec.Raw(packed.body),
    )
    yield Frame(msgspec.json.encode(envelope), table[:FRAME_BYTES])
    for start in range(FRAME_BYTES, table.size, FRAME_BYTES):
        yield Frame(b"", table[start : start + FRAME_BYTES])


def encode(message: Message, binding: Binding, sequence: int) -> Iterator[Frame]:
    """The frames of a message, in order; the first holds the header."""
    return frames(pack(message), binding, sequence)


def decode(kind: type[M], binding: Binding, sequence: int, next_frame: Callable[[], Frame]) -> M:
    """Read one message of the expected kind.

    Raises
    ------
    ProtocolViolation
        It is of another kind, bound to another run or sender, out of order, too large or malformed.
    PeerFailed, PeerGone
        The sender ended the session instead, with an error or without one.
    """
    build(kind)
    first = next_frame()
    envelope = _open(first.header, binding.sender)
    if envelope.binding != binding:
        raise ProtocolViolation(f"{binding.sender} sent a message of another run, request or sender")
    if envelope.sequence != sequence:
        raise ProtocolViolation(f"{binding.sender} sent message {envelope.sequence} where {sequence} was due")
    tag = tag_of(kind)
    if envelope.table_bytes > kind.MAX_BYTES:
        raise ProtocolViolation(
            f"{binding.sender} announced {envelope.table_bytes} bytes; {tag} allows {kind.MAX_BYTES}"
        )
    pieces, size = [first.chunk], len(first.chunk)
    while size < envelope.table_bytes:
        frame = next_frame()
        if frame.header or not frame.chunk:
            raise ProtocolViolation(f"{binding.sender} broke off a message of {envelope.table_bytes} bytes")
        pieces.append(frame.chunk)
        size += len(frame.chunk)
    if size != max(0, envelope.table_bytes):
        raise ProtocolViolation(f"{binding.sender} sent {size} bytes and announced {envelope.table_bytes}")
    whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    table = _from_ipc(whole, kind, binding.sender) if envelope.table_bytes >= 0 else None

    def put_back(expected: type, value: object) -> Any:
        if expected is pa.Table and value is True and table is not None:
            return table
        return _no_table(expected, value)

    try:
        message: M | Abort | End = msgspec.json.decode(envelope.body, type=kind | Abort | End, dec_hook=put_back)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"{binding.sender} sent a message that is not a valid {tag}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolViolation(f"{binding.sender} sent a malformed {tag}") from None
    if isinstance(message, Abort):
        if message.error is not None:
            raise PrivsdkError.from_record(message.error)
        raise PeerFailed(SessionEnded(peer=binding.sender, code=message.code))
    if isinstance(message, End):
        raise PeerGone(SessionEnded(peer=binding.sender, due=tag))
    return message


for _kind in (Envelope, Abort, End):
    build(_kind)


def _open(header: bytes, sender: str) -> Envelope:
    if len(header) > MAX_HEADER_BYTES:
        raise ProtocolViolation(
            f"{sender} sent a message header of {len(header)} bytes; {MAX_HEADER_BYTES} are allowed"
        )
    try:
        envelope = msgspec.json.decode(header, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolViolation(f"{sender} sent a message whose header is malformed") from None
    if envelope.version != VERSION:
        raise ProtocolViolation(
            f"{sender} sent a message of wire version {envelope.version}; this privsdk speaks {VERSION}",
            hint="install the same privsdk version at every party",
        )
    return envelope


def table_bytes(table: pa.Table) -> int:
    """How long a message's table is as it is encoded."""
    counter = pa.MockOutputStream()
    with pa.ipc.new_stream(counter, table.schema) as writer:
        writer.write_table(table)
    size: int = counter.size()
    return size


def _to_ipc(table: pa.Table) -> pa.Buffer:
    whole = pa.allocate_buffer(table_bytes(table))  # a stream that grows would copy it several times
    with pa.FixedSizeBufferWriter(whole) as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return whole


def _from_ipc(data: bytes | pa.Buffer, kind: type[Message], sender: str) -> pa.Table:
    try:
        reader = pa.ipc.open_stream(data)
        if kind.SCHEMA is not None and reader.schema != kind.SCHEMA:
            raise ProtocolViolation(f"{sender} sent a {tag_of(kind)} whose table has another schema")
        if any(map(_is_compressed, pa.ipc.MessageReader.open_stream(data))):
            raise ProtocolViolation(f"{sender} sent a {tag_of(kind)} whose table is compressed")
        table = reader.read_all()
        table.validate(full=True)
        if any(table.column(at).null_count for at, field in enumerate(table.schema) if not field.nullable):
            raise ProtocolViolation(f"{sender} sent a {tag_of(kind)} with nulls where there are none")
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        raise ProtocolViolation(
            f"{sender} sent a {tag_of(kind)} whose table is malformed ({type(error).__name__})"
        ) from None
    return table


def _is_compressed(message: pa.ipc.Message) -> bool:
    """Whether a batch declares compressed buffers: a few bytes could unpack to any size.

    Reads the flatbuffer of Arrow's format/Message.fbs, which pyarrow has verified: `Message.header` is field 2,
    `DictionaryBatch.data` field 1, `RecordBatch.compression` field 3. Version 4, which nothing here writes, had it
    elsewhere.
    """
    if message.type not in ("dictionary", "record batch"):
        return False
    meta = message.metadata.to_pybytes()

    def number(at: int, size: int) -> int:
        return int.from_bytes(meta[at : at + size], "little", signed=size == 4)

    def field(table: int, index: int) -> int:
        """Where a field of a table is; 0 where it is absent."""
        vtable, slot = table - number(table, 4), 4 + 2 * index
        offset = number(vtable + slot, 2) if slot < number(vtable, 2) else 0
        return table + offset if offset else 0

    batch = field(number(0, 4), 2)
    if message.type == "dictionary":
        batch = field(batch + number(batch, 4), 1)
    return field(batch + number(batch, 4), 3) != 0 or message.metadata_version != pa.ipc.MetadataVersion.V5

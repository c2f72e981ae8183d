"""Flight's own messages, as far as privsdk speaks it: encoded, decoded and bounded.

Flight's gRPC service carries protocol buffers (Arrow's format/Flight.proto) of a few fields, all of them bytes. A frame
is a FlightData whose application metadata is the frame's header and whose body is its chunk: no Arrow reader sees
anything of a peer before privsdk has checked it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from ..errors import ProtocolViolation
from ..protocol.messages import FRAME_BYTES, MAX_HEADER_BYTES, Frame

SERVICE = "arrow.flight.protocol.FlightService"
DO_ACTION, DO_EXCHANGE = f"/{SERVICE}/DoAction", f"/{SERVICE}/DoExchange"
ACTION = b"privsdk"

_DESCRIPTOR, _METADATA, _BODY = 1, 3, 1000  # of FlightData
_COMMAND = 2  # of FlightDescriptor; its field 1 says that it is one
_VARINT, _BYTES = 0, 2  # wire types
_LARGEST = (1 << 32) - 1


def encode_action(body: bytes) -> bytes:
    return _fields({1: ACTION, 2: body})


def decode_action(data: bytes) -> memoryview:
    """The body of an action of ours."""
    fields = _parsed(data)
    if fields.get(1, b"") != ACTION:
        raise _foreign()
    return fields.get(2, memoryview(b""))


def encode_result(body: bytes | pa.Buffer) -> bytes:
    return _fields({1: body})


def decode_result(data: bytes) -> pa.Buffer:
    return pa.py_buffer(_parsed(data).get(1, b""))


def encode_opening(command: bytes) -> bytes:
    """The first message of a stream: what it is for."""
    return _fields({_DESCRIPTOR: b"\x08\x02" + _fields({_COMMAND: command})})


def decode_opening(data: bytes) -> memoryview:
    return _parsed(_parsed(data).get(_DESCRIPTOR, memoryview(b""))).get(_COMMAND, memoryview(b""))


def encode_frame(frame: Frame) -> bytes:
    return _fields({_METADATA: frame.header, _BODY: frame.chunk})


def decode_frame(data: bytes) -> Frame:
    fields = _parsed(data)
    header, chunk = fields.get(_METADATA, b""), fields.get(_BODY, b"")
    if len(header) > MAX_HEADER_BYTES or len(chunk) > FRAME_BYTES:
        raise ProtocolViolation(f"a frame of {len(header)} and {len(chunk)} bytes; {FRAME_BYTES} are allowed")
    return Frame(bytes(header), pa.py_buffer(chunk) if chunk else b"")


def _foreign() -> ProtocolViolation:
    return ProtocolViolation("a message that is not Flight's, or none of privsdk's")


def _fields(content: Mapping[int, bytes | pa.Buffer]) -> bytes:
    pieces: list[bytes | memoryview] = []
    for number, value in content.items():
        pieces += (_varint(number << 3 | _BYTES) + _varint(len(value)), memoryview(value))
    return b"".join(pieces)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _parsed(data: bytes | memoryview) -> dict[int, memoryview]:
    """The fields of bytes by number, without copies; numbers are passed over, of a field that comes twice the last."""
    view, at, found = memoryview(data), 0, {}
    try:
        while at < len(view):
            key, at = _number(view, at)
            value, at = _number(view, at)
            if key & 7 == _VARINT:
                continue
            if key & 7 != _BYTES or value > len(view) - at:
                raise _foreign()
            found[key >> 3] = view[at : at + value]
            at += value
    except IndexError:
        raise _foreign() from None
    return found


def _number(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if value > _LARGEST or shift > 63:
            raise _foreign()

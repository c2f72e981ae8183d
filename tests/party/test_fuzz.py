"""Mutated calls and frames: answered, or refused with an error of ours; never a defect, a hang or a changed charge."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts
from house import House, prepare

from privsdk import dp
from privsdk.client.tables import new_request
from privsdk.errors import InternalError, PrivsdkError
from privsdk.governance.chain import Head
from privsdk.protocol import control
from privsdk.protocol.messages import Abort, Binding, Frame, Message, decode, encode
from privsdk.protocol.timeouts import Limits, Timeouts
from privsdk.transport import wire

FEW, MORE, MOST = 3_000, 30_000, 500_000  # of calls, and of frames
EXTREMES = (b"0", b"-1", b"1e308", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"9" * 30, b'"\\u0000"', b'"\xff"')


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with up to four changes: bits, bytes, pieces taken out, doubled or moved, values of JSON replaced."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(out) + 1), rng.choice((1, 1, 2, 4, 16, 100))
        match rng.randrange(7):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at : at + size] = rng.randbytes(size)
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[at : at + size]
            case 4:
                out[at:at] = out[rng.randrange(len(out) + 1) :][:size]
            case 5:
                found = [n for n, byte in enumerate(out) if byte == ord(":")]
                if found:
                    begin = rng.choice(found) + 1
                    end = next((n for n in range(begin, len(out)) if out[n] in b",}"), len(out))
                    out[begin:end] = rng.choice(EXTREMES)
            case _:
                del out[at:]
    return bytes(out)


def calls(house: House) -> list[bytes]:
    """One of each kind, as they are sent."""
    join, table = house.request(), house.fed["south"]["u"]
    count = dp.mean(table, "x", epsilon=0.5, bounds=(0, 30)).request
    exact = table.count(where={"x": (3, 20)}).request
    head = house.gates["south"]._books.head()
    house.ask(prepare(join))
    every: list[control.Call] = [
        control.Describe(purpose="study"),
        control.Quote(requests=(count, exact), seen=head),
        control.Prepare(request=new_request(house.fed, **_parts(join)), seen=head),
        control.Prepare(request=exact),
        control.Prepare(request=count),
        control.Start(run_id=join.run_id, nonces={"north": "n", "south": "m"}, heads={"north": head}),
        control.Release(run_id=join.run_id),
        control.Cancel(run_id=join.run_id),
        control.Stop(run_id=join.run_id),
        control.Watch(run_id=join.run_id, since=2),
        control.ReadAudit(most=10),
    ]
    return [control.encode_call(call) for call in every]


def _parts(request: Any) -> dict[str, Any]:
    names = ("operation", "parties", "operands", "parameters")
    return {name: getattr(request, name) for name in names}


@pytest.mark.claim("fuzz: mutated calls are answered or refused, without a defect, and the chain stays whole")
@pytest.mark.parametrize("limits", [Limits(runs_each=5)])
@pytest.mark.parametrize("timeouts", [Timeouts(connect_s=0.01, read_s=0.01, prepared_s=0.5)])
def test_mutated_calls(house: House, cases: Cases, counts: Counts) -> None:
    rng, known, answered = random.Random(16), calls(house), 0
    for _ in range(counts(FEW, MORE, MOST)):
        data = mutated(rng.choice(known), rng)
        try:
            body = bytes(wire.decode_action(wire.encode_action(data)))
            house.ask(control.decode_call(body), caller=rng.choice(("ann", "ann", "north")))
            answered += 1
        except InternalError as defect:
            pytest.fail(f"{data!r}: {defect}")
        except PrivsdkError:
            pass
    cases(counts(FEW, MORE, MOST))
    cases.say(f"{answered:,} answered")
    assert answered > 10
    assert house.gates["south"]._books.verify().first_bad == -1


HEAD = Head(rows=3, hash="00" * 32, signature="00" * 64, public_key="00" * 32)
BINDING = Binding(session="s", request="r", sender="north")
REAL: tuple[Callable[[], Message], ...] = (
    lambda: control.Finished(value={"rows": 3}, table=pa.table({"n": [1, 2, None], "w": ["a", "b", None]})),
    lambda: control.Prepared(nonce="n", digest="d", head=HEAD),
    lambda: control.Watched(phase="joining", told=(control.ProgressReport(done=1, total=2, figures={"loss": 0.5}),)),
    lambda: Abort(code="usage.data"),
    lambda: Words(table=pa.table([pa.array(np.arange(50), pa.uint32())], schema=Words.SCHEMA)),
)


class Words(Message, frozen=True, kw_only=True, tag="test.Words"):
    SCHEMA = pa.schema([pa.field("w", pa.uint32(), nullable=False)])
    MAX_BYTES = 1 << 20
    table: pa.Table


@pytest.mark.claim("fuzz: mutated frames are a message of their kind or an error of ours")
def test_mutated_frames(cases: Cases, counts: Counts) -> None:
    rng = random.Random(17)
    every = [(type(message), list(encode(message, BINDING, 0))) for message in (make() for make in REAL)]
    for _ in range(counts(FEW, MORE, MOST)):
        kind, frames = rng.choice(every)
        wanted = rng.choice((kind, control.Finished)) if kind is Abort else kind
        arriving = iter(frames)
        if rng.random() < 0.5:  # as it comes off the network
            data = [mutated(wire.encode_frame(frame), rng) for frame in frames]
            arriving = iter(map(wire.decode_frame, data))
        else:
            arriving = iter([Frame(mutated(frame.header, rng), mutated(bytes(frame.chunk), rng)) for frame in frames])
        try:
            message = decode(wanted, BINDING, 0, lambda: next(arriving, Frame(b"", b"")))  # noqa: B023
        except InternalError:
            raise
        except PrivsdkError:
            continue
        assert isinstance(message, wanted)
    cases(counts(FEW, MORE, MOST))

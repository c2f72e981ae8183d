"""What each side of a scoring receives is what its record says, and malformed messages are refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import Extra, assert_absent, assert_found, assert_same_shape, hearing, play, saying

from privsdk.crypto.seal.keys import SecretContext
from privsdk.crypto.seal.ring import combined
from privsdk.errors import PrivsdkError, ProtocolViolation
from privsdk.he.columns.column import Column
from privsdk.he.columns.encrypt import encrypt
from privsdk.he.scoring import protocol
from privsdk.protocol.messages import Message
from privsdk.testing import Sent, pair

TRANSCRIPTS = pytest.mark.claim("transcripts: he.score sends ciphertexts, of sizes by public numbers alone")
BOUNDS = (2.0**20,) * 26
MOST = 8.0
PRESET = protocol.preset_for(BOUNDS, MOST, 1.0)
Problem = tuple[list[np.ndarray], list[float], float]


def problem(seed: int) -> Problem:
    """As many chunks of rows, of another number of rows; other values, and another number of weights that are zero."""
    rng = np.random.default_rng(seed)
    rows = PRESET.values_a_row + int(rng.integers(1, 100))
    weights = rng.uniform(-MOST, MOST, len(BOUNDS)) * (rng.random(len(BOUNDS)) < seed / 4)
    return (
        [rng.uniform(-(2**20), 2**20, rows) for _ in BOUNDS],
        weights.tolist(),
        float(rng.uniform(-1, 1) * (seed > 1)),
    )


def run(each: Problem, d_leaks: Any = None, m_leaks: Any = None) -> list[Sent]:
    features, weights, intercept = each
    owner = protocol.data_owner(features, BOUNDS, preset=PRESET, weight_bound=MOST, peer="M")
    modeller = protocol.model_owner(weights, intercept, BOUNDS, preset=PRESET, peer="D")
    if d_leaks:
        owner, modeller = saying(owner, "M", lambda _: d_leaks(features, [], 0.0)), hearing(modeller, "D")
    if m_leaks:
        owner, modeller = hearing(owner, "M"), saying(modeller, "D", lambda _: m_leaks([], weights, intercept))
    transcript: list[Sent] = []
    found, _ = pair(
        owner,
        modeller,
        names=("D", "M"),
        transcript=transcript,
    )
    assert np.abs(found - np.stack(features, axis=1) @ np.array(weights) - intercept).max() <= 1.0
    return transcript


def traces(each: Problem) -> list[bytes]:
    """Forms in which a value, a weight or a score might be sent."""
    features, weights, intercept = each
    scores = np.stack(features, axis=1)[:4] @ np.array(weights) + intercept
    values = [
        *features[0][:4].tolist(),
        *features[-1][-4:].tolist(),
        *weights[:6],
        max(weights),
        intercept,
        *scores.tolist(),
    ]
    values = [value for value in values if value]
    return [*(struct.pack("<d", v) for v in values), *(repr(v)[:12].encode() for v in values)]


def check(d_leaks: Any = None, m_leaks: Any = None) -> list[Sent]:
    one, other = problem(1), problem(3)
    first, second = run(one, d_leaks, m_leaks), run(other, d_leaks, m_leaks)
    assert_same_shape(first, second)
    assert_absent(traces(one), first)
    assert_absent(traces(other), second)
    return first


@TRANSCRIPTS
def test_transcripts_are_ciphertexts_of_public_sizes(cases: Cases) -> None:
    transcript = check()
    blocks = [len(of) for of in protocol._blocks(PRESET, len(BOUNDS))]
    assert len(blocks) > 1
    features = [("D", "he.scoring.Features", size, PRESET.row_bytes(seeded=True)) for size in blocks]
    a_chunk = [*features, ("M", "he.scoring.Scored", 1, PRESET.row_bytes())]
    (key,) = {len(row) for row in SecretContext.new(PRESET).public.rows}
    expected = [("D", "he.scoring.Opening", 1, key), *a_chunk, *a_chunk]
    assert [
        (s.sender, s.tag, len(s.table), *{len(row.as_py()) for row in s.table["row"]}) for s in transcript
    ] == expected
    for sent in transcript:
        body = msgspec.json.decode(sent.header)["body"]
        assert set(body) - {"chunks"} == {"type", "table"}
        assert body.get("chunks", 2) == 2
        assert sent.table.schema == protocol.ROWS
        cases()


LEAKS: dict[str, tuple[str, Callable[..., Message]]] = {
    "a feature as a table": ("D", lambda x, w, b: Extra(table=pa.table({"x": x[0][: PRESET.values_a_row]}))),
    "the number of rows": ("D", lambda x, w, b: Extra(said=("x",) * len(x[0]))),
    "values as text": ("D", lambda x, w, b: Extra(said=tuple(map(str, x[0][:3].tolist())))),
    "the weights as a table": ("M", lambda x, w, b: Extra(table=pa.table({"w": w}))),
    "the weights as text": ("M", lambda x, w, b: Extra(said=(str(max(w)),))),
    "how many weights are zero": ("M", lambda x, w, b: Extra(said=("x",) * w.count(0.0))),
    "whether there is an intercept": ("M", lambda x, w, b: Extra(said=("x",) * bool(b))),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases) -> None:
    who, of = LEAKS[leak]
    assert_found(lambda: check(of if who == "D" else None, of if who == "M" else None), cases)


@TRANSCRIPTS
@pytest.mark.parametrize("wrong", ["unscaled", "settled"])
def test_scores_of_another_level_are_found(wrong: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """What weights of one would allow without a product, or a product that was rescaled, is seen, or refused."""

    def made(columns: list[Column], weights: list[float]) -> Column:
        return columns[0] if wrong == "unscaled" else columns[0] * 1.0 * 1.0

    monkeypatch.setattr(protocol, "_weighted", made)
    with pytest.raises((PrivsdkError, AssertionError)):
        check()
    cases()


def test_the_data_owner_can_read_the_model_from_few_rows_as_its_record_says() -> None:
    """From one row and four features: the second polynomials are public multiples. So no record may promise less."""
    bounds, weights = (1.0,) * 4, [0.125, -3.5, 0.0, 2.0 / 3]
    preset = protocol.preset_for(bounds, 4.0, 1e-3)
    transcript: list[Sent] = []
    pair(
        protocol.data_owner([np.array([0.5])] * 4, bounds, preset=preset, weight_bound=4.0, peer="b"),
        protocol.model_owner(weights, 1.0, bounds, preset=preset, peer="a"),
        transcript=transcript,
    )
    (ring,), primes = preset.rings, preset.primes
    (rows,) = [sent.table["row"] for sent in transcript if sent.tag == "he.scoring.Features"]
    (scored,) = [sent.table["row"] for sent in transcript if sent.tag == "he.scoring.Scored"]

    def second(row: bytes) -> np.ndarray:
        words = np.frombuffer(ring._unpacked(ring.row(ring.ciphertext(row, len(primes)))), np.uint64)
        return words.reshape(2, len(primes), -1)[1]

    columns, total = [second(row.as_py()) for row in rows], second(scored[0].as_py())
    solved = [
        solve([[int(c[i][k]) for c in columns] for k in range(4)], [int(total[i][k]) for k in range(4)], prime)
        for i, prime in enumerate(primes)
    ]
    units = combined([np.array(part, object) for part in solved], primes)
    assert [float(unit) / 2.0**preset.scale_bits for unit in units] == pytest.approx(weights, abs=1e-9)


def solve(matrix: list[list[int]], right: list[int], prime: int) -> list[int]:
    """A linear system modulo a prime."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        pivot = next(k for k in range(i, len(rows)) if rows[k][i] % prime)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        inverse = pow(rows[i][i], -1, prime)
        rows[i] = [value * inverse % prime for value in rows[i]]
        for k in range(len(rows)):
            if k != i:
                rows[k] = [(a - rows[k][i] * b) % prime for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] for row in rows]


# malformed messages

SMALL = (1.0, 1.0)
TINY = protocol.preset_for(SMALL, 1.0, 1e-2)
KEY = SecretContext.new(TINY)
WHOLE = [bytes(row) for row in encrypt(np.zeros(3), 1.0, KEY).rows()] * 2
GARBAGE = b"\xff" * len(WHOLE[0])


def rows_of(rows: list[Any]) -> pa.Table:
    return pa.table({"row": pa.array(rows, pa.large_binary())}, schema=protocol.ROWS)


def opening(chunks: int = 1, rows: Any = None) -> protocol.Opening:
    return protocol.Opening(chunks=chunks, table=rows_of(list(KEY.public.rows) if rows is None else rows))


def features(rows: list[Any]) -> protocol.Features:
    return protocol.Features(table=rows_of(rows))


TO_MODELLER: dict[str, list[Message]] = {
    "no chunks": [opening(0)],
    "fewer than none": [opening(-1)],
    "too many chunks": [opening(1025)],
    "more than any": [opening(2**62)],
    "no key": [opening(rows=[])],
    "a null key": [opening(rows=[None])],
    "two keys": [opening(rows=[*KEY.public.rows] * 2)],
    "a key cut short": [opening(rows=[KEY.public.rows[0][:-1]])],
    "a key of garbage": [opening(rows=[b"\xff" * len(KEY.public.rows[0])])],
    "a feature missing": [opening(), features(WHOLE[:1])],
    "no features": [opening(), features([])],
    "a feature too many": [opening(), features([*WHOLE, WHOLE[0]])],
    "a null": [opening(), features([WHOLE[0], None])],
    "a ciphertext cut short": [opening(), features([WHOLE[0], WHOLE[1][:-1]])],
    "one too long": [opening(), features([WHOLE[0], WHOLE[1] + b"\0"])],
    "one without a seed": [opening(), features([bytes(TINY.row_bytes())] * 2)],
    "garbage": [opening(), features([WHOLE[0], GARBAGE])],
}


@pytest.mark.parametrize("case", TO_MODELLER)
@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 1.0]])
def test_a_model_owner_refuses_what_is_malformed(case: str, weights: list[float]) -> None:
    with pytest.raises(ProtocolViolation):
        play(protocol.model_owner(weights, 0.5, SMALL, preset=TINY, peer="D"), *TO_MODELLER[case])


OTHER = SecretContext.new(TINY)
FOREIGN = bytes(
    next(iter((Column.of_rows(encrypt(np.ones(3), 1.0, OTHER).meta, WHOLE[:1], OTHER.public) * 1.0).rows()))
)
TO_OWNER: dict[str, list[Any]] = {
    "no score": [],
    "two": [FOREIGN, FOREIGN],
    "a null": [None],
    "one cut short": [FOREIGN[:-1]],
    "a seeded one": [WHOLE[0]],
    "garbage": [b"\xff" * TINY.row_bytes()],
    "under another key": [FOREIGN],
}


@pytest.mark.parametrize("case", TO_OWNER)
def test_a_data_owner_refuses_what_is_malformed(case: str) -> None:
    role = protocol.data_owner([np.ones(3)] * 2, SMALL, preset=TINY, weight_bound=1.0, peer="M")
    with pytest.raises(ProtocolViolation):
        play(role, protocol.Scored(table=rows_of(TO_OWNER[case])))


def test_scores_by_larger_weights_than_declared_are_refused() -> None:
    with pytest.raises(ProtocolViolation, match="beyond its declared bound"):
        pair(
            protocol.data_owner([np.ones(3)] * 2, SMALL, preset=TINY, weight_bound=1.0, peer="b"),
            protocol.model_owner([3.0, 3.0], 0.0, SMALL, preset=TINY, peer="a"),
        )

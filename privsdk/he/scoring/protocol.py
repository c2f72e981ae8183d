"""Scoring one party's rows by another's linear model: the rows travel encrypted, and M never sees one.

Paper: linear prediction of Juvekar, Vaikuntanathan, Chandrakasan, "GAZELLE", USENIX Security 2018, section 4 (packed
additions and products with plaintexts), packed by column as in Graepel, Lauter, Naehrig, "ML Confidential", ICISC 2012,
section 4: one ciphertext holds a feature of thousands of rows, so a score is a product with one number for each feature
and no rotation.

    data owner D                                       model owner M
    --- Opening: public key, number of chunks ------->
    for each chunk of rows:
    --- Features: Enc(x_j), some features a message -->
                                                       y = sum over j of w_j Enc(x_j), plus the intercept
    <-- Scored: y ------------------------------------
    scores = Dec(y), and of them what the caller may see

Learns: D the score of each of its rows, and the model. Linear equations can be solved, and with fewer rows than
features y itself tells: its second polynomial is the sum of w_j times those that D drew. So the model is kept from the
caller and from an eavesdropper, and not from D; GAZELLE floods y to change that for few rows, which is not done here. M
how many chunks of rows D has; an eavesdropper the same.
Assumes: semantic security at 128 bits, semi-honest parties. No two parties have to be kept from colluding: each has
its own data. How long M computes tells an eavesdropper about how many weights are zero.
Cost: one seed-compressed ciphertext for each feature and chunk of thousands of rows one way, a ciphertext a chunk back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.seal.keys import PublicContext, SecretContext
from ...crypto.seal.presets import Preset
from ...errors import CircuitTooDeep, DataError, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Role, ask, checkpoint, hear, tell
from ..columns.arrow import Meta
from ..columns.choose import Range, choose
from ..columns.column import Column, matmul
from ..columns.encrypt import encrypt
from ..columns.reveal import reveal

INTERCEPT = "(intercept)"
ROWS = pa.schema([pa.field("row", pa.large_binary(), nullable=False)])
_MESSAGE_BYTES = 4 << 20  # of ciphertexts, where one alone is not more: a fraction of a second's work on either side
_FINEST = 64.0  # units of the scale in the largest weight: what replaces a product with zero has less noise than it

Reals = npt.NDArray[np.float64]


class Opening(Message, frozen=True, kw_only=True, tag="he.scoring.Opening"):
    """The public key, and how many chunks of rows will come."""

    SCHEMA = ROWS
    MAX_BYTES = 32 << 20
    chunks: int
    table: pa.Table


class Features(Message, frozen=True, kw_only=True, tag="he.scoring.Features"):
    """A chunk's ciphertexts of the next features, in the features' order."""

    SCHEMA = ROWS
    MAX_BYTES = 16 << 20
    table: pa.Table


class Scored(Message, frozen=True, kw_only=True, tag="he.scoring.Scored"):
    """A chunk's ciphertext of scores."""

    SCHEMA = ROWS
    MAX_BYTES = 16 << 20
    table: pa.Table


@lru_cache(maxsize=64)
def preset_for(bounds: tuple[float, ...], weight_bound: float, error: float) -> Preset:
    """What both derive from public numbers: the cheapest preset for the largest weights that are declared.

    Raises
    ------
    CircuitTooDeep
        There is none for values this large, or this small, within this error.
    """

    def circuit(typical: Column, widest: Column) -> list[Column]:
        return [_largest(typical, len(bounds), weight_bound), widest * weight_bound]

    typical, widest = Range(bound=_typical(bounds)), Range(bound=max(bounds))
    preset = choose(circuit, error=error, scheme="ckks", secret=True, typical=typical, widest=widest)
    if weight_bound * 2.0**preset.scale_bits < _FINEST:
        raise CircuitTooDeep(
            f"weights within {weight_bound:g} are too small beside features of up to {max(bounds):g}",
            hint="measure such features in larger units, so that their weights are larger",
        )
    return preset


def most_rows(preset: Preset) -> int:
    """How many rows one run scores: a key may reveal so many ciphertexts."""
    return preset.values_a_row * preset.reveals


def data_owner(
    features: Sequence[Reals], bounds: tuple[float, ...], *, preset: Preset, weight_bound: float, peer: str
) -> Role[Reals]:
    """D's part: the score of each row."""
    key = SecretContext.new(preset)
    length, size = len(features[0]), preset.values_a_row
    chunks = -(-length // size)
    if not 1 <= chunks <= preset.reveals:
        raise DataError(f"{length:,} rows to score", hint=f"1 to {most_rows(preset):,} are possible in one run")
    figures = _figures(key.public, bounds, weight_bound)
    yield from tell(peer, Opening(chunks=chunks, table=_table(key.public.rows)))
    scores = []
    for chunk in range(chunks):
        here = slice(chunk * size, (chunk + 1) * size)
        *first, last = _blocks(preset, len(bounds))
        for of in first:
            yield from tell(peer, (yield from _encrypted(features, of, here, bounds, key)))
        reply = yield from ask(peer, (yield from _encrypted(features, last, here, bounds, key)), Scored)
        yield from checkpoint("scoring", here.start, length)
        meta = msgspec.structs.replace(figures, length=len(features[0][here]))
        found = Column.of_rows(meta, _received(reply.table, meta, 1, peer), key.public)
        scores.append(np.asarray(reveal(found, key).values))
    return np.concatenate(scores)


def model_owner(
    weights: Sequence[float], intercept: float, bounds: tuple[float, ...], *, preset: Preset, peer: str
) -> Role[None]:
    """M's part: computes, and learns nothing."""
    opening = yield from hear(peer, Opening)
    keys = [bytes(row) for row in _views(opening.table)]
    if not 1 <= opening.chunks <= preset.reveals:
        raise ProtocolViolation(f"{peer} announced {opening.chunks} chunks of rows; 1 to {preset.reveals} are possible")
    public = PublicContext(preset, keys)
    fresh = [Meta.fresh(public, bound, length=preset.values_a_row, secret=True) for bound in bounds]
    for chunk in range(opening.chunks):
        total: Column | None = None
        for of in _blocks(preset, len(bounds)):
            message = yield from hear(peer, Features)
            rows = _received(message.table, fresh[0], len(of), peer)
            columns = [Column.of_rows(fresh[i], [row], public) for i, row in zip(of, rows, strict=True)]
            part = _weighted(columns, [weights[i] for i in of])
            total = part if total is None else total + part
            total.rows()
            yield from checkpoint("scoring", chunk, opening.chunks)
        assert total is not None  # noqa: S101 - there are features
        yield from tell(peer, Scored(table=_table((total + intercept if intercept else total).rows())))


def read_model(
    table: pa.Table, features: Sequence[str], weight_bound: float, *, party: str
) -> tuple[list[float], float]:
    """Weights in the features' order and the intercept, from a table of names and weights.

    Raises
    ------
    DataError
        Names are missing, unknown or twice, a weight is null or not finite or beyond the bound. Names no weight.
    """
    names, weights = table.column(0).to_pylist(), table.column(1).to_pylist()
    found = dict(zip(names, weights, strict=True))
    if len(found) != len(names) or {*found, INTERCEPT} != {*features, INTERCEPT}:
        raise DataError(
            f"{party}'s model is not one of {', '.join(features)}: nothing was computed",
            hint=f"its table has one row for each feature, and one of {INTERCEPT} if there is an intercept",
        )
    found = {INTERCEPT: 0.0, **found}
    values = np.array([np.nan if found[name] is None else float(found[name]) for name in (*features, INTERCEPT)])
    if not (np.abs(values) <= weight_bound).all():
        raise DataError(
            f"{party}'s model has a weight beyond {weight_bound:g}, or one that is no number: nothing was computed",
            hint="raise weight_bound, or ask its owner",
        )
    *linear, intercept = values.tolist()
    return linear, intercept


def _weighted(columns: Sequence[Column], weights: Sequence[float]) -> Column:
    """The sum of products. Where all weights are zero a fresh encryption of zero: a bare one could be recognised."""
    if not any(weights):
        return columns[0] * 0.0
    return matmul(columns, np.asarray(weights).reshape(-1, 1))[0]


def _largest(typical: Column, count: int, weight_bound: float) -> Column:
    """Figures of the scores by the largest weights: what figures a product has is affine in the bound of its column, so
    those of the sum are as of equal columns of the mean bound. Their sums by doubling take log(count) steps."""
    term, total = typical * weight_bound, None
    while True:
        if count & 1:
            total = term if total is None else total + term
        count >>= 1
        if not count:
            break
        term = term + term
    assert total is not None  # noqa: S101 - count is at least 1
    return total + weight_bound


def _figures(public: PublicContext, bounds: tuple[float, ...], weight_bound: float) -> Meta:
    """Of the ciphertexts of scores; the true weights, whose figures are smaller, are the peer's secret."""
    fresh = Meta.fresh(public, _typical(bounds), length=1, secret=True)
    return _largest(Column.of_rows(fresh, (), None), len(bounds), weight_bound).meta


def _typical(bounds: tuple[float, ...]) -> float:
    return math.fsum(bounds) / len(bounds)


def _blocks(preset: Preset, count: int) -> Iterator[range]:
    """The features that travel in one message."""
    size = max(1, _MESSAGE_BYTES // preset.row_bytes(seeded=True))
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def _encrypted(
    features: Sequence[Reals], of: range, here: slice, bounds: tuple[float, ...], key: SecretContext
) -> Role[Features]:
    rows: list[memoryview | bytes] = []
    for i in of:
        yield from checkpoint("encrypting", here.start, len(features[i]))
        rows += encrypt(features[i][here], bounds[i], key).rows()
    return Features(table=_table(rows))


def _table(rows: Sequence[bytes | memoryview]) -> pa.Table:
    return pa.table({"row": pa.array([bytes(row) for row in rows], pa.large_binary())}, schema=ROWS)


def _views(table: pa.Table) -> list[memoryview]:
    return [memoryview(blob.as_buffer() or b"") for blob in table["row"]]


def _received(table: pa.Table, meta: Meta, count: int, peer: str) -> list[memoryview]:
    """So many ciphertexts of these figures, and nothing else."""
    rows = _views(table)
    if len(rows) != count or any(len(row) != meta.cipher_bytes for row in rows):
        raise ProtocolViolation(f"{peer} sent something else than {count} ciphertexts of the announced parameters")
    return rows

"""Scoring one party's rows by another's linear model: the rows travel encrypted, the model does not travel.

Paper: linear prediction of Juvekar, Vaikuntanathan, Chandrakasan, "GAZELLE", USENIX Security 2018, section 4 (packed
additions and products with plaintexts), packed by column as in Graepel, Lauter, Naehrig, "ML Confidential", ICISC 2012,
section 4: one ciphertext holds a feature of thousands of rows, so a score is a product with one number for each feature
and no rotation.

    data owner D                              model owner M
    --- Columns: public key, Enc(x_j) -------->
                                              y = sum over j of w_j Enc(x_j), plus the intercept
    <-- Scored: y -----------------------------
    scores = Dec(y), and of them what the caller may see

Learns: D the score of each of its rows, and so, from more rows than features, the model: linear equations can be
solved. M how many chunks of rows D has; an onlooker the same. The caller what D lets out of the scores.
Assumes: semantic security at 128 bits, semi-honest parties. The noise of y holds the weights too; as D may solve for
them anyway, it is not flooded against D. No two parties have to be kept from colluding: each has its own data.
Cost: two seed-compressed polynomials for each feature and chunk of 8192 rows one way, a ciphertext a chunk back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import DataError, ProtocolViolation
from ..messages import Message
from ..protocol import Role, ask, checkpoint, hear, tell
from .ciphertexts import Meta
from .columns import Column, matmul
from .encryption import Range, choose, encrypt
from .keys import PublicContext, SecretContext
from .presets import Preset
from .reveals import reveal

INTERCEPT = "(intercept)"
ROWS = pa.schema([pa.field("row", pa.large_binary(), nullable=False)])


class Columns(Message, frozen=True, kw_only=True, tag="he.scoring.Columns"):
    """The public key, then each feature's ciphertexts in the features' order."""

    SCHEMA = ROWS
    MAX_BYTES = 1 << 30
    chunks: int
    table: pa.Table


class Scored(Message, frozen=True, kw_only=True, tag="he.scoring.Scored"):
    """A ciphertext of scores for each chunk."""

    SCHEMA = ROWS
    MAX_BYTES = 1 << 28
    table: pa.Table


def preset_for(bounds: Sequence[float], weight_bound: float, error: float) -> Preset:
    """What both derive from public numbers: the cheapest preset for the largest weights that are declared."""

    def circuit(features: list[Column]) -> Column:
        return _linear(features, [weight_bound] * len(features), weight_bound)

    ranges = [Range(bound=bound) for bound in bounds]
    return choose(circuit, error=error, scheme="ckks", secret=True, features=ranges)


def data_owner(
    features: Mapping[str, npt.NDArray[np.float64]],
    bounds: Sequence[float],
    *,
    preset: Preset,
    weight_bound: float,
    peer: str,
) -> Role[npt.NDArray[np.float64]]:
    """D's part: the score of each row."""
    key = SecretContext.new(preset)
    columns: list[Column] = []
    for (name, values), bound in zip(features.items(), bounds, strict=True):
        yield from checkpoint(f"encrypting {name}", len(columns), len(features))
        columns.append(encrypt(values, bound, key))
    rows = [*key.public.rows, *(row for column in columns for row in column.rows())]
    reply = yield from ask(peer, Columns(chunks=columns[0].meta.rows, table=_table(rows)), Scored)
    # The figures are those of the largest weights: the true ones are the peer's secret.
    largest = _linear(columns, [weight_bound] * len(columns), weight_bound)
    scores = Column.of_rows(largest.meta, _rows(reply.table, largest.meta, peer), key.public)
    yield from checkpoint("decrypting", 0, 1)
    return np.asarray(reveal(scores, key).values)


def model_owner(
    weights: Sequence[float], intercept: float, bounds: Sequence[float], *, preset: Preset, peer: str
) -> Role[None]:
    """M's part: computes, and learns nothing."""
    received = yield from hear(peer, Columns)
    keys = len(preset.parameters) + preset.products
    if received.chunks < 1 or received.table.num_rows != keys + len(weights) * received.chunks:
        raise ProtocolViolation(
            f"{peer} sent {received.table.num_rows} rows where keys and {len(weights)} features are due"
        )
    blobs = [memoryview(blob.as_buffer() or b"") for blob in received.table["row"]]
    public = PublicContext(preset, [bytes(blob) for blob in blobs[:keys]])
    length = received.chunks * preset.values_a_row
    columns = []
    for i, bound in enumerate(bounds):
        fresh = Meta.fresh(public, bound, length=length, secret=True)
        start = keys + i * received.chunks
        columns.append(Column.of_rows(fresh, _checked(blobs[start : start + received.chunks], fresh, peer), public))
    yield from checkpoint("scoring", 0, 1)
    scores = _linear(columns, weights, intercept)
    yield from tell(peer, Scored(table=_table(scores.rows())))


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
    wanted = {*features, INTERCEPT}
    if len(found) != len(names) or set(found) | {INTERCEPT} != wanted:
        raise DataError(
            f"{party}'s model is not one of {', '.join(features)}",
            hint=f"its table has one row for each feature, and {INTERCEPT} if there is one",
        )
    found = {INTERCEPT: 0.0, **found}
    values = np.array([np.nan if found[name] is None else float(found[name]) for name in (*features, INTERCEPT)])
    if not (np.abs(values) <= weight_bound).all():
        raise DataError(f"{party}'s model has a weight beyond {weight_bound:g}, or none", hint="raise weight_bound")
    if not values[:-1].any():
        raise DataError(f"{party}'s model has no weight but zero", hint="there is nothing to score by")
    return [float(value) for value in values[:-1]], float(values[-1])


def _linear(columns: Sequence[Column], weights: Sequence[float], intercept: float) -> Column:
    return matmul(columns, np.asarray(weights).reshape(-1, 1), intercepts=[intercept])[0]


def _table(rows: Sequence[bytes | memoryview]) -> pa.Table:
    return pa.table({"row": pa.array([bytes(row) for row in rows], pa.large_binary())}, schema=ROWS)


def _rows(table: pa.Table, meta: Meta, peer: str) -> list[memoryview]:
    return _checked([memoryview(blob.as_buffer() or b"") for blob in table["row"]], meta, peer)


def _checked(rows: list[memoryview], meta: Meta, peer: str) -> list[memoryview]:
    if len(rows) != meta.rows or any(len(row) != meta.cipher_bytes for row in rows):
        raise ProtocolViolation(f"{peer} sent something that is not a ciphertext of these parameters")
    return rows

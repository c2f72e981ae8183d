"""Encrypting and computing on all cores: what takes long is shared among worker processes, the rest is done here.

SEAL never releases the interpreter's lock, so a second core needs a second process. What goes to a worker are a public
key, rows and plain numbers, never a secret key; what is small is done sooner here than sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from ...protocol.workers import pool as workers
from .circuit import Circuit, CircuitStep, Evaluator, Values, encrypt_column
from .keys import PublicContext
from .presets import Preset
from .serial import Buffer

HEAVY_MS = 100.0  # what takes longer goes to the workers, so that a notebook stays responsive


def compute(
    public: PublicContext,
    circuit: Circuit,
    inputs: Sequence[Sequence[Buffer]],
    operands: Sequence[float | Values],
    chunks: int,
) -> list[list[bytes]]:
    """Run a circuit over all chunks; by the workers where it takes long.

    Returns, for each output, its rows.
    """
    if _cost_ms(public.preset, circuit) * chunks < HEAVY_MS or chunks < (_FOLDED if circuit.fold else 2):
        return Evaluator(public, circuit, operands).run(inputs, chunks)
    pool = workers.shared()
    pieces = np.array_split(np.arange(chunks), min(chunks, pool.count))
    size, key = public.preset.values_a_row, public.to_bytes()
    tasks = []
    for piece in pieces:
        part = slice(int(piece[0]), int(piece[-1]) + 1)
        values = slice(part.start * size, part.stop * size)
        sent = [_packed(o[values]) if isinstance(o, np.ndarray) else o for o in operands]
        rows = [[bytes(row) for row in column[part]] for column in inputs]
        tasks.append(pool.submit(compute_here, key, msgspec.msgpack.encode(circuit), rows, sent, len(piece)))
    parts = _results(pool, tasks)
    if not circuit.fold:
        return [[row for part in parts for row in part[i]] for i in range(len(circuit.outputs))]
    return [added(public, [part[i] for part in parts], level) for i, level in enumerate(circuit.levels)]


def compute_here(
    key: bytes, circuit: bytes, inputs: list[list[bytes]], operands: list[Any], chunks: int
) -> list[list[bytes]]:
    """A worker's part of `compute`."""
    unpacked = [_unpacked(o) if isinstance(o, list) else o for o in operands]
    decoded = msgspec.msgpack.decode(circuit, type=Circuit)
    return Evaluator(_public(key), decoded, unpacked).run(inputs, chunks)


def encrypt_here(key: bytes, values: list[Any]) -> list[bytes]:
    """A worker's part of `encrypt`: rows of chunks under a public key."""
    public = _public(key)
    return encrypt_column(public.preset, public.encryptors, _unpacked(values), symmetric=False)


def encrypt(public: PublicContext, values: Values) -> list[bytes]:
    """The rows of a whole column under a public key; by the workers where it takes long."""
    size = public.preset.values_a_row
    chunks = -(-len(values) // size)
    if chunks * len(public.preset.parameters) * _ENCRYPT_MS * public.preset.degree / 4096 < HEAVY_MS:
        return encrypt_column(public.preset, public.encryptors, values, symmetric=False)
    pool, key = workers.shared(), public.to_bytes()
    share = -(-chunks // (2 * pool.count)) * size
    tasks = [pool.submit(encrypt_here, key, _packed(values[i : i + share])) for i in range(0, len(values), share)]
    return [row for rows in _results(pool, tasks) for row in rows]


def added(public: PublicContext, columns: Sequence[Sequence[Buffer]], level: int = 0) -> list[bytes]:
    """The sums, row by row, of columns of ciphertexts of one level and scale; here, as sending them takes longer."""
    steps = [CircuitStep("load", (i,), level) for i in range(len(columns))]
    for i in range(1, len(columns)):
        steps.append(CircuitStep("add", (len(steps) - 1 if i > 1 else 0, i), level))
    circuit = Circuit(tuple(steps), (len(steps) - 1,), (level,))
    return Evaluator(public, circuit, []).run(columns, len(columns[0]))[0]


def _results(pool: workers.Workers, tasks: Sequence[Future[Any]]) -> list[Any]:
    """What the workers return, in order; where one fails or the cell is interrupted, none goes on."""
    try:
        return [task.result() for task in tasks]
    except BaseException:  # whatever it was, an interrupt too, goes on; no worker computes for nobody
        pool.stop(*tasks)
        raise


@lru_cache(maxsize=8)
def _public(key: bytes) -> PublicContext:
    return PublicContext.from_bytes(key)


def _packed(values: Values) -> list[Any]:
    """An array as what a worker is sent: its type and bytes; integers beyond 64 bits as text."""
    if values.dtype == object:
        return ["object", [str(v) for v in values]]
    return [values.dtype.str, values.tobytes()]


def _unpacked(sent: list[Any]) -> Values:
    kind, content = sent
    if kind == "object":
        return np.array([int(v) for v in content], object)
    return np.frombuffer(content, kind)


_FOLDED = 8  # fewer chunks are not worth that every worker returns all sums
_ENCRYPT_MS = 1.2
_STEP_MS = {
    "load": 0.1,
    "add": 0.02,
    "negate": 0.02,
    "add_plain": 0.2,
    "times_plain": 0.3,
    "times": 6.0,
    "rescale": 0.5,
}


def _cost_ms(preset: Preset, circuit: Circuit) -> float:
    """About what a chunk costs, to decide where to compute it; nothing for sums, which cost less than to be moved."""
    if all(step.op in ("load", "add", "negate") for step in circuit.steps):
        return 0.0
    size = preset.degree / 4096 * len(preset.data) * max(1, preset.limbs)
    return size * (sum(_STEP_MS[step.op] for step in circuit.steps) + 0.4 * len(circuit.outputs) * (not circuit.fold))

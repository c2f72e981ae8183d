"""How long a notebook's event loop stands still while privsdk works: a task ticks every 5 ms in the main thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pyarrow as pa

import privsdk as ps
from privsdk import he
from privsdk.crypto.seal.schemes import ExactScheme

from .cases import BOUND, ERROR, GRID, PARTIES
from .meter import cpu_s

TICK_S = 0.005


def gaps(values: int) -> list[dict[str, Any]]:
    """For each kind of work, the longest gap between two ticks, in milliseconds."""
    column = np.random.default_rng(5).normal(size=values).clip(-BOUND, BOUND)
    given = [he.Range(bound=BOUND, length=values)] * PARTIES
    key = he.SecretContext.new(he.choose(lambda xs: sum(xs[1:], xs[0]), error=ERROR, xs=given))
    real = he.SecretContext.new(he.choose(lambda xs: sum(xs[1:], xs[0]), error=1e-3, scheme="ckks", xs=given))
    made = he.encrypt(column, BOUND, key.public)
    stored = made.to_arrow()
    received = [he.Column.from_arrow(stored, key.public) for _ in range(PARTIES)]
    limbs = ExactScheme(parties=PARTIES, length=values, max_units=GRID.max_units)
    secret = he.SecretContext.new(limbs.preset)
    rows = limbs.encrypt(secret.public, GRID.to_units(column))

    def total() -> Any:
        summed = sum(received[1:], received[0])
        summed.rows()
        return summed

    def encrypted_and_revealed() -> Any:
        return he.reveal(he.encrypt(column, BOUND, real.public), real)

    def encrypted_limbs() -> Any:
        return limbs.encrypt(secret.public, GRID.to_units(column))

    works: dict[str, Callable[[], Any]] = {
        "floor: asyncio.sleep(1)": lambda: asyncio.sleep(1),
        "to_thread(he.encrypt), public key": lambda: asyncio.to_thread(he.encrypt, column, BOUND, key.public),
        "to_thread(he.encrypt), secret key": lambda: asyncio.to_thread(he.encrypt, column, BOUND, key),
        "to_thread: add 10 columns": lambda: asyncio.to_thread(total),
        "to_thread(he.reveal)": lambda: asyncio.to_thread(he.reveal, made, key),
        "to_thread: CKKS, encrypt and reveal": lambda: asyncio.to_thread(encrypted_and_revealed),
        f"to_thread: encrypt {limbs.limbs} limbs": lambda: asyncio.to_thread(encrypted_limbs),
        f"to_thread: decrypt {limbs.limbs} limbs": lambda: asyncio.to_thread(limbs.decrypt, secret, rows),
    }
    found = [asyncio.run(_longest_gap(name, work)) for name, work in works.items()]
    return [*found, _federated(column)]


def _federated(column: np.ndarray) -> dict[str, Any]:
    """Awaiting he.mean over three parties' tables of this many rows, a fourth holding the key."""
    tables = {f"p{i}": pa.table({"x": column}) for i in range(3)}
    with ps.embedded({**tables, "notary": {}}, store=None, quiet=True) as fed:
        plan = he.mean(fed.tables("table"), "x", bound=BOUND * len(column))
        return asyncio.run(_longest_gap("await he.mean(...).start(), 3 parties", plan.start))


async def _longest_gap(name: str, work: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    ticks = [time.perf_counter()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            ticks.append(time.perf_counter())

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(4 * TICK_S)
    began, cpu = time.perf_counter(), cpu_s()
    await work()
    ended = time.perf_counter()
    await asyncio.sleep(4 * TICK_S)
    ticking.cancel()
    between = np.diff(ticks) * 1e3
    return {
        "name": name,
        "longest_gap_ms": float(between.max()),
        "p99_gap_ms": float(np.quantile(between, 0.99)),
        "wall_s": ended - began,
        "cpu_s": cpu_s() - cpu,
    }

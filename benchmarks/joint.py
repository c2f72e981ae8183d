"""What products between two parties in additive shares cost: by lattices, and with a dealer.

Run as `python benchmarks/joint.py [ROWS]`, with at most so many rows. All parties run in one process, each message
encoded and decoded. Prints, for each shape, CPU seconds of all parties together, worker processes included, wall
seconds, and bytes on the wire: of a product with one vector where there are no more, of the first and another one where
there may be 100, and of row-wise products; and as the floor the same product in the clear, exact and modulo the same
prime. Every result is compared with it. The last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # as running this file does; for those who load it otherwise

from encrypted.meter import cpu_s, machine

from privsdk.crypto.bilinear.base import MatrixTerms, Products, ProductTerms
from privsdk.crypto.bilinear.dealer import Dealer, DealtProducts
from privsdk.crypto.bilinear.lattice import LatticeProducts
from privsdk.crypto.bilinear.modular import times, transposed_product, uniform
from privsdk.protocol.roles import Role, SystemEntropy
from privsdk.testing import Sent, together

PRIME_BITS = 54
QUERIES = 100  # that the parameters allow for
SIZES = ((4_454, 14, 12), (20_000, 30, 12), (45_211, 128, 1), (100_000, 330, 12))
RANKS = (12, 16)
WHAT = (
    "the only vector",
    f"first of {QUERIES} vectors",
    "one more vector",
    *(f"row by row, rank {rank}" for rank in RANKS),
)
PEERS = {"a": "b", "b": "a"}


class Phase(NamedTuple):
    """Of one product."""

    cpu_s: float
    wall_s: float
    bytes: int


class Clock:
    """Readings between products: the ends take turns in one thread, and the later one of both stops the clock."""

    def __init__(self, names: list[str]) -> None:
        self.transcript: list[Sent] = []
        self._names = names
        self._readings = [(cpu_s(), time.perf_counter())]

    def stop(self) -> None:
        """Of either end, when it has finished a product."""
        self._readings.append((cpu_s(), time.perf_counter()))

    def phases(self) -> list[Phase]:
        """Each product's; set-up is in the first."""
        ends, found = [self._readings[0], *self._readings[2::2]], []
        for name, (before, after) in zip(self._names, pairwise(ends), strict=True):
            sizes = [sent.size for sent in self.transcript if f'"{name}"'.encode() in sent.header]
            found.append(Phase(after[0] - before[0], after[1] - before[1], sum(sizes)))
        return found


def made(provider: str, me: str, terms: ProductTerms) -> Products:
    if provider == "lattice":
        return LatticeProducts(me=me, peer=PEERS[me], terms=terms, entropy=SystemEntropy())
    return DealtProducts(me=me, peer=PEERS[me], dealer="d", terms=terms, entropy=SystemEntropy())


def session(provider: str, rows: int, columns: int, bits: int, queries: int) -> tuple[list[Phase], list[float]]:
    """At most two products of the matrix with a vector each, then the row-wise ones; and the floors."""
    matrices = (MatrixTerms(holder="a", columns=columns, bits=bits, vectors=queries),)
    products = min(2, queries)
    terms = ProductTerms(rows=rows, prime_bits=PRIME_BITS, matrices=matrices, rank=max(RANKS), rowwise=QUERIES)
    prime, rng = terms.prime, np.random.default_rng(1)
    names = [*(f"product {i}" for i in range(products)), *(f"rows {i}" for i, _ in enumerate(RANKS))]
    clock = Clock(names)
    matrix = rng.integers(0, 1 << bits, (rows, columns)).astype(np.int8 if bits == 1 else np.int16)
    vector = uniform(b"v" * 16, (rows, 1), prime)
    left = [uniform(b"l" * 16, (rows, rank), prime) for rank in RANKS]
    right = [uniform(b"r" * 16, (rows, rank), prime) for rank in RANKS]

    def end(me: str, calls: Callable[[Products], list[Callable[[], Role[Any]]]]) -> Role[list[Any]]:
        products, found = made(provider, me, terms), []
        yield from products.set_up()
        for call in calls(products):
            found.append((yield from call()))
            clock.stop()
        yield from products.finish()
        return found

    def calls_of_a(p: Products) -> list[Callable[[], Role[Any]]]:
        rows = [partial(p.rowwise_left, name, f) for name, f in zip(names[products:], left, strict=True)]
        return [*(partial(p.matrix, name, matrix) for name in names[:products]), *rows]

    def calls_of_b(p: Products) -> list[Callable[[], Role[Any]]]:
        rows = [partial(p.rowwise_right, name, g) for name, g in zip(names[products:], right, strict=True)]
        return [*(partial(p.vectors, name, vector) for name in names[:products]), *rows]

    roles = {"a": end("a", calls_of_a), "b": end("b", calls_of_b)}
    if provider == "dealer":
        roles["d"] = Dealer(ends=("a", "b"), terms=terms).serve()
    outputs = together(roles, clock.transcript)
    floors = []
    for i, (one, other) in enumerate(zip(outputs["a"], outputs["b"], strict=True)):
        before = cpu_s()
        if i < products:
            wanted = transposed_product(matrix, vector, prime, bits=bits)
        else:
            pairs = zip(left[i - products].T, right[i - products].T, strict=True)
            wanted = sum((times(f, g, prime) for f, g in pairs), np.zeros(rows, np.int64)) % prime
        floors.append(cpu_s() - before)
        if not ((one + other) % prime == wanted).all():
            raise SystemExit(f"{provider}: {names[i]} is wrong")
    return clock.phases(), floors


def main(most: int) -> None:
    where, report = machine(), []
    session("lattice", min(most, 20_000), 2, 1, 1)  # imports, and workers
    for *sizes, bits in SIZES:
        rows, columns = (min(size, most) for size in sizes)
        print(f"\n{rows:,} x {columns}, entries of {bits} bits, modulo a prime of {PRIME_BITS} bits")
        for provider in ("lattice", "dealer"):
            alone, floor_alone = session(provider, rows, columns, bits, 1)
            phases, floors = session(provider, rows, columns, bits, QUERIES)
            phases, floors = [alone[0], *phases], [floor_alone[0], *floors]
            for name, phase, floor in zip(WHAT, phases, floors, strict=True):
                print(
                    f"{provider:8} {name:24} {phase.cpu_s:7.2f} CPU s {phase.wall_s:7.2f} wall s "
                    f"{phase.bytes / 1e6:8.2f} MB   floor {floor:5.2f} CPU s"
                )
                report.append({"rows": rows, "columns": columns, "bits": bits, "provider": provider, "what": name})
                report[-1] |= phase._asdict() | {"floor_cpu_s": floor}
    print(json.dumps({"benchmark": "joint", "machine": where, "products": report}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

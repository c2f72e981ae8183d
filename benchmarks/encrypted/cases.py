"""The tasks: sums over parties, federated averaging, scoring, a vertical gradient; ours beside the other ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from privsdk import he
from privsdk.crypto.seal.schemes import ExactScheme
from privsdk.crypto.sums.encrypted import EncryptedSum
from privsdk.he.statistics.fixedpoint import FixedPoint
from privsdk.testing import Sent, together

from . import tutorial
from .meter import Meter
from .raw import Raw

PARTIES = 10
BOUND, ERROR = 4.0, 1e-5
GRID = FixedPoint(bound=2.0**30, resolution=2.0**-30)  # of updates weighted by up to 2^24 rows
FEATURES = 30


def sent(table: pa.Table) -> bytes:
    """A table as it travels: an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def received(blob: Any) -> pa.Table:
    return pa.ipc.open_stream(blob).read_all()


def vectors(values: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=values).clip(-BOUND, BOUND) for _ in range(PARTIES)]


def sums(values: int, repeats: int) -> list[Meter]:
    """One column of every party added under encryption, and every total revealed."""
    columns = vectors(values)
    exact = np.sum(columns, axis=0)
    preset = he.choose(lambda xs: sum(xs[1:], xs[0]), error=ERROR, xs=[he.Range(bound=BOUND, length=values)] * PARTIES)
    ckks = he.choose(
        lambda xs: sum(xs[1:], xs[0]),
        error=1e-3,
        scheme="ckks",
        xs=[he.Range(bound=BOUND, length=values)] * PARTIES,
    )
    key, real = he.SecretContext.new(preset), he.SecretContext.new(ckks)
    raw, raw_secret, context = Raw(preset, symmetric=False), Raw(preset, symmetric=True), tutorial.context()
    ways: list[tuple[Meter, Callable[[Meter], np.ndarray]]] = [
        (Meter("privsdk, public key"), lambda m: _our_sums(m, columns, key, key.public)),
        (Meter("floor: raw SEAL, public key"), lambda m: _raw_sums(m, columns, raw)),
        (Meter("privsdk, secret key"), lambda m: _our_sums(m, columns, key, key)),
        (Meter("floor: raw SEAL, secret key"), lambda m: _raw_sums(m, columns, raw_secret)),
        (Meter("privsdk, CKKS, public key"), lambda m: _our_sums(m, columns, real, real.public)),
        (Meter("TenSEAL as in its tutorials"), lambda m: _tutorial_sums(m, columns, context)),
    ]
    for i in range(repeats):
        real = he.SecretContext.new(ckks)  # a CKKS key reveals a limited number of ciphertexts
        for meter, way in ways if i % 2 == 0 else reversed(ways):
            found = way(meter)
            meter.facts["error"] = float(np.abs(found - exact).max())
    for meter, _ in ways:
        if "CKKS" in meter.name or "TenSEAL" in meter.name:
            meter.facts["preset"] = str(ckks) if "privsdk" in meter.name else "CKKS, ring 8192 [60, 40, 40, 60], 2^40"
        else:
            meter.facts["preset"] = str(preset)
            meter.facts["limbs"] = preset.limbs
    return [meter for meter, _ in ways]


def _our_sums(meter: Meter, columns: Sequence[np.ndarray], key: he.SecretContext, by: Any) -> np.ndarray:
    blobs = []
    with meter.phase("encrypt"):
        made = [he.encrypt(column, BOUND, by) for column in columns]
    with meter.phase("send"):
        blobs = [sent(pa.table({"x": column.to_arrow()})) for column in made]
        tables = [received(blob) for blob in blobs]
    with meter.phase("add"):
        arrived = [he.Column.from_arrow(table["x"], key.public) for table in tables]
        total = sum(arrived[1:], arrived[0])
        total.rows()
    with meter.phase("reveal"):
        shown = he.reveal(total, key)
    meter.facts["bytes_a_value"] = sum(blob.size for blob in blobs) / len(columns) / len(columns[0])
    meter.facts["stated_error"] = shown.error
    return shown.values


def _raw_sums(meter: Meter, columns: Sequence[np.ndarray], raw: Raw) -> np.ndarray:
    with meter.phase("encrypt"):
        made = [raw.encrypt(column) for column in columns]
    with meter.phase("send"):
        pass
    with meter.phase("add"):
        total = raw.add(made)
    with meter.phase("reveal"):
        found = raw.decrypt(total, len(columns[0]))
    meter.facts["bytes_a_value"] = sum(len(row) for rows in made for row in rows) / len(columns) / len(columns[0])
    return found


def _tutorial_sums(meter: Meter, columns: Sequence[np.ndarray], context: Any) -> np.ndarray:
    with tutorial.unheard(), meter.phase("encrypt"):
        made = [tutorial.encrypt(context, column) for column in columns]
    with meter.phase("send"):
        pass
    with meter.phase("add"):
        total = tutorial.add(context, made)
    with meter.phase("reveal"):
        found = tutorial.decrypt(context, total)
    meter.facts["bytes_a_value"] = sum(map(len, made)) / len(columns) / len(columns[0])
    return found


def fedavg(values: int, repeats: int) -> list[Meter]:
    """Weighted updates on federated averaging's grid, through the whole protocol, beside raw SEAL with its limbs."""
    rng = np.random.default_rng(2)
    names = tuple(f"p{i}" for i in range(PARTIES))
    scheme = ExactScheme(parties=PARTIES, length=values, max_units=GRID.max_units)
    updates = [rng.normal(size=values) * 600 for _ in names]
    raw = Raw(scheme.preset, symmetric=False)
    ours, floor = Meter(f"privsdk, {scheme.limbs} limbs"), Meter(f"floor: raw SEAL, {scheme.limbs} limbs")

    def holder() -> Any:
        sum_ = EncryptedSum(me="k", clients=names, coordinator="k", scheme=scheme)
        yield from sum_.set_up()
        found = yield from sum_.collect("update", names, values, scheme.max_units)
        return found.sums

    def contributor(name: str, units: np.ndarray) -> Any:
        sum_ = EncryptedSum(me=name, clients=names, coordinator="k", scheme=scheme)
        yield from sum_.set_up()
        yield from sum_.contribute("update", names, units, scheme.max_units)

    for _ in range(repeats):
        transcript: list[Sent] = []
        with ours.phase("all"):
            units = [GRID.to_units(update) for update in updates]
            roles = {name: contributor(name, mine) for name, mine in zip(names, units, strict=True)}
            totals = together({**roles, "k": holder()}, transcript)["k"]
        ours.facts["exact"] = bool((totals == np.sum(np.array(units, object), axis=0)).all())
        exchanged = sum(one.size for one in transcript if one.receiver == names[-1])
        ours.facts["bytes_a_value"] = exchanged / (PARTIES - 1) / values
        with floor.phase("all"):
            rows = [raw.encrypt_units(GRID.to_units(update)) for update in updates]
            found = raw.decrypt_units(raw.add(rows), values)
        floor.facts["exact"] = bool((np.array(found, object) == totals).all())
        floor.facts["bytes_a_value"] = sum(map(len, rows[0])) / values
    for meter in (ours, floor):
        meter.facts |= {"preset": str(scheme.preset), "limbs": scheme.limbs}
    return [ours, floor]


def scoring(rows: int, repeats: int, sample: int) -> list[Meter]:
    """A linear score of every row: its owner encrypts under a secret key, who holds the weights computes."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(rows, FEATURES)).clip(-BOUND, BOUND)
    weights, intercept = rng.normal(size=FEATURES), 0.5
    exact = table @ weights + intercept
    ours = [_our_scoring(table, weights, intercept, exact, repeats, *asked) for asked in ((1e-3, 1024), (1e-2, 4))]
    return [*ours, *_tutorial_scoring(table, weights, intercept, exact, sample)]


def _our_scoring(
    table: np.ndarray,
    weights: np.ndarray,
    intercept: float,
    exact: np.ndarray,
    repeats: int,
    error: float,
    reveals: int,
) -> Meter:
    preset = he.choose(
        lambda xs: he.weighted_sum(xs, weights, intercept=intercept),
        error=error,
        secret=True,
        reveals=reveals,
        xs=[he.Range(bound=BOUND, length=len(table))] * FEATURES,
    )
    ours = Meter(f"privsdk, error {error:g}, {reveals:,} reveals a key")
    ours.facts["preset"] = str(preset)
    for _ in range(repeats):
        key = he.SecretContext.new(preset)
        names = {f"x{i}": table[:, i] for i in range(FEATURES)}
        with ours.phase("encrypt"):
            made = he.encrypt(pa.table(names), dict.fromkeys(names, BOUND), key)
        with ours.phase("send"):
            blob = sent(made)
            arrived = he.columns(received(blob), key.public)
        with ours.phase("score"):
            score = he.weighted_sum([arrived[name] for name in names], weights.tolist(), intercept=intercept)
            score.rows()
        with ours.phase("reveal"):
            shown = he.reveal(score, key)
        ours.facts |= {"bytes": blob.size, "stated_error": shown.error}
        ours.facts["error"] = float(np.abs(shown.values - exact).max())
    return ours


def _tutorial_scoring(
    table: np.ndarray, weights: np.ndarray, intercept: float, exact: np.ndarray, sample: int
) -> list[Meter]:
    context, some = tutorial.context(), table[:sample]
    made = []
    for name, score in (("dot", tutorial.scores), ("mm", tutorial.scores_mm)):
        meter = Meter(f"TenSEAL tutorial, a ciphertext a row, {name}")
        with meter.phase("encrypt"):
            blobs = [tutorial.encrypt(context, row) for row in some]
        with meter.phase("send"):
            pass
        with meter.phase("score"):
            scores = score(context, blobs, weights.tolist(), intercept)
        with meter.phase("reveal"):
            found = np.array([tutorial.decrypt(context, one)[0] for one in scores])
        meter.scale(len(table) / sample)
        meter.facts["bytes"] = round(sum(map(len, blobs)) * len(table) / sample)
        meter.facts["error"] = float(np.abs(found - exact[:sample]).max())
        meter.facts["extrapolated_from_rows"] = sample
        made.append(meter)
    return made


def gradient(rows: int, repeats: int, sample: int) -> list[Meter]:
    """The transpose of a plain matrix times encrypted residuals: the step between parties of vertical regression."""
    rng = np.random.default_rng(4)
    matrix, residuals = rng.normal(size=(rows, FEATURES)).clip(-BOUND, BOUND), rng.uniform(-1, 1, rows)
    exact = matrix.T @ residuals
    preset = he.choose(lambda r: he.dot(r, matrix), error=1.0, secret=True, r=he.Range(bound=1, length=rows))
    ours = Meter("privsdk, a ciphertext a chunk")
    ours.facts["preset"] = str(preset)
    for _ in range(repeats):
        key = he.SecretContext.new(preset)
        with ours.phase("encrypt"):
            made = he.encrypt(residuals, 1.0, key)
        with ours.phase("send"):
            blob = sent(pa.table({"r": made.to_arrow()}))
            arrived = he.Column.from_arrow(received(blob)["r"], key.public)
        with ours.phase("multiply"):
            sums = he.dot(arrived, matrix)
        with ours.phase("reveal"):
            shown = [he.reveal(one, key) for one in sums]
        ours.facts |= {"bytes": blob.size, "stated_error": max(one.error for one in shown)}
        ours.facts["error"] = float(np.abs(np.array([one.values for one in shown]) - exact).max())
    return [ours, _tutorial_gradient(matrix, residuals, sample)]


def _tutorial_gradient(matrix: np.ndarray, residuals: np.ndarray, sample: int) -> Meter:
    context, meter = tutorial.context(), Meter("TenSEAL, a ciphertext a row")
    with meter.phase("encrypt"):
        blobs = [tutorial.encrypt(context, np.repeat(one, FEATURES)) for one in residuals[:sample]]
    with meter.phase("send"):
        pass
    with meter.phase("multiply"):
        total = tutorial.gradient(context, blobs, matrix[:sample])
    with meter.phase("reveal"):
        found = tutorial.decrypt(context, total)
    meter.scale(len(matrix) / sample, names=("encrypt", "send", "multiply"))
    meter.facts["bytes"] = round(sum(map(len, blobs)) * len(matrix) / sample)
    meter.facts["error"] = float(np.abs(found - matrix[:sample].T @ residuals[:sample]).max())
    meter.facts["extrapolated_from_rows"] = sample
    return meter

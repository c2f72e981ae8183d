"""Trainings on real rows that attacks are run against, and what an attacker has of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from seen import Reals, Received, single_updates

import privsdk as ps
from privsdk import fl, workshop
from privsdk.fl.models.model import Model
from privsdk.fl.preparation import Preparation

LEARNING_RATE = 0.1
PIXELS = {"pixels": fl.Vector(784, 0, 255)}
COARSE = 196
USES = ("training feature", "training label", "model update", "aggregate", "HE operand")
POLICY = ps.Policy(operations=("fl.fit",), grants=(ps.Grant(table="*", columns={"*": USES}),), min_parties=2)
DELTA = 1e-5
BUDGET = ps.Budget(epsilon=100, delta=DELTA, exact=1000)


_digits = cache(workshop.digits)


def digits(rows: int, parties: int = 3) -> dict[str, pa.Table]:
    """So many handwritten digits at each party, four in five of one digit at each."""
    held = _digits().parties
    return {name: held[name]["digits"].slice(0, rows) for name in list(held)[:parties]}


def some_digits(rows: int, seed: int) -> pa.Table:
    """So many digits of all parties, in any order."""
    held = pa.concat_tables([each["digits"] for each in _digits().parties.values()])
    return held.take(pa.array(np.random.default_rng(seed).permutation(len(held))[:rows]))


def coarse(rows: int, seed: int) -> pa.Table:
    """The same, of 14 by 14 pixels: means of four."""
    taken = some_digits(rows, seed)
    pixels = pixels_of(taken).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return pa.table(
        {"digit": taken["digit"], "pixels": pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), COARSE)}
    )


def pixels_of(table: pa.Table) -> Reals:
    """A row of pixels for each row, from 0 to 255."""
    found = table["pixels"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    return np.asarray(found, np.float64)


class Step(NamedTuple):
    """One step over all training rows, and what came of it.

    Attributes
    ----------
    single : each client's mean gradient, as the coordinator finds it in its messages
    average : the mean gradient of all, which follows from the model that everyone gets
    x, y : the training rows and labels of each client: what the attacker is after
    epsilon : what it was charged at DELTA, the largest of all clients; infinite without privacy
    """

    single: Mapping[str, Reals]
    average: Reals
    x: Mapping[str, Reals]
    y: Mapping[str, Any]
    epsilon: float

    @property
    def rows(self) -> int:
        return sum(map(len, self.y.values()))


def one_step(
    model: Model, tables: Mapping[str, pa.Table], received: Received, *, label: str = "digit", **options: Any
) -> Step:
    """`fl.fit` of one round of one step over all rows; a notary without rows coordinates and keeps what it receives."""
    received.clear()
    held: dict[str, Any] = {name: {"t": table} for name, table in tables.items()}
    with ps.embedded({**held, "notary": {}}, store=None, quiet=True, policy=POLICY, budget=BUDGET) as fed:
        plan = fl.fit(model, fed.tables("t"), label=label, rounds=1, learning_rate=LEARNING_RATE, **options)
        fitted = plan.release().value
        spent = max(b.epsilon_spent for name in tables for b in fed.budgets()[name])
    private = options.get("privacy")
    x, y = {}, {}
    for number, (name, table) in enumerate(tables.items()):
        prepared = Preparation(
            model, table, label=label, class_weights=None, share=0.2, seed=(0, number), party=name,
            clients=len(tables), min_count=0, owners=None, private=private,
        )  # fmt: skip
        rows = prepared.rows(prepared.statistics())
        x[name], y[name] = rows.x.astype(np.float64), rows.y
    single = {name: -update / LEARNING_RATE for name, update in single_updates(received["notary"]).items()}
    average = (model.network.initial(0) - fitted.weights.astype(np.float64)) / LEARNING_RATE
    return Step(single, average, x, y, spent if private else np.inf)

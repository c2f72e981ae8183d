"""Federated averaging: parties train on their own rows, and only the sum of their weighted updates is opened.

Paper: H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-Efficient Learning of Deep
Networks from Decentralized Data", AISTATS 2017, algorithm 1, with C = 1 (all parties in every round). The average is
taken over a sum provider (`he.sums.Summation`), in place of a server that sees each update.

    coordinator (key holder)                     contributor k, with n_k rows (of a batch, where there are batches)
    --- Model: round t, w_t ------------------->  w_k = local steps of gradient descent from w_t
    <== sum over k of (n_k (w_k - w_t), n_k, n_k loss_k(w_t)), by the sum provider
    w_{t+1} = w_t + sum of n_k (w_k - w_t) / sum of n_k

A step's update is a mean over n_k rows, so for one local step the sum is that of all rows' gradients, whatever the
parties' shares; weights other than the rows of the step would let a solver take the shares apart.

Learns: everyone the model after each round; the coordinator and the caller also the number of training rows and their
mean loss; with the encrypted sum no one sees a single party's update. A model that is seen tells something about the
rows it was trained on; this is not differential privacy. Assumes what the sum provider assumes. Collusion: all
contributors but one, together, know the last one's update.

Values are summed in fixed point. An update of more than `UPDATE_BOUND` in any weight, or one that is not finite, is
refused by its party: training diverged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from ..errors import DataError, ProtocolViolation
from ..fixedpoint import FixedPoint
from ..he.sums import Summation
from ..messages import Message
from ..protocol import Role, checkpoint, hear, tell_all
from .models import Reals, Rows, evaluate, mean_gradient, mean_loss

UPDATE_BOUND = 2.0**6
MAX_ROWS = 2**24
GRID = FixedPoint(bound=UPDATE_BOUND * MAX_ROWS, resolution=2.0**-30)  # of a weighted update
WEIGHTS = pa.schema([pa.field("weight", pa.float64(), nullable=False)])


class Model(Message, frozen=True, kw_only=True, tag="fl.fedavg.Model"):
    """The global weights before a round, or the final ones."""

    SCHEMA = WEIGHTS
    MAX_BYTES = 16 << 20
    round: int
    table: pa.Table


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How training goes: rounds of `local_steps` gradient steps each, on batches of `batch_size` rows (0: all)."""

    rounds: int
    local_steps: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What the coordinator ends with: final weights, and for each round the training rows and loss before it."""

    weights: Reals
    rows: list[int]
    loss: list[float]


def vector_length(size: int) -> int:
    """Entries of the summed vector for a model of `size` weights: updates, rows, loss."""
    return size + 2


def rows_a_step(schedule: Schedule, rows: Rows) -> int:
    """Rows in each local step of a party: its weight in the average."""
    return min(schedule.batch_size, len(rows)) if schedule.batch_size else len(rows)


def quantisation_bound(parties: int, total_rows: int) -> float:
    """Largest error that rounding to the grid puts into any averaged weight in one round."""
    return parties * GRID.resolution / 2 / total_rows


def coordinator(summation: Summation, *, size: int, schedule: Schedule, contributors: tuple[str, ...]) -> Role[Trained]:
    weights = np.zeros(size)
    rows, loss = [], []
    yield from summation.set_up()
    for t in range(schedule.rounds):
        yield from checkpoint("rounds", t, schedule.rounds)
        yield from tell_all(dict.fromkeys(contributors, _model(t, weights)))
        *updates, n, weighted_loss = yield from summation.collect()
        if n < 1:
            raise ProtocolViolation("the contributors' numbers of rows do not add up to a positive number")
        weights = weights + np.array([GRID.from_units(units) / n for units in updates])
        rows.append(n)
        loss.append(GRID.from_units(weighted_loss) / n)
    yield from tell_all(dict.fromkeys(contributors, _model(schedule.rounds, weights)))
    return Trained(weights=weights, rows=rows, loss=loss)


def contributor(
    summation: Summation,
    *,
    party: str,
    coordinator: str,
    training: Rows,
    held_out: Rows,
    schedule: Schedule,
    rng: np.random.Generator,
) -> Role[Mapping[str, float]]:
    """Trains, and returns the final model's evaluation on the held-out rows."""
    if not 1 <= len(training) <= MAX_ROWS:
        raise DataError(f"{party} has {len(training)} complete training rows; 1 to {MAX_ROWS} can take part")
    yield from summation.set_up()
    for t in range(schedule.rounds):
        start = yield from _hear_model(coordinator, t, training.x.shape[1])
        loss = mean_loss(start, training)
        end = yield from _train(start, training, schedule, rng)
        yield from summation.contribute(_weighted(end - start, rows_a_step(schedule, training), loss, party, t))
    final = yield from _hear_model(coordinator, schedule.rounds, training.x.shape[1])
    return evaluate(final, held_out)


def _train(weights: Reals, rows: Rows, schedule: Schedule, rng: np.random.Generator) -> Role[Reals]:
    for step in range(schedule.local_steps):
        yield from checkpoint("local steps", step, schedule.local_steps)
        size = rows_a_step(schedule, rows)
        batch = rows if size == len(rows) else rows.take(rng.choice(len(rows), size, replace=False))
        weights = weights - schedule.learning_rate * mean_gradient(weights, batch)
    return weights


def _weighted(update: Reals, n: int, loss: float, party: str, t: int) -> list[int]:
    if not (np.isfinite(update).all() and np.abs(update).max() <= UPDATE_BOUND and 0 <= loss <= UPDATE_BOUND):
        raise DataError(
            f"{party}'s training diverged in round {t + 1}: nothing of that round was sent",
            hint="use a smaller learning_rate or fewer local_steps",
        )
    units = GRID.to_units(n * np.append(update, loss)).tolist()
    return [*units[:-1], n, units[-1]]


def _model(t: int, weights: Reals) -> Model:
    return Model(round=t, table=pa.table({"weight": pa.array(weights)}, schema=WEIGHTS))


def _hear_model(coordinator: str, t: int, size: int) -> Role[Reals]:
    model = yield from hear(coordinator, Model)
    weights: Reals = model.table.column("weight").to_numpy()
    if model.round != t or len(weights) != size or not all(map(math.isfinite, weights)):
        raise ProtocolViolation(f"{coordinator} sent a model that does not fit round {t}")
    return weights

"""What a notebook calls of fl, and the declaration of `fl.fit`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import pyarrow as pa

from ..calls import Finished
from ..charges import Debit, Exact
from ..displays import Card, Displayed, Grid, at_most, grid_of
from ..errors import DataError, InvalidArgument
from ..handles import Table, Tables, as_tables, new_request, runner_of
from ..he import schemes
from ..he.star import check_star, pick_key_holder, star_contributors
from ..he.sums import EncryptedSum
from ..operations import Kind, Operation, Outcome, Request, RoleInput, of_kinds, register
from ..privacy import Disclosure, Learns, Need
from ..protocol import Role
from ..results import Plan
from . import fedavg
from .fedavg import GRID, MAX_ROWS, Schedule
from .models import Logistic, Reals, Rows, complete_rows, probabilities

MAX_ROUNDS = 10_000


class Fitted(Displayed):
    """A jointly trained model.

    Attributes
    ----------
    model : Logistic
    weights : float64 array of shape (features + 1,)
        For features scaled to [-1, 1]; the intercept last.
    history : Arrow table
        round, rows in a step, and the mean loss of all training rows in nats before the round's step.
    evaluation : Arrow table
        For each party on its held-out rows: rows, accuracy, majority, log_loss, auc; null where a party withheld them.
    """

    def __init__(self, *, model: Logistic, weights: Reals, history: pa.Table, evaluation: pa.Table) -> None:
        self.model = model
        self.weights = weights
        self.history = history
        self.evaluation = evaluation

    def predict(self, table: pa.Table) -> pa.Array:
        """P(label) of each row of a local table; null where a feature is null."""
        missing = [name for name in self.model.features if name not in table.column_names]
        if missing:
            raise InvalidArgument(
                f"the table lacks {', '.join(missing)}", hint=f"columns needed: {', '.join(self.model.features)}"
            )
        p = probabilities(self.weights, self.model.design(table, party="the table"))
        return pa.array(p, mask=np.isnan(p))

    def __str__(self) -> str:
        losses = self.history.column("loss").to_pylist()
        return f"logistic model, {self.history.num_rows} rounds, loss {losses[0]:.4f} to {losses[-1]:.4f}"

    def _card(self) -> Card:
        weights = [(n, f"{w:+.4f}") for n, w in zip((*self.model.features, "intercept"), self.weights, strict=True)]
        return Card(
            title=str(self),
            grids=(
                ("on each party's held-out rows", grid_of(self.evaluation)),
                ("weights", Grid(header=("feature, scaled to [-1, 1]", "weight"), rows=weights)),
            ),
        )


def fit(
    model: Logistic,
    tables: Tables | Table | list[Table],
    *,
    label: str,
    rounds: int = 20,
    learning_rate: float = 1.0,
    local_steps: int = 1,
    batch_size: int | None = None,
    held_out: float = 0.2,
    seed: int = 0,
    key_holder: str | None = None,
) -> Plan[Fitted]:
    """Train a model over several parties' rows by federated averaging, its updates summed under encryption.

    Parameters
    ----------
    model : Logistic
    tables : Tables
        One table a party with the same columns. Rows with a null or NaN in a feature or the label are left out.
    label : str
        Boolean column, or one of 0 and 1.
    rounds, local_steps : int
        Averaging rounds, and gradient steps at each party in a round.
    learning_rate : float
        Step size for features scaled to [-1, 1].
    batch_size : int, optional
        Rows drawn for each local step, at least the owners' minimum count; default all.
    held_out : float
        Share of each party's rows kept from training, on which it evaluates the final model.
    seed : int
        Of the split and the batches, so that a run can be repeated.
    key_holder : str, optional
        The party that coordinates and decrypts; default the first that holds none of the tables.

    Learns
    ------
    Everyone: the averaged model of each round. Key holder and caller: number of training rows and their mean loss.
    Caller: each party's evaluation. No one: a single party's update.

    Source: McMahan et al., AISTATS 2017, algorithm 1; see `privsdk.fl.fedavg`.
    """
    group = as_tables(tables)
    runner = runner_of(*group)
    if not isinstance(model, Logistic):
        raise InvalidArgument(
            f"fl.fit trains a model such as fl.Logistic, not a {type(model).__name__}",
            hint="parties never run code that a notebook sends; choose a model of fl",
        )
    operands = {table.party: table.operand(*model.features, label) for table in group}
    for table in group:
        table.expect(dict.fromkeys((*model.features, label), Kind.NUMBER))
    holder = pick_key_holder(runner, tuple(operands), key_holder)
    parameters = FitParameters(
        model=model,
        label=label,
        schedule=Schedule(
            rounds=rounds, local_steps=local_steps, batch_size=batch_size or 0, learning_rate=float(learning_rate)
        ),
        held_out=float(held_out),
        seed=seed,
    )
    request = new_request(
        runner,
        "fl.fit",
        parties=(*operands, holder),
        operands=operands,
        parameters=msgspec.to_builtins(parameters),
    )

    def finish(answers: Mapping[str, Finished]) -> Fitted:
        return _fitted(model, answers, holder)

    rounding = fedavg.quantisation_bound(1, 1)  # n parties have at least n rows
    notes = (
        ("keys", f"{holder} coordinates and holds the key; {request.parties[-2]} adds the ciphertexts"),
        ("rounding", f"at most {at_most(rounding)} in any averaged weight in each round"),
    )
    return Plan(runner, request, finish, notes=notes)


def _fitted(model: Logistic, answers: Mapping[str, Finished], holder: str) -> Fitted:
    value = answers[holder].value
    history = pa.table({"round": list(range(1, len(value["rows"]) + 1)), "rows": value["rows"], "loss": value["loss"]})
    fields = ("rows", "accuracy", "majority", "log_loss", "auc")
    parties = [party for party in answers if party != holder]
    evaluation = {"party": parties} | {
        field: pa.array([answers[p].value.get(field) for p in parties], pa.int64() if field == "rows" else pa.float64())
        for field in fields
    }
    return Fitted(model=model, weights=np.array(value["weights"]), history=history, evaluation=pa.table(evaluation))


class FitParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: Logistic
    label: str
    schedule: Schedule
    held_out: float
    seed: int

    def __post_init__(self) -> None:
        s = self.schedule
        if not 1 <= s.rounds <= MAX_ROUNDS:
            raise InvalidArgument(f"{s.rounds} rounds", hint=f"give 1 to {MAX_ROUNDS}")
        if s.local_steps < 1 or s.batch_size < 0:
            raise InvalidArgument(f"{s.local_steps} local steps on batches of {s.batch_size}", hint="give 1 or more")
        if not 0 < s.learning_rate < math.inf:
            raise InvalidArgument(f"learning_rate is {s.learning_rate}", hint="give a positive number, such as 0.5")
        if not 0 < self.held_out < 1:
            raise InvalidArgument(f"held_out is {self.held_out}", hint="give a share between 0 and 1, such as 0.2")
        if self.seed < 0:
            raise InvalidArgument(f"seed is {self.seed}", hint="give 0 or more")
        if self.label in self.model.features:
            raise InvalidArgument(f"the label {self.label!r} is among the features", hint="leave it out of them")


def _scheme(request: Request, parameters: FitParameters) -> schemes.Exact:
    length = fedavg.vector_length(parameters.model.size)
    return schemes.Exact(parties=len(request.operands), length=length, max_units=max(GRID.max_units, MAX_ROWS))


def _check(request: Request, parameters: FitParameters) -> None:
    check_star(request)
    named = (*parameters.model.features, parameters.label)
    if any(operand.columns != named or operand.alignment for operand in request.operands.values()):
        raise InvalidArgument("fl.fit takes the model's features and the label from a base table of each party")
    _scheme(request, parameters)


def _kinds(request: Request, parameters: FitParameters) -> Mapping[str, Kind]:
    return dict.fromkeys((*parameters.model.features, parameters.label), Kind.NUMBER)


def _needs(request: Request, parameters: FitParameters) -> dict[str, tuple[Need, ...]]:
    def of(table: str) -> tuple[Need, ...]:
        features = (
            Need(table=table, column=name, disclosure=Disclosure.TRAINING_FEATURE, result="the model's features")
            for name in parameters.model.features
        )
        label = Need(
            table=table, column=parameters.label, disclosure=Disclosure.TRAINING_LABEL, result="what it predicts"
        )
        return (*features, label)

    return {party: of(operand.table) for party, operand in request.operands.items()}


def _price(request: Request, parameters: FitParameters) -> dict[str, tuple[Debit, ...]]:
    charge = Exact(what="model rounds and one evaluation", uses=parameters.schedule.rounds + 1)
    return {party: (Debit(table=o.table, charge=charge),) for party, o in request.operands.items()}


def _everyone(request: Request, parameters: FitParameters) -> tuple[str, ...]:
    return (*request.parties, request.caller)


def _learns(request: Request, parameters: FitParameters) -> tuple[Learns, ...]:
    *contributors, aggregator, holder = request.parties
    counts = "the number of training rows over all parties and their mean loss"
    return (
        Learns(who=", ".join((*contributors, aggregator)), what="the averaged model of each round"),
        Learns(who=holder, what=f"the averaged model of each round, {counts}"),
        Learns(
            who=request.caller, what=f"the final model, {counts} each round, each party's evaluation and held-out rows"
        ),
        Learns(who="onlooker", what="the number of rounds and of features, roughly"),
        Learns(who=f"{aggregator} and {holder} together", what="every party's updates: the collusion threshold is 1"),
    )


def _role(given: RoleInput, parameters: FitParameters) -> Role[Outcome]:
    request, scheme = given.request, _scheme(given.request, parameters)
    contributors, holder = request.parties[:-1], request.parties[-1]
    summation = EncryptedSum(scheme, me=given.party, contributors=contributors, key_holder=holder)
    if given.party == holder:
        trained = yield from fedavg.coordinator(
            summation, size=parameters.model.size, schedule=parameters.schedule, contributors=contributors
        )
        return Outcome(value={"weights": trained.weights.tolist(), "rows": trained.rows, "loss": trained.loss})
    if 0 < parameters.schedule.batch_size < given.min_count:
        raise DataError(
            f"{given.party} trains on batches of at least its minimum count of {given.min_count} rows",
            hint="use a larger batch_size",
        )
    rng = np.random.default_rng([parameters.seed, contributors.index(given.party)])
    training, held_out = _split(given, parameters, rng)
    scores = yield from fedavg.contributor(
        summation,
        party=given.party,
        coordinator=holder,
        training=training,
        held_out=held_out,
        schedule=parameters.schedule,
        rng=rng,
    )
    if len(held_out) < given.min_count:
        return Outcome()
    return Outcome(value={"rows": len(held_out), **{k: None if math.isnan(v) else v for k, v in scores.items()}})


def _split(given: RoleInput, parameters: FitParameters, rng: np.random.Generator) -> tuple[Rows, Rows]:
    rows = complete_rows(parameters.model, given.table, parameters.label, party=given.party)
    order = rng.permutation(len(rows))
    cut = round(len(rows) * parameters.held_out)
    if len(rows) - cut < given.min_count or cut < 1:
        raise DataError(
            f"{given.party} has too few complete rows: training takes at least its minimum count of {given.min_count}",
            hint="leave this party out, or choose features with fewer nulls",
        )
    return rows.take(order[cut:]), rows.take(order[:cut])


register(
    Operation(
        name="fl.fit",
        parameters=FitParameters,
        check=_check,
        needs=_needs,
        price=_price,
        learns=_learns,
        role=_role,
        fits=of_kinds(_kinds),
        contributors=star_contributors,
        recipients=_everyone,
    )
)

"""`fl.cross_validate` as a notebook calls it, and what it finds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import msgspec
import pyarrow as pa

from ...client.plan import Plan
from ...client.results import Answers
from ...client.tables import Table, Tables, as_tables, new_request, runner_of
from ...display.cards import Card, Displayed, Grid, cell
from ...display.tabular import Tabular
from ...errors import InvalidArgument, UnknownName
from ...errors.absent import NoContainer
from ...errors.calls import expect, verb
from ...errors.inputs import ValidationMisfit
from ...protocol.columns.keys import Key
from ..aggregation import mode_named
from ..models.evaluation import SCORES
from ..models.model import Model, check_model
from ..models.network import Output
from ..parameters import DEADLINE_S, Aggregation, Strategies, check_types, parameters_of
from .operation import MOST_FOLDS, CrossValidate, ValidationParameters

GRID = (
    "model",
    "rounds",
    "learning_rate",
    "local_steps",
    "local_epochs",
    "batch_size",
    "strategy",
    "class_weights",
)
HIGHER_IS_BETTER = ("accuracy", "auc", "r2")


@dataclass(kw_only=True, eq=False, repr=False)
class Validation(Displayed, Tabular, NoContainer):
    """How well candidates predict rows that they were not trained on.

    Attributes
    ----------
    candidates : list of dict
        The arguments that each candidate has of the grid; one empty dict without a grid.
    folds : int
    scoring : str
        The score by which they are compared.
    scores : Arrow table
        For each candidate (by its place in the list), fold and party: rows and the scores of
        `privsdk.fl.models.evaluation`; null where a party suppressed them or one is undefined.
    """

    candidates: list[dict[str, Any]]
    folds: int
    scoring: str
    scores: pa.Table

    @property
    def means(self) -> list[float]:
        """Of each candidate the mean of the score over folds; NaN where none was told."""
        return [mean for mean, _ in map(self._score, range(len(self.candidates)))]

    @property
    def best(self) -> dict[str, Any]:
        """Arguments of the candidate with the best mean, to train with: `fl.fit(model, tables, label=..., **best)`."""
        sign = -1 if self.scoring in HIGHER_IS_BETTER else 1
        told = [(sign * mean, number) for number, mean in enumerate(self.means) if not math.isnan(mean)]
        if not told:
            raise InvalidArgument(ValidationMisfit(wrong="untold"))
        return self.candidates[min(told)[1]]

    def to_arrow(self) -> pa.Table:
        """The scores."""
        return self.scores

    def _score(self, candidate: int) -> tuple[float, float]:
        """The mean over folds, in each over parties by their rows, and the folds' deviation."""
        folds: dict[int, list[tuple[float, int]]] = {}
        for row in self.scores.to_pylist():
            if row["candidate"] == candidate and row[self.scoring] is not None:
                folds.setdefault(row["fold"], []).append((row[self.scoring], row["rows"]))
        if not folds:
            return math.nan, math.nan
        means = [sum(score * n for score, n in fold) / sum(n for _, n in fold) for fold in folds.values()]
        return statistics.fmean(means), statistics.pstdev(means)

    def _card(self) -> Card:
        rows = []
        for number, candidate in enumerate(self.candidates):
            mean, deviation = self._score(number)
            rows.append((_named(candidate) or "as asked", cell(mean, 4), cell(deviation, 4)))
        grid = Grid(header=("candidate", f"mean {self.scoring}", "deviation over folds"), rows=rows)
        several = len(self.candidates) > 1 and not all(map(math.isnan, self.means))
        facts = [("best", _named(self.best))] if several else []
        return Card(title=f"cross-validation over {self.folds} folds", facts=facts, grids=(("scores", grid),))


@verb
def cross_validate(
    model: Model,
    tables: Tables | Table | list[Table],
    *,
    label: str,
    folds: int = 5,
    grid: Mapping[str, Sequence[Any]] | None = None,
    scoring: str | None = None,
    rounds: int = 20,
    learning_rate: float | None = None,
    local_steps: int = 1,
    local_epochs: int | None = None,
    batch_size: int | None = None,
    strategy: Strategies | None = None,
    aggregation: Aggregation = "masked",
    class_weights: Literal["balanced"] | Mapping[Key, float] | None = None,
    seed: int = 0,
    coordinator: str | None = None,
) -> Plan[Validation]:
    """Train a model once for each fold of the rows, and evaluate it on that fold: one plan, one price, no model told.

    Every party cuts its own complete rows into folds, by the seed.

    Parameters
    ----------
    folds : int
        Parts of each party's rows; scores of a part are told where it has the party's minimum count.
    grid : mapping of argument to list, optional
        A search: every combination of these values is a candidate. Arguments: "model", "rounds", "learning_rate",
        "local_steps", "local_epochs", "batch_size", "strategy", "class_weights". Models have the same features.
    scoring : str, optional
        The score that candidates are compared by. Default "log_loss", of numbers "rmse".
    model, tables, label, rounds, and all others
        As in `fl.fit`, which trains the best candidate on all rows.

    Returns
    -------
    Plan of Validation

    Learns
    ------
    The coordinator and the clients: of each training what `fl.fit` tells them. Caller: each party's evaluation of each
    fold, and no model.

    Examples
    --------
    >>> found = fl.cross_validate(model, tables, label="late", grid={"rounds": [10, 40]}).release().value
    >>> fl.fit(model, tables, label="late", **found.best).release()
    """
    given = locals()
    check_model(model)
    group = as_tables(tables)
    runner, clients = runner_of(*group), tuple(table.party for table in group)
    leader = mode_named(aggregation).coordinator(runner, clients, coordinator, "fl.cross_validate")
    expect("folds", folds, int)
    if folds < 2:  # of which none could be a share
        raise InvalidArgument(ValidationMisfit(wrong="folds", number=folds, most=MOST_FOLDS))
    given |= {"participation": 1.0, "fewest": None, "deadline_s": DEADLINE_S, "held_out": 1 / folds}
    given |= {"by": None, "groups": None, "evaluate_every": None}
    candidates = list(_combinations(grid))
    trainings = [
        parameters_of("fl.cross_validate", {**given, **each}, clients=clients, coordinator=leader)
        for each in candidates
    ]
    scoring = _scoring(scoring, {each.model.network.output for each in trainings})
    parameters = ValidationParameters(candidates=tuple(trainings), folds=folds)
    for table in group:
        for each in trainings:
            check_types(f"{table.party}/{table.name}", {c: table.type_of(c) for c in each.columns}, each)
    operands = {table.party: table.operand(*trainings[0].columns) for table in group}
    request = new_request(
        runner,
        "fl.cross_validate",
        parties=(*(party for party in operands if party != leader), leader),
        operands=operands,
        parameters=msgspec.to_builtins(parameters),
        exact_of=group,
    )

    def finish(answers: Answers) -> Validation:
        names = SCORES[trainings[0].model.network.output]
        rows = [
            {"candidate": number // folds, "fold": number % folds, "party": party, **told["evaluation"]}
            for party in clients
            for number, told in enumerate(answers[party].value["trainings"])
        ]
        columns = [("candidate", pa.int64()), ("fold", pa.int64()), ("party", pa.string()), ("rows", pa.int64())]
        schema = pa.schema([*columns, *((name, pa.float64()) for name in names)])
        scores = pa.Table.from_pylist(rows, schema=schema)
        return Validation(candidates=candidates, folds=folds, scoring=scoring, scores=scores)

    notes = (("trainings", f"{parameters.trainings}, one after the other"),)
    return Plan(runner, CrossValidate(request, parameters).request, finish, notes=notes)


def _combinations(grid: Mapping[str, Sequence[Any]] | None) -> Iterator[dict[str, Any]]:
    """Each candidate's own arguments."""
    if grid is not None and not isinstance(grid, Mapping):
        raise InvalidArgument(ValidationMisfit(wrong="grid", grid=f"of type {type(grid).__name__}"))
    for name, values in (grid or {}).items():
        if name not in GRID:
            raise UnknownName.among("argument", str(name), GRID, where="to search over")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise InvalidArgument(ValidationMisfit(wrong="grid", grid=f"of type {type(values).__name__} for {name}"))
    for values in product(*(grid or {}).values()):
        yield dict(zip(grid or {}, values, strict=True))


def _scoring(wanted: str | None, outputs: set[Output]) -> str:
    """The score by which models of these outputs are compared; raises where they have none in common."""
    known = [set(SCORES[output]) for output in outputs]
    shared = [name for name in SCORES[next(iter(outputs))] if all(name in each for each in known)]
    if not shared:
        raise InvalidArgument(ValidationMisfit(wrong="labels"))
    if wanted is None:
        return "log_loss" if "log_loss" in shared else shared[0]
    if wanted not in shared:
        raise UnknownName.among("score", str(wanted), shared)
    return wanted


def _named(candidate: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in candidate.items())

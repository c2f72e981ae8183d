"""A jointly trained model in the notebook's hands: its history, its evaluation, predictions on local tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..display.cards import Card, Displayed, Grid, cell, grid_of
from ..display.curves import course
from ..display.svg import Picture
from ..errors import InvalidArgument, PeerError, PrivsdkError, ProtocolViolation
from ..errors.absent import NoContainer
from ..errors.calls import verb
from ..party.tables import read_columns
from ..protocol.columns.keys import labels
from ..protocol.control import Finished, Trace
from ..protocol.operation import Outcome
from . import model_file
from .models.evaluation import SCORES, main_score
from .models.features import Scale
from .models.model import Model
from .models.network import Matrix, Vector
from .models.targets import Number
from .parameters import FitParameters
from .preparation import totals_of, usable
from .roles import HISTORY

MOST_WEIGHTS = 12  # shown of a model of one layer
MOST_GROUPS = 6  # side by side
RISES = 5  # of the loss, running, that are said
TOOK = pa.schema([("seconds", pa.float64()), ("bytes_sent", pa.int64()), ("bytes_received", pa.int64())])
_REALS = ("loss", "held_out_loss", "staleness")


@dataclass(kw_only=True, eq=False, repr=False)
class Fitted(Displayed, NoContainer):
    """A jointly trained model.

    Attributes
    ----------
    model : Linear, Logistic, Softmax or MLP
    label : str
    weights : float32 array
        Of the best model (see `best`), flat, as in `privsdk.fl.models.network`: for each layer its matrix row by row, a
        row for each input, then its biases.
    scales : mapping of column to (mean, deviation)
        Of standardised features, over all parties' training rows.
    history : Arrow table
        For each round: its number, how many clients and rows were in it, and the mean loss of their training rows
        before it; with `evaluate_every` that of all held-out rows after it; seconds, and bytes that the coordinator
        sent and received, null for rounds of an earlier run. Where updates come in the clear, the bytes of each
        client's; with `FedBuff`, whose rounds are the coordinator's steps, the mean staleness of their updates. Rows
        and loss are null in a training with differential privacy.
    evaluation : Arrow table
        For each party on its held-out rows: how many, and the scores of `privsdk.fl.models.evaluation`; null where a
        party suppressed them or one is undefined.
    curve : Arrow table
        The same scores of the models on the way, by party and round; none unless `evaluate_every` was given.
    groups : Arrow table
        By party and public group: rows and the first score, for groups that are large enough; none without `by`.
    lost : Arrow table
        Parties without whom training went on: in which round each was lost (0: before the first), and why.
    best : int
        The round after which it is the model: the last, unless an earlier one was better by figures that were told
        anyway: the mean loss of all held-out rows where models on the way are evaluated, else that of training rows
        before each round, of the same clients. With differential privacy and with `FedBuff` the last.
    ended : str
        Why there are fewer rounds than were asked for, such as whose budget ended; "" where there are not.
    resumed : int
        The round after which an interrupted training of the same name went on; 0 where it began anew.
    """

    model: Model
    label: str
    weights: Vector
    scales: Mapping[str, Scale]
    history: pa.Table
    evaluation: pa.Table
    curve: pa.Table
    groups: pa.Table
    lost: pa.Table
    best: int | None = None
    ended: str = ""
    resumed: int = 0

    @verb
    def predict(self, table: Any) -> pa.Array:
        """For each row of a local table P(label), the most probable class, or a number in the label's unit.

        The table is in any form that `ps.embedded` takes, such as an Arrow table, a pandas or polars frame, a mapping
        of column to list, the path of a Parquet or CSV file, or made by `ps.csv` or `ps.duckdb`. Of it only the model's
        columns are read, and prepared as in training. Null where a feature is missing, unless the model fills what is.
        """
        outputs, complete = self._outputs(table)
        predicted = self.model.target.decode(outputs)
        return pc.if_else(pa.array(complete), predicted, pa.scalar(None, predicted.type))

    @verb
    def probabilities(self, table: Any) -> pa.Table:
        """For each row of such a table the probability of each class, in a column of the class's name."""
        target = self.model.target
        if isinstance(target, Number):
            raise InvalidArgument(f"{self.label} is a number: there are no classes", hint="use predict")
        outputs, complete = self._outputs(table)
        if outputs.shape[1] == 1:
            outputs = np.column_stack([1 - outputs, outputs])
        columns = {
            str(name): pa.array(p.astype(np.float64), mask=~complete)
            for name, p in zip(target.classes, outputs.T, strict=True)
        }
        return pa.table(columns)

    @verb
    def save(self, path: str | Path) -> None:
        """Write model, weights and results to one Arrow file, in the place of one of that name.

        See `privsdk.fl.model_file` for the format. The file holds what the caller learned and no rows.
        """
        tables = {name: getattr(self, name) for name in model_file.TABLES}
        model_file.write(
            Path(path), model_file.Saved(self.model, self.label, self.weights, dict(self.scales), tables, self.best)
        )

    def __str__(self) -> str:
        network, losses = self.model.network, self.history.column("loss").to_pylist()
        layers = f" {'-'.join(map(str, network.widths))}, {network.size:,} weights" if self.model.widths else ""
        known = losses and losses[0] is not None
        course = f", loss {losses[0]:.4f} to {losses[-1]:.4f}" if known else ""
        return f"{_TITLES[type(self.model).__name__]}{layers}, {len(losses)} rounds{course}"

    def _outputs(self, given: Any) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        table = read_columns("the table", given, tuple(self.model.declared))
        x, complete = usable(self.model, table, self.scales, party="the table")
        x[~complete] = 0
        return self.model.network.outputs(self.weights, x), complete

    def _card(self) -> Card:
        grids = [("on each party's held-out rows", grid_of(self.evaluation, digits=4))]
        if self.groups.num_rows:
            grids.append((f"by group{self._gap()}", self._by_group()))
        if self.lost.num_rows:
            grids.append(("lost on the way", grid_of(self.lost)))
        if self.scales:
            rows = [(name, cell(scale.mean), cell(scale.deviation)) for name, scale in self.scales.items()]
            grids.append(("standardised by", Grid(header=("feature", "mean", "deviation"), rows=rows)))
        if not self.model.widths:
            grids.append(self._largest())
        facts = [("ended early", self.ended)] if self.ended else []
        facts += [("kept", f"the model after round {self.best}, the best one")] if self._is_earlier else []
        facts += [("warning", rising)] if (rising := self._rising()) else []
        facts += [("went on", f"after round {self.resumed} of an earlier run")] if self.resumed else []
        return Card(title=str(self), facts=facts, pictures=self._pictures(), grids=tuple(grids))

    @property
    def _is_earlier(self) -> bool:
        """Whether a model before the last was better."""
        return self.best is not None and self.best < self.history.num_rows

    def _rising(self) -> str:
        """What to do where the loss went up five rounds running, or ended above its start."""
        losses = [loss for loss in self.history.column("loss").to_pylist() if loss is not None]
        up = [after > before for before, after in pairwise(losses)]
        if not any(all(up[i : i + RISES]) for i in range(len(up) - RISES + 1)) and losses[-1:] <= losses[:1]:
            return ""
        return f"the loss rose, from {min(losses):.4g} to {max(losses):.4g}: train again with a smaller learning_rate"

    def _pictures(self) -> tuple[Picture, ...]:
        """The loss over the rounds, and of the models on the way each party's main score."""
        rounds = self.history.column("round").to_pylist()
        losses = list(zip(rounds, self.history.column("loss").to_pylist(), strict=True))
        score = main_score(self.model.network.output)
        scores: dict[str, list[tuple[float, float | None]]] = {}
        for row in self.curve.to_pylist():
            scores.setdefault(row["party"], []).append((row["round"], row[score]))
        drawn = (
            course("mean loss of the training rows before each round", {"loss": losses}, step="round", y="loss"),
            course(f"{score} on each party's held-out rows on the way", scores, step="round", y=score),
        )
        return tuple(picture for picture in drawn if picture is not None)

    def _gap(self) -> str:
        """How far apart a party's groups are at most, as text."""
        score = main_score(self.model.network.output)
        ranges: dict[str, list[float]] = {}
        for row in self.groups.to_pylist():
            if row[score] is not None:
                ranges.setdefault(row["party"], []).append(row[score])
        gaps = {party: max(found) - min(found) for party, found in ranges.items() if len(found) > 1}
        if not gaps:
            return ""
        widest = max(gaps, key=lambda party: gaps[party])
        return f"; the widest gap in {score} is {gaps[widest]:.3g}, at {widest}"

    def _by_group(self) -> Grid:
        """A row for each party, a column for each group: the main score, and over how many rows."""
        score, rows = main_score(self.model.network.output), self.groups.to_pylist()
        names = list(dict.fromkeys(row["group"] for row in rows))
        if len(names) > MOST_GROUPS:
            return grid_of(self.groups, digits=4)
        found = {(row["party"], row["group"]): f"{cell(row[score], 4)} over {row['rows']:,}" for row in rows}
        parties = dict.fromkeys(row["party"] for row in rows)
        shown = [(party, *(found.get((party, name), "-") for name in names)) for party in parties]
        return Grid(header=("party", *(f"{score}, {name}" for name in names)), rows=shown)

    def _largest(self) -> tuple[str, Grid]:
        """The largest weights of a model of one layer, the intercepts last."""
        (layer,) = self.model.network.layers(self.weights)
        classes = self.model.target.classes if layer.bias.size > 1 else ()
        named = [(name, k) for name in self.model.inputs for k in range(layer.bias.size)]
        flat = layer.matrix.ravel()
        order = np.argsort(-np.abs(flat), kind="stable")[:MOST_WEIGHTS]
        shown = [(*named[i], float(flat[i])) for i in order]
        shown += [("intercept", k, float(bias)) for k, bias in enumerate(layer.bias[:MOST_WEIGHTS])]
        rows = [(name, *([str(classes[k])] if classes else []), f"{weight:+.4f}") for name, k, weight in shown]
        more = f" (the largest {MOST_WEIGHTS} of {flat.size:,})" if flat.size > MOST_WEIGHTS else ""
        header = ("input", "class", "weight") if classes else ("input", "weight")
        return f"weights{more}", Grid(header=header, rows=rows)


_TITLES = {
    "Logistic": "logistic model",
    "Linear": "linear model",
    "Softmax": "softmax model",
    "MLP": "multi-layer perceptron",
}


@verb
def load(path: str | Path) -> Fitted:
    """The model that `Fitted.save` wrote to a file.

    Raises
    ------
    InvalidArgument
        It is not there, no such file, of another version, or damaged.
    """
    saved = model_file.read(Path(path))
    return Fitted(
        model=saved.model,
        label=saved.label,
        weights=saved.weights,
        scales=saved.scales,
        best=saved.best,
        **saved.tables,
    )


def fitted(
    parameters: FitParameters,
    answers: Mapping[str, Outcome | Finished],
    clients: tuple[str, ...],
    *,
    trace: Trace,
    lost: Mapping[str, PrivsdkError],
) -> Fitted:
    """The model, its history and its evaluation; raises ProtocolViolation where the coordinator's answer has none.

    Parameters
    ----------
    answers : of the coordinator, and of those clients that came to the end
    trace : when the coordinator had done which round
    lost : parties that the run went on without, each with the error that it ended with
    """
    model, coordinator = parameters.model, parameters.coordinator
    value, table = answers[coordinator].value, answers[coordinator].table
    if table is None or len(table) != model.network.size:
        raise ProtocolViolation(f"{coordinator} answered without a model, or with another")
    statistics = np.array(value["facts"], np.int64)
    # a party's own error is the cause, unless it is that the coordinator had left it
    whole = {party: e.message for party, e in lost.items() if not isinstance(e, PeerError)}
    said = {party: answer.value for party, answer in answers.items() if party in clients}
    names = SCORES[model.network.output]
    scores = [("rows", pa.int64()), *((name, pa.float64()) for name in names)]
    keys = labels(parameters.groups or ("",))
    groups = [
        {"party": party, "group": keys[group].as_py(), "rows": rows, names[0]: score}
        for party, each in said.items()
        for group, rows, score in each["groups"]
    ]
    gone = [
        {"party": party, "round": number, "why": whole.get(party, why)}
        for party, (number, why) in value["lost"].items()
    ]
    party = ("party", pa.string())
    return Fitted(
        model=model,
        label=parameters.label,
        weights=table.column("value").to_numpy(),
        scales=totals_of(model, parameters.class_weights, statistics, len(clients)).scales,
        history=_history(value["rounds"], trace),
        evaluation=_table([{"party": name, **each["evaluation"]} for name, each in said.items()], [party, *scores]),
        curve=_table(
            [{"party": name, **row} for name, each in said.items() for row in each["curve"]],
            [party, ("round", pa.int64()), *scores[1:]],
        ),
        groups=_table(
            groups, [party, ("group", keys.type), scores[0], (main_score(model.network.output), pa.float64())]
        ),
        lost=_table(gone, [party, ("round", pa.int64()), ("why", pa.string())]),
        best=value["best"],
        ended=value["ended"],
        resumed=value["resumed"],
    )


def _history(rounds: Mapping[str, list[Any]], trace: Trace) -> pa.Table:
    """The figures of each round, and what it took at the coordinator: unknown for rounds of an earlier run."""
    columns = {}
    for name in HISTORY:
        if name == "update_bytes":
            items = [None if each is None else list(each.items()) for each in rounds[name]]
            columns[name] = pa.array(items, pa.map_(pa.string(), pa.int64()))
        else:
            columns[name] = pa.array(rounds[name], pa.float64() if name in _REALS else pa.int64())
    columns = {name: each for name, each in columns.items() if name in ("round", "loss") or each.null_count < len(each)}
    marks = dict(zip(trace.done, zip(trace.seconds, trace.bytes_sent, trace.bytes_received, strict=True), strict=True))
    took: dict[str, list[float | None]] = {name: [] for name in TOOK.names}
    for done in rounds["round"]:
        before, after = marks.get(int(done) - 1), marks.get(int(done))
        known = before is not None and after is not None
        for place, name in enumerate(TOOK.names):
            took[name].append(after[place] - before[place] if known else None)  # type: ignore[index]
    return pa.table({**columns, **{name: pa.array(took[name], TOOK.field(name).type) for name in TOOK.names}})


def _table(rows: Sequence[Mapping[str, object]], columns: Sequence[tuple[str, pa.DataType]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema(list(columns)))

"""A jointly trained model in the notebook's hands: its history, its evaluation, predictions on local tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..display.cards import Card, Displayed, Grid, cell, grid_of
from ..display.svg import Picture, course
from ..errors import InvalidArgument
from . import model_file
from .models.evaluation import main_score
from .models.features import Scale
from .models.model import Model
from .models.network import Matrix, Vector
from .models.targets import Number
from .preparation import usable

MOST_WEIGHTS = 12  # shown of a model of one layer
MOST_GROUPS = 6  # that stand beside each other


class Fitted(Displayed):
    """A jointly trained model.

    Attributes
    ----------
    model : Linear, Logistic, Softmax or MLP
    label : str
    weights : float32 array
        Flat, as in `privsdk.fl.models.network`: for each layer its matrix row by row, a row for each input, then its
        biases.
    scales : mapping of column to (mean, deviation)
        Of standardised features, over all parties' training rows.
    history : Arrow table
        For each round: its number, how many clients and rows were in it, and the mean loss of their training rows
        before it; seconds, and bytes that the coordinator sent and received, null for rounds of an earlier run. Where
        updates come in the clear, the bytes of each client's; with `FedBuff`, whose rounds are the coordinator's steps,
        the mean staleness of their updates. Rows and loss are null in a training with differential privacy.
    evaluation : Arrow table
        For each party on its held-out rows: how many, and the scores of `privsdk.fl.models.evaluation`; null where a
        party withheld them or one is undefined.
    curve : Arrow table
        The same scores of the models on the way, by party and round; none unless `evaluate_every` was given.
    groups : Arrow table
        By party and public group: rows and the first score, for groups that are large enough; none without `by`.
    lost : Arrow table
        Parties without whom training went on: in which round each was lost (0: before the first), and why.
    ended : str
        Why there are fewer rounds than were asked for, such as whose budget ended; "" where there are not.
    resumed : int
        The round after which an interrupted training of the same name went on; 0 where it began anew.
    """

    def __init__(
        self,
        *,
        model: Model,
        label: str,
        weights: Vector,
        scales: Mapping[str, Scale],
        history: pa.Table,
        evaluation: pa.Table,
        curve: pa.Table,
        groups: pa.Table,
        lost: pa.Table,
        ended: str = "",
        resumed: int = 0,
    ) -> None:
        self.model = model
        self.label = label
        self.weights = weights
        self.scales = dict(scales)
        self.history = history
        self.evaluation = evaluation
        self.curve = curve
        self.groups = groups
        self.lost = lost
        self.ended = ended
        self.resumed = resumed

    def predict(self, table: pa.Table) -> pa.Array:
        """For each row of a local table P(label), the most probable class, or a number in the label's unit.

        Columns are prepared as in training. Null where a feature is missing, unless the model fills what is missing.
        """
        outputs, complete = self._outputs(table)
        predicted = self.model.target.decode(outputs)
        return pc.if_else(pa.array(complete), predicted, pa.scalar(None, predicted.type))

    def probabilities(self, table: pa.Table) -> pa.Table:
        """For each row of a local table the probability of each class, in a column of the class's name."""
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

    def save(self, path: str | Path) -> None:
        """Write model, weights and results to one Arrow file, in the place of one of that name.

        See `privsdk.fl.model_file` for the format. The file holds what the caller learned and no rows.
        """
        tables = {name: getattr(self, name) for name in model_file.TABLES}
        model_file.write(Path(path), model_file.Saved(self.model, self.label, self.weights, self.scales, tables))

    def __str__(self) -> str:
        network, losses = self.model.network, self.history.column("loss").to_pylist()
        layers = f" {'-'.join(map(str, network.widths))}, {network.size:,} weights" if self.model.widths else ""
        told = losses and losses[0] is not None
        course = f", loss {losses[0]:.4f} to {losses[-1]:.4f}" if told else ""
        return f"{_TITLES[type(self.model).__name__]}{layers}, {len(losses)} rounds{course}"

    def _outputs(self, table: pa.Table) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        absent = [name for name in self.model.declared if name not in table.column_names]
        if absent:
            raise InvalidArgument(
                f"the table lacks {', '.join(absent)}", hint=f"columns needed: {', '.join(self.model.declared)}"
            )
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
        facts += [("went on", f"after round {self.resumed} of an earlier run")] if self.resumed else []
        return Card(title=str(self), facts=facts, pictures=self._pictures(), grids=tuple(grids))

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


def load(path: str | Path) -> Fitted:
    """The model that `Fitted.save` wrote to a file.

    Raises
    ------
    InvalidArgument
        It is not there, no such file, of another version, or damaged.
    """
    saved = model_file.read(Path(path))
    return Fitted(model=saved.model, label=saved.label, weights=saved.weights, scales=saved.scales, **saved.tables)

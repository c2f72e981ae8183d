"""`he.score`: what a notebook calls to score one party's rows by another's model, and its declaration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ...client.plan import Plan
from ...client.tables import Table, new_request, runner_of
from ...display.cards import Card, Displayed, at_most, grid_of
from ...display.tabular import Tabular
from ...errors import InvalidArgument
from ...errors.calls import verb
from ...governance.learns import Caller, Eavesdropper, Knowledge, Learns, LengthsShow, Parties, Quantity, RoleName
from ...governance.members import combine
from ...governance.policy import Disclosure, Need
from ...governance.prices import Figures, Lever, told
from ...protocol.columns.kinds import Kind
from ...protocol.columns.predicates import canonical, columns_of, own, text
from ...protocol.control import Finished
from ...protocol.operation import Operation, Outcome, RoleInput, register
from ...protocol.roles import Role
from . import protocol
from .ends import LARGEST, Link, ScoreParameters, complete, disclosed, linked

OPERATION = "he.score"
DEFAULT_EDGES = tuple(i / 10 for i in range(11))
DEFAULT_ERROR = 1e-6


class Scores(Displayed, Tabular):
    """What the data owner lets out of its rows' scores.

    Attributes
    ----------
    count : int
        Rows scored: those without a null or NaN in a feature or the label.
    shown : int
        Of them, those in the intervals shown.
    mean : float or None
        About their mean score: that of the rows in the intervals shown, each taken to be in the middle of its interval.
        None where no interval is shown.
    mean_error : float
        How far it may be from the mean over those rows, at most: the finer the edges, the less.
    table : Arrow table
        For each interval `from`, `to` (the last closed, the others open at the end) its `rows`, null where they are
        suppressed: of fewer units than the owner's minimum count, or next smallest where those would follow from the
        total. Scores outside all intervals are in none. With a label `labelled`: how many of the rows have it.
    error : float
        Bound on each score's difference from exact arithmetic. A score nearer than this to an edge may be counted on
        its other side.
    """

    def __init__(self, *, count: int, table: pa.Table, error: float) -> None:
        self.count = count
        self.table = table
        self.error = error
        low, high, rows = (table[name].to_numpy().astype(np.float64) for name in ("from", "to", "rows"))
        rows = np.nan_to_num(rows)
        self.shown = int(rows.sum())
        self.mean = float(rows @ (low + high) / (2 * self.shown)) if self.shown else None
        self.mean_error = float(rows @ (high - low) / (2 * self.shown)) + error if self.shown else math.inf

    def __str__(self) -> str:
        mean = "no interval shown" if self.mean is None else f"mean {self.mean:.3g} within {at_most(self.mean_error)}"
        of = f" of the {self.shown:,} in intervals shown" if 0 < self.shown < self.count else ""
        return f"{self.count:,} rows scored, {mean}{of} (each score within {at_most(self.error)})"

    def to_arrow(self) -> pa.Table:
        """The table of intervals."""
        return self.table

    def _card(self) -> Card:
        return Card(title=str(self), answers=(("scores", grid_of(self.table)),))


@verb
def score(
    model: Table,
    table: Table,
    *,
    features: Mapping[str, float],
    weight_bound: float,
    link: Link = "logistic",
    edges: Sequence[float] | None = None,
    label: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: float | None = None,
) -> Plan[Scores]:
    """Score the rows of one party by the linear or logistic model of another, under encryption.

    Parameters
    ----------
    model : Table
        The model owner's: two columns, "feature" (text) and "weight" (numbers), a row for each feature, and one named
        "(intercept)" if there is an intercept.
    table : Table
        The data owner's; rows with a null or NaN in a feature or the label are left out.
    features : mapping of column to float
        The model's features, whose names are not secret, and the largest absolute value of each.
    weight_bound : float
        Largest absolute weight, intercept included.
    link : "logistic" or "identity"
        The score is 1 / (1 + exp(-w x)), or w x. The data owner applies it to what it decrypts: under encryption it
        would be a polynomial, and no less would be learned.
    edges : sequence of float, optional
        Intervals in which scores are counted; default tenths from 0 to 1.
    label : str, optional
        A boolean column, or one of 0 and 1, of the data owner: counted in each interval, which shows how well the
        model does.
    where : mapping of column to value, (low, high) or list, optional
        As for an exact `count`, of the data owner's columns: which rows are scored. It takes a grant for comparison.
    error : float, optional
        Largest error of w x; parameters are chosen by it. Default the first power of ten from 1e-6 that the bounds
        allow. The error is drawn anew in each run, so that a row as near to an edge may be counted on its other side
        next time, and the differencing guard then refuses that answer: the smaller, the less likely.

    Returns
    -------
    Plan of Scores

    Raises
    ------
    InvalidArgument
        An argument or column cannot be used, or no parameters are within the error.
    DataError
        On release: the model's names or weights are not as declared; too few or too many complete rows; a value beyond
        its bound; a label that is not 0 or 1. Names no value, but that a bound does not hold tells of one, and is
        charged.

    Learns
    ------
    Data owner: each row's score, and the model. Model owner: the number of rows, to the next multiple of thousands.
    Caller: the number of rows and the counts, over at least the owner's minimum count; who chooses the model chooses by
    what rows are counted.

    Examples
    --------
    >>> he.score(fed["bureau"]["model"], fed["bank"]["loans"], features={"age": 120, "debt": 1e6}, weight_bound=10)

    Source: see `privsdk.he.scoring`.
    """
    for one in (model, table):
        if not isinstance(one, Table):
            raise InvalidArgument(
                f"he.score takes tables, not a {type(one).__name__}", hint='use fed["party"]["table"]'
            )
    if model.party == table.party:
        raise InvalidArgument(f"model and rows are both {table.party}'s", hint="it can score its rows by itself")
    if not isinstance(features, Mapping):
        raise InvalidArgument("features come with their bounds", hint='give {"age": 120, "income": 1e6}')
    parameters = _affordable(
        ScoreParameters(
            features=tuple((name, float(bound)) for name, bound in features.items()),
            weight_bound=float(weight_bound),
            link=link,
            edges=tuple(float(edge) for edge in (DEFAULT_EDGES if edges is None else edges)),
            label=label,
            where=canonical(where, own),
            error=DEFAULT_ERROR if error is None else float(error),
        ),
        fixed=error is not None,
    )
    model.expect({"feature": Kind.TEXT, "weight": Kind.NUMBER})
    table.expect(dict.fromkeys(parameters.used, Kind.NUMBER), parameters.where)
    plain = msgspec.to_builtins(parameters)
    if not parameters.where:  # as requests were before there were any
        del plain["where"]
    runner = runner_of(model, table)
    preset = parameters.preset
    request = new_request(
        runner,
        OPERATION,
        parties=(table.party, model.party),
        operands={table.party: table.operand(*parameters.columns), model.party: model.operand("feature", "weight")},
        parameters=plain,
    )

    def finish(answers: Mapping[str, Finished]) -> Scores:
        answer = answers[table.party]
        return Scores(count=answer.value["count"], table=answer.table, error=parameters.score_error)

    notes = (
        ("keys", f"{table.party} holds the key; {model.party} computes on ciphertexts"),
        ("arithmetic", f"{preset}, error of a score at most {at_most(parameters.score_error)}"),
    )
    return Plan(runner, request, finish, notes=notes)


def _affordable(parameters: ScoreParameters, *, fixed: bool) -> ScoreParameters:
    """With the least error from the one given, by powers of ten, that some preset keeps; or with this one."""
    while True:
        try:
            _ = parameters.preset
            return parameters
        except InvalidArgument:
            if fixed or parameters.error * 10 > LARGEST:
                raise
        parameters = msgspec.structs.replace(parameters, error=parameters.error * 10)


class RowScoresAndModel(Knowledge, frozen=True):
    template = "each row's score; {owner}'s model"
    owner: str


class RowsInThousands(Knowledge, frozen=True):
    template = "how many rows {owner} has, to the next multiple of thousands"
    owner: str


class ScoreFigures(Knowledge, frozen=True):
    """Of so many intervals of scores; `label` is counted in each where there is one."""

    own = RoleName.OWNER
    intervals: int
    label: str = ""
    where: str = ""

    def __str__(self) -> str:
        where = f" where {self.where}" if self.where else ""
        labelled = f", and how many of them have {self.label}" if self.label else ""
        return (
            f"the number of complete rows{where}, and how many rows are in each of {self.intervals} intervals"
            f"{labelled}, over at least the owner's minimum count; which intervals are suppressed"
        )


class RowsByItsModel(Knowledge, frozen=True):
    template = "how many rows pass conditions on the features that it chose, over at least the owner's minimum count"


combine(
    ScoreFigures,
    role=RoleName.MODEL_OWNER,
    gives=lambda *_: RowsByItsModel(),
    because="its model says which rows fall into an interval",
)


@register(OPERATION)
class Score(Operation[ScoreParameters]):
    """A linear model of the second party over the rows of the first."""

    parameters_type = ScoreParameters

    def check(self) -> None:
        request, parameters = self.request, self.parameters
        if len(request.parties) != 2 or set(request.operands) != set(request.parties):
            raise InvalidArgument("he.score takes a data owner and a model owner with a table each")
        rows, model = (request.operands[party] for party in request.parties)
        if rows.columns != parameters.columns or model.columns != ("feature", "weight"):
            raise InvalidArgument("he.score takes the features and the label, and a model's features and weights")
        if rows.alignment or model.alignment:
            raise InvalidArgument("he.score takes base tables")
        _ = parameters.preset  # refuses what no party could compute

    def fits(self, party: str, schema: pa.Schema) -> None:
        owner, _ = self.request.parties
        rows, model = dict.fromkeys(self.parameters.used, Kind.NUMBER), {"feature": Kind.TEXT, "weight": Kind.NUMBER}
        self._expect(party, schema, rows if party == owner else model, self.parameters.where if party == owner else ())

    def needs(self) -> dict[str, tuple[Need, ...]]:
        """Counts by score are counts of rows that pass a filter on the features: any, of one feature and the right
        model."""
        owner, modeller = self.request.parties
        rows, model = self.request.operands[owner].table, self.request.operands[modeller].table

        def needs(columns: Iterable[str], disclosure: Disclosure, result: str, table: str = rows) -> list[Need]:
            return [Need(table=table, column=name, disclosure=disclosure, result=result) for name in columns]

        names, label, counts = self.parameters.names, self.parameters.label, "how many rows have which scores"
        return {
            owner: (
                *needs(names, Disclosure.AGGREGATE, counts),
                *needs(names, Disclosure.COMPARISON, counts),
                *needs(columns_of(self.parameters.where), Disclosure.COMPARISON, "which rows are scored"),
                *needs(() if label is None else (label,), Disclosure.AGGREGATE, "how many of them have the label"),
            ),
            modeller: tuple(needs(("feature", "weight"), Disclosure.MODEL_WEIGHT, f"{owner}'s scores", model)),
        }

    def figures(self) -> dict[str, Figures]:
        """Of the rows a count for each interval and one over all; of the model, which its scores tell, each weight."""
        owner, modeller = self.request.parties
        parameters = self.parameters
        counts = told(len(parameters.edges) - 1, Lever.INTERVALS, each=1 if parameters.label is None else 2)
        return {
            owner: Figures(what=OPERATION, told=(told(1), counts)),
            modeller: Figures(what=OPERATION, told=(told(len(parameters.features) + 1),)),
        }

    def contributors(self) -> tuple[str, ...]:
        return ()

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        owner, modeller = self.request.parties
        return {owner: (RoleName.OWNER,), modeller: (RoleName.MODEL_OWNER,)}

    def learns(self) -> tuple[Learns, ...]:
        owner, modeller = self.request.parties
        parameters = self.parameters
        figures = ScoreFigures(
            intervals=len(parameters.edges) - 1, label=parameters.label or "", where=text(parameters.where)
        )
        return (
            Learns.of(Parties((owner,)), RowScoresAndModel(owner=modeller)),
            Learns.of(Parties((modeller,)), RowsInThousands(owner=owner)),
            Learns.of(Caller(self.request.caller), figures),
            Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.ROWS, Quantity.FEATURES))),
        )

    def role(self, given: RoleInput) -> Role[Outcome]:
        owner, modeller = self.request.parties
        parameters, preset = self.parameters, self.parameters.preset
        if given.party == modeller:
            weights, intercept = protocol.read_model(
                given.table, parameters.names, parameters.weight_bound, party=given.party
            )
            yield from protocol.model_owner(weights, intercept, parameters.bounds, preset=preset, peer=owner)
            return Outcome()
        rows, features, label = yield from complete(given, parameters, protocol.most_rows(preset))
        found = yield from protocol.data_owner(
            features, parameters.bounds, preset=preset, weight_bound=parameters.weight_bound, peer=modeller
        )
        return disclosed(given, parameters, rows, linked(found, parameters.link), label)

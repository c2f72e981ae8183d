"""`he.score`: what a notebook calls to score one party's rows by another's model, and its declaration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..calls import Finished
from ..charges import Debit, Exact
from ..displays import Card, Displayed, at_most, grid_of
from ..errors import CircuitTooDeep, DataError, InvalidArgument
from ..handles import Table, new_request, runner_of
from ..operations import Kind, Operation, Outcome, Request, RoleInput, RowSet, register
from ..privacy import Disclosure, Learns, Need
from ..protocol import Role
from ..results import Plan
from . import scoring

OPERATION = "he.score"
Link = Literal["identity", "logistic"]
DEFAULT_EDGES = tuple(i / 10 for i in range(11))
MOST_EDGES = 1001
LARGEST = 2.0**40


class Scores(Displayed):
    """What the data owner lets out of its rows' scores.

    Attributes
    ----------
    count : int
        Rows scored: those without a null or NaN in a feature.
    mean : float
        Their mean score.
    table : Arrow table
        For each interval from, to (the last closed, the others open at the end): rows; null where there are fewer
        than the owner's minimum count, or where these would follow from the total. Scores outside all intervals are
        in none. With a label: how many of the rows
        have it.
    error : float
        Bound on each score's difference from exact arithmetic.
    """

    def __init__(self, *, count: int, mean: float, table: pa.Table, error: float) -> None:
        self.count = count
        self.mean = mean
        self.table = table
        self.error = error

    def __str__(self) -> str:
        return f"{self.count:,} rows scored, mean {self.mean:.6g} (each within {at_most(self.error)})"

    def _card(self) -> Card:
        return Card(title=str(self), grids=(("scores", grid_of(self.table)),))


class ScoreParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything public: features with bounds, the bound on weights, the link, the intervals, the label."""

    features: tuple[tuple[str, float], ...]
    weight_bound: float
    link: Link
    edges: tuple[float, ...]
    label: str | None
    error: float

    def __post_init__(self) -> None:
        bounds = [bound for _, bound in self.features]
        if not self.features or len({name for name, _ in self.features}) != len(self.features):
            raise InvalidArgument("features are missing or named twice", hint='give {"age": 120, "income": 1e6}')
        if not all(0 < bound <= LARGEST for bound in (*bounds, self.weight_bound, self.error)):
            raise InvalidArgument(
                "bounds of features, of weights and of the error are positive and at most 2^40",
                hint="declare the largest absolute value of each feature and weight",
            )
        rising = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
        if not 2 <= len(self.edges) <= MOST_EDGES or not rising or not all(map(math.isfinite, self.edges)):
            raise InvalidArgument("edges rise from the first to the last", hint="such as [0, 0.25, 0.5, 0.75, 1]")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.features)

    @property
    def bounds(self) -> tuple[float, ...]:
        return tuple(bound for _, bound in self.features)


def score(
    model: Table,
    table: Table,
    *,
    features: Mapping[str, float],
    weight_bound: float,
    link: Link = "logistic",
    edges: Sequence[float] | None = None,
    label: str | None = None,
    error: float = 1e-6,
) -> Plan[Scores]:
    """Score the rows of one party by the linear or logistic model of another, under encryption.

    Parameters
    ----------
    model : Table
        The model owner's: two columns, "feature" (text) and "weight" (numbers), a row for each feature, and one named
        "(intercept)" if there is an intercept.
    table : Table
        The data owner's; rows with a null or NaN in a feature are left out.
    features : mapping of column to float
        The model's features, which are not secret, and the largest absolute value of each.
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
    error : float
        Largest error of w x; parameters are chosen by it.

    Learns
    ------
    Data owner: each row's score, and so, from more rows than features, the model. Model owner: the number of rows, to
    the next multiple of thousands. Caller: the mean score and the counts, over at least the owner's minimum count.

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
    model.expect({"feature": Kind.TEXT, "weight": Kind.NUMBER})
    used = (*features, *(() if label is None else (label,)))
    table.expect(dict.fromkeys(used, Kind.NUMBER))
    runner = runner_of(model, table)
    parameters = ScoreParameters(
        features=tuple((name, float(bound)) for name, bound in features.items()),
        weight_bound=float(weight_bound),
        link=link,
        edges=tuple(float(edge) for edge in (DEFAULT_EDGES if edges is None else edges)),
        label=label,
        error=float(error),
    )
    request = new_request(
        runner,
        OPERATION,
        parties=(table.party, model.party),
        operands={table.party: table.operand(*used), model.party: model.operand("feature", "weight")},
        parameters=msgspec.to_builtins(parameters),
    )
    try:
        preset = scoring.preset_for(parameters.bounds, parameters.weight_bound, parameters.error)
    except CircuitTooDeep as refused:
        raise InvalidArgument(refused.message, hint="declare smaller bounds or a larger error") from None

    def finish(answers: Mapping[str, Finished]) -> Scores:
        answer = answers[table.party]
        return Scores(
            count=answer.value["count"], mean=answer.value["mean"], table=answer.table, error=parameters.error
        )

    notes = (
        ("keys", f"{table.party} holds the key; {model.party} computes on ciphertexts"),
        ("arithmetic", f"{preset}, error of a score at most {at_most(parameters.error)} before the link"),
    )
    return Plan(runner, request, finish, notes=notes)


def _check(request: Request, parameters: ScoreParameters) -> None:
    if len(request.parties) != 2 or set(request.operands) != set(request.parties):
        raise InvalidArgument("he.score takes a data owner and a model owner with a table each")
    rows, model = (request.operands[party] for party in request.parties)
    used = (*parameters.names, *(() if parameters.label is None else (parameters.label,)))
    if rows.columns != tuple(dict.fromkeys(used)) or model.columns != ("feature", "weight"):
        raise InvalidArgument("he.score takes the features and the label, and a model's features and weights")
    if rows.alignment or model.alignment:
        raise InvalidArgument("he.score takes base tables")


def _fits(request: Request, parameters: ScoreParameters, party: str, schema: pa.Schema) -> None:
    operand = request.operands[party]
    for name in operand.columns:
        kind = Kind.TEXT if party == request.parties[1] and name == "feature" else Kind.NUMBER
        kind.check(f"{party}/{operand.table}.{name}", str(schema.field(name).type))


def _needs(request: Request, parameters: ScoreParameters) -> dict[str, tuple[Need, ...]]:
    owner, modeller = request.parties
    rows, model = request.operands[owner], request.operands[modeller]
    return {
        owner: tuple(
            Need(table=rows.table, column=name, disclosure=Disclosure.AGGREGATE, result="how scores are spread")
            for name in rows.columns
        ),
        modeller: tuple(
            Need(table=model.table, column=name, disclosure=Disclosure.MODEL_WEIGHT, result=f"the scores of {owner}")
            for name in model.columns
        ),
    }


def _price(request: Request, parameters: ScoreParameters) -> dict[str, tuple[Debit, ...]]:
    return {
        party: (Debit(table=operand.table, charge=Exact(what=OPERATION)),)
        for party, operand in request.operands.items()
    }


def _learns(request: Request, parameters: ScoreParameters) -> tuple[Learns, ...]:
    owner, modeller = request.parties
    labelled = f", and how many of them have {parameters.label}" if parameters.label else ""
    return (
        Learns(who=owner, what="each row's score, and so, from more rows than features, the model"),
        Learns(who=modeller, what=f"how many rows {owner} has, to the next multiple of thousands"),
        Learns(
            who=request.caller,
            what=f"the mean score, and how many rows are in each of {len(parameters.edges) - 1} intervals{labelled}, "
            "over at least the owner's minimum count",
        ),
        Learns(who="onlooker", what="about how many rows and features there are, from the length of the streams"),
    )


def _role(given: RoleInput, parameters: ScoreParameters) -> Role[Outcome]:
    owner, modeller = given.request.parties
    preset = scoring.preset_for(parameters.bounds, parameters.weight_bound, parameters.error)
    if given.party == modeller:
        weights, intercept = scoring.read_model(
            given.table, parameters.names, parameters.weight_bound, party=given.party
        )
        yield from scoring.model_owner(weights, intercept, parameters.bounds, preset=preset, peer=owner)
        return Outcome()
    rows, features, label = _rows(given, parameters)
    found = yield from scoring.data_owner(
        features, parameters.bounds, preset=preset, weight_bound=parameters.weight_bound, peer=modeller
    )
    scores = found if parameters.link == "identity" else 0.5 * (1 + np.tanh(found / 2))
    return _told(given, parameters, rows, scores, label)


def _rows(
    given: RoleInput, parameters: ScoreParameters
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float64]], npt.NDArray[np.bool_] | None]:
    """The complete rows, their features, and who of them has the label."""
    used = dict.fromkeys(given.table.column_names)
    reals = {name: pc.cast(given.table[name], pa.float64(), safe=False) for name in used}
    columns = {name: np.asarray(pc.fill_null(column, math.nan).to_numpy()) for name, column in reals.items()}
    complete = ~np.isnan(np.stack(list(columns.values()))).any(axis=0)
    rows = np.flatnonzero(complete).astype(np.int64)
    units = len(rows) if given.keys is None else len(np.unique(given.keys[rows]))
    if units < given.min_count:
        raise DataError(
            f"{given.party} has fewer complete rows than its minimum count of {given.min_count}: nothing was sent",
            hint="rows with a null in a feature or the label are left out",
        )
    features = {name: columns[name][rows] for name in parameters.names}
    for name, bound in parameters.features:
        if not (np.abs(features[name]) <= bound).all():
            raise DataError(
                f"{given.party}'s {name} exceeds the declared bound of {bound:g}: nothing was sent",
                hint="declare a larger bound for it",
            )
    if parameters.label is None:
        return rows, features, None
    label = columns[parameters.label][rows]
    if not np.isin(label, (0.0, 1.0)).all():
        raise DataError(f"{given.party}'s {parameters.label} holds something that is not 0 or 1", hint="use a boolean")
    return rows, features, label == 1.0


def _told(
    given: RoleInput,
    parameters: ScoreParameters,
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    label: npt.NDArray[np.bool_] | None,
) -> Outcome:
    """The mean, and the intervals with enough rows; the guard compares their rows with what was let out before."""
    edges = np.array(parameters.edges)
    at = np.searchsorted(edges, scores, side="right") - 1
    at[scores == edges[-1]] = len(edges) - 2
    measure = f"scores of {', '.join(parameters.names)}"
    sets = [RowSet(rows=rows, measure=f"mean of {measure}", figures=(len(rows), float(scores.mean())))]
    shown = _shown(given, rows, at, len(edges) - 1)
    for i in shown:
        inside = at == i
        positive = () if label is None else (int(label[inside].sum()),)
        sets.append(RowSet(rows=rows[inside], measure=measure, figures=(int(inside.sum()), *positive)))
    (count, mean), *told = given.settle(sets, given.min_count)
    counts: list[int | None] = [None] * (len(edges) - 1)
    labelled: list[int | None] = [None] * (len(edges) - 1)
    for i, figures in zip(shown, told, strict=True):
        counts[i] = int(figures[0] or 0)
        if label is not None:
            labelled[i] = int(figures[1] or 0)
    columns = {
        "from": pa.array(edges[:-1]),
        "to": pa.array(edges[1:]),
        "rows": pa.array(counts, pa.int64()),
    }
    if parameters.label is not None:
        columns[parameters.label] = pa.array(labelled, pa.int64())
    return Outcome(value={"count": count, "mean": mean}, table=pa.table(columns))


def _shown(given: RoleInput, rows: npt.NDArray[np.int64], at: npt.NDArray[np.int64], intervals: int) -> list[int]:
    """The intervals with enough rows, less the smallest where what is withheld would follow from the total."""

    def units(of: npt.NDArray[np.bool_]) -> int:
        return int(of.sum()) if given.keys is None else len(np.unique(given.keys[rows[of]]))

    sizes = {i: units(at == i) for i in range(intervals)}
    shown = sorted((i for i in sizes if sizes[i] >= given.min_count), key=lambda i: sizes[i], reverse=True)
    while shown and 0 < units(~np.isin(at, shown)) < given.min_count:
        shown.pop()
    return sorted(shown)


register(
    Operation(
        name=OPERATION,
        parameters=ScoreParameters,
        check=_check,
        needs=_needs,
        price=_price,
        learns=_learns,
        role=_role,
        fits=_fits,
    )
)

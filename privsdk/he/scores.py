"""`he.score`: what a notebook calls to score one party's rows by another's model, and its declaration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

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
from ..operations import Figures, Kind, Operation, Outcome, Request, RoleInput, RowSet, register
from ..privacy import Disclosure, Learns, Need
from ..protocol import Role, checkpoint
from ..results import Plan
from . import scoring
from .presets import Preset
from .scoring import INTERCEPT
from .vectors import bins_of

OPERATION = "he.score"
Link = Literal["identity", "logistic"]
DEFAULT_EDGES = tuple(i / 10 for i in range(11))
DEFAULT_ERROR = 1e-6
MOST_EDGES = 1001
LARGEST = 2.0**40


class Scores(Displayed):
    """What the data owner lets out of its rows' scores.

    Attributes
    ----------
    count : int
        Rows scored: those without a null or NaN in a feature or the label.
    mean : float
        Their mean score.
    table : Arrow table
        For each interval `from`, `to` (the last closed, the others open at the end) its `rows`, null where they are
        withheld: fewer than the owner's minimum count, or next smallest where those would follow from the total. Scores
        outside all intervals are in none. With a label `labelled`: how many of the rows have it.
    error : float
        Bound on each score's difference from exact arithmetic. A score nearer than this to an edge may be counted on
        its other side.
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
        if not self.features or len(set(self.names)) != len(self.features):
            raise InvalidArgument("features are missing or named twice", hint='give {"age": 120, "income": 1e6}')
        if INTERCEPT in self.names:
            raise InvalidArgument(f"a feature named {INTERCEPT}: so a model names its intercept", hint="rename it")
        if self.label in self.names:
            raise InvalidArgument(f"the label {self.label!r} is among the features", hint="leave it out of them")
        if self.link not in get_args(Link):
            raise InvalidArgument(f"a link {self.link!r}", hint=f"known: {', '.join(get_args(Link))}")
        if not all(0 < bound <= LARGEST for bound in (*bounds, self.weight_bound, self.error)):
            raise InvalidArgument(
                "bounds of features, of weights and of the error are positive and at most 2^40",
                hint="declare the largest absolute value of each feature and weight",
            )
        rising = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
        if not 2 <= len(self.edges) <= MOST_EDGES or not rising or not all(map(math.isfinite, self.edges)):
            raise InvalidArgument(
                f"edges are 2 to {MOST_EDGES:,} finite numbers, each above the one before",
                hint="such as [0, 0.25, 0.5, 0.75, 1]",
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.features)

    @property
    def bounds(self) -> tuple[float, ...]:
        return tuple(bound for _, bound in self.features)

    @property
    def used(self) -> tuple[str, ...]:
        """The data owner's columns."""
        return (*self.names, *(() if self.label is None else (self.label,)))

    @property
    def preset(self) -> Preset:
        """How features are encrypted; raises InvalidArgument where no preset is precise enough."""
        try:
            return scoring.preset_for(self.bounds, self.weight_bound, self.error)
        except CircuitTooDeep as refused:
            raise InvalidArgument(refused.message, hint="declare closer bounds or a larger error") from None

    @property
    def score_error(self) -> float:
        """Of what comes out of the link, whose slope is at most a quarter."""
        return self.error if self.link == "identity" else self.error / 4 + 2.0**-52


def score(
    model: Table,
    table: Table,
    *,
    features: Mapping[str, float],
    weight_bound: float,
    link: Link = "logistic",
    edges: Sequence[float] | None = None,
    label: str | None = None,
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
    Caller: the mean score and the counts, over at least the owner's minimum count; who chooses the model chooses by
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
            error=DEFAULT_ERROR if error is None else float(error),
        ),
        fixed=error is not None,
    )
    model.expect({"feature": Kind.TEXT, "weight": Kind.NUMBER})
    table.expect(dict.fromkeys(parameters.used, Kind.NUMBER))
    runner = runner_of(model, table)
    preset = parameters.preset
    request = new_request(
        runner,
        OPERATION,
        parties=(table.party, model.party),
        operands={table.party: table.operand(*parameters.used), model.party: model.operand("feature", "weight")},
        parameters=msgspec.to_builtins(parameters),
    )

    def finish(answers: Mapping[str, Finished]) -> Scores:
        answer = answers[table.party]
        return Scores(
            count=answer.value["count"], mean=answer.value["mean"], table=answer.table, error=parameters.score_error
        )

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


def _check(request: Request, parameters: ScoreParameters) -> None:
    if len(request.parties) != 2 or set(request.operands) != set(request.parties):
        raise InvalidArgument("he.score takes a data owner and a model owner with a table each")
    rows, model = (request.operands[party] for party in request.parties)
    if rows.columns != parameters.used or model.columns != ("feature", "weight"):
        raise InvalidArgument("he.score takes the features and the label, and a model's features and weights")
    if rows.alignment or model.alignment:
        raise InvalidArgument("he.score takes base tables")
    _ = parameters.preset  # refuses what no party could compute


def _fits(request: Request, parameters: ScoreParameters, party: str, schema: pa.Schema) -> None:
    operand = request.operands[party]
    for name in operand.columns:
        kind = Kind.TEXT if party == request.parties[1] and name == "feature" else Kind.NUMBER
        kind.check(f"{party}/{operand.table}.{name}", str(schema.field(name).type))


def _needs(request: Request, parameters: ScoreParameters) -> dict[str, tuple[Need, ...]]:
    """A mean of scores is one of features, and counts by score are counts of rows that pass a filter on them: of one
    feature and the right model, any filter."""
    owner, modeller = request.parties
    rows, model = request.operands[owner].table, request.operands[modeller].table

    def needs(columns: Iterable[str], disclosure: Disclosure, result: str, table: str = rows) -> list[Need]:
        return [Need(table=table, column=name, disclosure=disclosure, result=result) for name in columns]

    label = () if parameters.label is None else (parameters.label,)
    return {
        owner: (
            *needs(parameters.names, Disclosure.AGGREGATE, "the mean score"),
            *needs(parameters.names, Disclosure.COMPARISON, "how many rows have which scores"),
            *needs(label, Disclosure.AGGREGATE, "how many of them have the label"),
        ),
        modeller: tuple(needs(("feature", "weight"), Disclosure.MODEL_WEIGHT, f"{owner}'s scores", model)),
    }


def _price(request: Request, parameters: ScoreParameters) -> dict[str, tuple[Debit, ...]]:
    return {
        party: (Debit(table=operand.table, charge=Exact(what=OPERATION)),)
        for party, operand in request.operands.items()
    }


def _learns(request: Request, parameters: ScoreParameters) -> tuple[Learns, ...]:
    owner, modeller = request.parties
    labelled = f", and how many of them have {parameters.label}" if parameters.label is not None else ""
    return (
        Learns(who=owner, what=f"each row's score, and {modeller}'s model"),
        Learns(who=modeller, what=f"how many rows {owner} has, to the next multiple of thousands"),
        Learns(
            who=request.caller,
            what="the number of complete rows, their mean score, and how many rows are in each of "
            f"{len(parameters.edges) - 1} intervals{labelled}, "
            "over at least the owner's minimum count; which intervals are withheld",
        ),
        Learns(who="onlooker", what="about how many rows and features there are, from the length of the streams"),
    )


def _role(given: RoleInput, parameters: ScoreParameters) -> Role[Outcome]:
    owner, modeller = given.request.parties
    preset = parameters.preset
    if given.party == modeller:
        weights, intercept = scoring.read_model(
            given.table, parameters.names, parameters.weight_bound, party=given.party
        )
        yield from scoring.model_owner(weights, intercept, parameters.bounds, preset=preset, peer=owner)
        return Outcome()
    rows, features, label = yield from _complete(given, parameters, scoring.most_rows(preset))
    found = yield from scoring.data_owner(
        features, parameters.bounds, preset=preset, weight_bound=parameters.weight_bound, peer=modeller
    )
    return _told(given, parameters, rows, linked(found, parameters.link), label)


def linked(found: scoring.Reals, link: Link) -> scoring.Reals:
    """Scores of w x; nothing overflows."""
    return found if link == "identity" else 0.5 * (1 + np.tanh(found / 2))


def _complete(
    given: RoleInput, parameters: ScoreParameters, most: int
) -> Role[tuple[npt.NDArray[np.int64], list[scoring.Reals], npt.NDArray[np.bool_] | None]]:
    """The complete rows, their features, and who of them has the label."""
    columns: list[scoring.Reals] = []
    complete = np.ones(given.table.num_rows, dtype=np.bool_)
    for name in parameters.used:
        yield from checkpoint("reading", len(columns), len(parameters.used))
        reals = pc.fill_null(pc.cast(given.table[name], pa.float64(), safe=False), math.nan).to_numpy()
        complete &= ~np.isnan(reals)
        columns.append(reals)
    rows = np.flatnonzero(complete).astype(np.int64)
    units = len(rows) if given.keys is None else len(np.unique(given.keys[rows]))
    if units < max(1, given.min_count):
        raise DataError(
            f"{given.party} has fewer complete rows than its minimum count of {given.min_count}: nothing was sent",
            hint="rows with a null in a feature or the label are left out",
        )
    if len(rows) > most:
        raise DataError(
            f"{given.party} has more than {most:,} complete rows, which is as many as one key may reveal: nothing was "
            "sent",
            hint="ask its owner for a table of fewer rows",
        )
    for i, (name, bound) in enumerate(parameters.features):
        columns[i] = columns[i][rows]
        if not (np.abs(columns[i]) <= bound).all():
            raise DataError(
                f"{given.party}'s {name} exceeds the declared bound of {bound:g}: nothing was sent",
                hint="declare a larger bound for it",
            )
    if parameters.label is None:
        return rows, columns, None
    label = columns.pop()[rows]
    if not np.isin(label, (0.0, 1.0)).all():
        raise DataError(
            f"{given.party}'s {parameters.label} holds something that is not 0 or 1: nothing was sent",
            hint="use a boolean",
        )
    return rows, columns, label == 1.0


def _told(
    given: RoleInput,
    parameters: ScoreParameters,
    rows: npt.NDArray[np.int64],
    scores: scoring.Reals,
    label: npt.NDArray[np.bool_] | None,
) -> Outcome:
    """The mean, and the intervals with enough rows; the guard compares their rows with what was let out before, and
    those of no interval shown too, whose number follows from the others."""
    intervals = len(parameters.edges) - 1
    at = bins_of(scores, parameters.edges)
    shown = _shown(given, rows, at, intervals)
    # One mean of each run: another model, or another link, has another over the same rows.
    total = RowSet(rows=rows, measure=f"mean score {given.session.hex()}", figures=(len(rows), float(scores.mean())))
    measure = "rows by score" if label is None else f"rows by score, with {parameters.label}"
    sets = [total]
    for i in shown:
        inside = at == i
        positive = () if label is None else (int(label[inside].sum()),)
        sets.append(RowSet(rows=rows[inside], measure=measure, figures=(int(inside.sum()), *positive)))
    rest = rows[~np.isin(at, shown)]
    if len(rest):
        sets.append(RowSet(rows=rest, measure="rows of no interval", figures=(len(rest),)))
    (count, mean), *told = given.settle(sets, given.min_count)
    counts: list[Figures] = [(None, None)] * intervals
    for i, figures in zip(shown, told, strict=False):
        counts[i] = figures
    columns = {
        "from": pa.array(parameters.edges[:-1], pa.float64()),
        "to": pa.array(parameters.edges[1:], pa.float64()),
        "rows": pa.array([figures[0] for figures in counts], pa.int64()),
    }
    if label is not None:
        columns["labelled"] = pa.array([figures[1] for figures in counts], pa.int64())
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
        remembered=True,  # for the guard and the units that come with it: a question of two parties is asked anew
    )
)

"""The two ends of a scoring: from a party's rows to features, and from their scores to what is let out."""

from __future__ import annotations

import math
from typing import Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.seal.presets import Preset
from ...errors import CircuitTooDeep, DataError, InvalidArgument
from ...protocol.columns.numbers import reals
from ...protocol.columns.predicates import Where, check_own, columns_of, passing
from ...protocol.groups import is_large, suppressed_of_rows
from ...protocol.operation import Outcome, RoleInput
from ...protocol.roles import Role, checkpoint
from ...protocol.services import Figures, RowSet
from ..statistics.totals import bins_of
from . import protocol
from .protocol import INTERCEPT

Link = Literal["identity", "logistic"]
MOST_EDGES = 1001
LARGEST = 2.0**40


class ScoreParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything public: features with bounds, the bound on weights, the link, the intervals, the label, and conditions
    on which rows are scored."""

    features: tuple[tuple[str, float], ...]
    weight_bound: float
    link: Link
    edges: tuple[float, ...]
    label: str | None
    error: float
    where: Where = ()

    def __post_init__(self) -> None:
        check_own(self.where)
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
        """The data owner's columns whose values are needed."""
        return (*self.names, *(() if self.label is None else (self.label,)))

    @property
    def columns(self) -> tuple[str, ...]:
        """All of the data owner's that are read."""
        return tuple(dict.fromkeys((*self.used, *columns_of(self.where))))

    @property
    def preset(self) -> Preset:
        """How features are encrypted; raises InvalidArgument where no preset is precise enough."""
        try:
            return protocol.preset_for(self.bounds, self.weight_bound, self.error)
        except CircuitTooDeep as refused:
            raise InvalidArgument(refused.message, hint="declare closer bounds or a larger error") from None

    @property
    def score_error(self) -> float:
        """Of what comes out of the link, whose slope is at most a quarter."""
        return self.error if self.link == "identity" else self.error / 4 + 2.0**-52


def linked(found: protocol.Reals, link: Link) -> protocol.Reals:
    """Scores of w x; nothing overflows."""
    return found if link == "identity" else 0.5 * (1 + np.tanh(found / 2))


def complete(
    given: RoleInput, parameters: ScoreParameters, most: int
) -> Role[tuple[npt.NDArray[np.int64], list[protocol.Reals], npt.NDArray[np.bool_] | None]]:
    """The complete rows that pass, their features, and who of them has the label."""
    columns: list[protocol.Reals] = []
    whole = passing(given.table, parameters.where)
    for name in parameters.used:
        yield from checkpoint("reading", len(columns), len(parameters.used))
        columns.append(reals(given.table[name]))
        whole &= ~np.isnan(columns[-1])
    rows = np.flatnonzero(whole).astype(np.int64)
    if not is_large(given.units(rows), max(1, given.min_count)):
        raise DataError(
            f"{given.party} has fewer complete rows than its minimum count of {given.min_count}: nothing was sent",
            hint="rows with a null in a feature or the label are left out",
        )
    given.services.screen([_all(rows)], given.min_count)  # a refusal for a value tells of these rows
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


def _all(rows: npt.NDArray[np.int64]) -> RowSet:
    return RowSet.counted(rows, "rows")


def disclosed(
    given: RoleInput,
    parameters: ScoreParameters,
    rows: npt.NDArray[np.int64],
    scores: protocol.Reals,
    label: npt.NDArray[np.bool_] | None,
) -> Outcome:
    """How many rows are in each interval that is not suppressed, and no figure beside these: a mean of the scores
    themselves would count, by a steep model, the rows beyond any threshold, also a single one. The guard compares the
    intervals' rows with what was let out before, and those of no interval shown too, whose number follows from the
    others."""
    intervals = len(parameters.edges) - 1
    at = bins_of(scores, parameters.edges)
    hidden = suppressed_of_rows(range(intervals), at, given.units(rows), given.min_count)
    shown = [i for i in range(intervals) if i not in hidden]
    measure = "rows by score" if label is None else f"rows by score, with {parameters.label}"
    sets = [_all(rows)]
    for i in shown:
        inside = at == i
        positive = () if label is None else (int(label[inside].sum()),)
        sets.append(RowSet(rows=rows[inside], measure=measure, figures=(int(inside.sum()), *positive)))
    rest = rows[~np.isin(at, shown)]
    if len(rest):
        sets.append(RowSet(rows=rest, measure="rows of no interval", figures=(len(rest),)))
    (count, *_), *screened = given.services.screen(sets, given.min_count)
    counts: list[Figures] = [(None, None)] * intervals
    for i, figures in zip(shown, screened, strict=False):
        counts[i] = figures
    columns = {
        "from": pa.array(parameters.edges[:-1], pa.float64()),
        "to": pa.array(parameters.edges[1:], pa.float64()),
        "rows": pa.array([figures[0] for figures in counts], pa.int64()),
    }
    if label is not None:
        columns["labelled"] = pa.array([figures[1] for figures in counts], pa.int64())
    return Outcome(value={"count": count}, table=pa.table(columns))

"""From a verb's arguments to a plan: the grids, the parties, the request, the notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ...client.plan import Plan
from ...client.pooling import PooledTables
from ...client.tables import new_request
from ...crypto.seal.schemes import ApproximateScheme, ExactScheme
from ...crypto.sums.masks import bits_for
from ...display.cards import at_most
from ...errors import InvalidArgument
from ...protocol.control import Finished
from .answers import reader
from .bounds import grid_of
from .fixedpoint import FixedPoint
from .operation import OPERATIONS
from .statistic import (
    OF_VALUES,
    Aggregation,
    Name,
    Statistic,
)

OfColumns = float | Mapping[str, float]  # one for all columns, or one for each

CKKS_BOUND = 2.0**40  # where none is given: the error grows with it
DEFAULT_ROWS = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling(PooledTables):
    """Rows of several parties, each of whom has at most `max_rows`, and how their totals are added."""

    max_rows: int
    aggregation: Aggregation


def plan_statistic(name: Name, given: Mapping[str, Any]) -> Plan[Any]:
    """The plan of one statistic; a verb gives its `locals()`."""
    pooling = Pooling.of(given)
    columns, listed = _columns(given)
    edges, ddof = given.get("edges"), given.get("ddof", 0)
    if not isinstance(ddof, int) or ddof < 0:
        raise InvalidArgument(f"ddof is {ddof}", hint="give 1 for a sample's, 0 for a population's")
    runner = pooling.runner
    operands = pooling.operands(columns)
    last_places = [pooling.places(column) for column in columns]
    grids: tuple[FixedPoint, ...] = ()
    if "bound" in given:
        rows = 0 if name in OF_VALUES else pooling.max_rows
        bounds, finest = (_of_each(given[option], columns, option) for option in ("bound", "resolution"))
        if given.get("preset") == "ckks":
            bounds = [CKKS_BOUND if bound is None else bound for bound in bounds]
        grids = tuple(
            grid_of(pooling, column, bound=bound, resolution=resolution, rows=rows)
            for column, bound, resolution in zip(columns, bounds, finest, strict=True)
        )
    statistic = Statistic(
        name=name,
        columns=columns,
        grids=grids,
        whole=tuple(last is not None and grid.holds(last) for last, grid in zip(last_places, grids, strict=False)),
        max_rows=pooling.max_rows,
        preset=given.get("preset", "exact"),
        by=pooling.groups.by,
        keys=pooling.groups.plain,
        others=pooling.others,
        where=pooling.conditions,
        edges=None if edges is None else _numbers(edges),
        aggregation=pooling.aggregation,
    )
    pooling.expect(statistic.kinds)
    holder = pooling.holder(OPERATIONS[name])
    parameters = msgspec.to_builtins(statistic)
    for name_of_new, usual in (("aggregation", "encrypted"), ("where", []), ("others", False)):
        if (
            parameters[name_of_new] == usual
        ):  # as requests were when there was no other: stored answers to them are found
            del parameters[name_of_new]
    request = new_request(
        runner,
        OPERATIONS[name],
        parties=(*operands, holder),
        operands=operands,
        parameters=parameters,
        exact_of=pooling.group,
    )
    scheme = statistic.scheme(len(operands))
    answer = reader(statistic, scheme, ddof, pooling.label_types(), listed=listed)

    def finish(answers: Mapping[str, Finished]) -> Any:
        return answer(answers[holder].table)

    keys = f"{holder} holds the key and contributes nothing; {request.parties[-2]} adds the ciphertexts"
    if pooling.aggregation == "masked":
        keys = f"nobody's: {holder} adds up masked totals and contributes nothing; all contributors unmask the sum"
    notes = (("keys", keys), ("arithmetic", _arithmetic(statistic, scheme)))
    return Plan(runner, request, finish, notes=notes)


def _columns(given: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The value columns, and whether they are a list where one could be."""
    if isinstance(several := given.get("columns", ()), str):
        raise InvalidArgument(
            f"columns is the text {several!r}", hint=f"give a list of two or more: columns=[{several!r}, ...]"
        )
    if "column" not in given:
        return tuple(several), False
    column = given["column"]
    listed = isinstance(column, Iterable) and not isinstance(column, str)
    return tuple(column) if listed else (column,), listed


def _of_each(option: OfColumns | None, columns: Sequence[str], name: str) -> list[Any]:
    """What an option says for each column."""
    if not isinstance(option, Mapping):
        return [option] * len(columns)
    if set(option) != set(columns):
        raise InvalidArgument(
            f"{name} is given for {', '.join(map(str, option)) or 'nothing'}",
            hint=f"give one number, or one for each column; name only {', '.join(columns)}",
        )
    return [option[column] for column in columns]


def _arithmetic(statistic: Statistic, scheme: ExactScheme | ApproximateScheme) -> str:
    if isinstance(scheme, ApproximateScheme):
        return f"CKKS, error of a total at most {at_most(scheme.error_bound(0))}"
    limbs = f"{scheme.limbs} limb{'s' if scheme.limbs > 1 else ''} of 30 bits"
    if statistic.aggregation == "masked":
        limbs = f"masks of {bits_for(statistic.largest(scheme.parties))} bits"
    if not statistic.grids:
        return f"exact, {limbs}"
    what = "values" if statistic.name in OF_VALUES else "totals"
    of = [f"{grid.resolution:.3g}, {what} within {grid.bound:.3g}" for grid in statistic.grids]
    return f"exact on a grid of {'; '.join(dict.fromkeys(of))}; {limbs}"


def _numbers(edges: Sequence[float]) -> tuple[float, ...]:
    try:
        return tuple(float(edge) for edge in edges)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"edges are {edges!r}", hint="give the edges themselves, such as [0, 100, 1_000]: they are public"
        ) from None

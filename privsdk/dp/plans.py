"""From a verb's arguments to a plan: the grids, the unit, the parties, the request, the notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ..client.plan import Plan
from ..client.pooling import PooledTables
from ..client.tables import Side, Table, new_request
from ..errors import InvalidArgument
from ..errors.calls import expect
from ..errors.inputs import RowsPerKeyMisfit
from ..governance.charges import Unit
from ..governance.learns import listed
from ..protocol.control import Finished
from ..protocol.operation import Operand
from .intervals import finished
from .operation import NoisyRelease, components_of
from .outlook import ReleaseOutlook
from .release import MAX_BINS, ReleaseParameters, Statistic, default_resolution


def plan_release(
    statistic: Statistic, given: Mapping[str, Any], *, edges: tuple[float, ...] | None = None
) -> Plan[pa.Table]:
    """The plan of one release over one table, several, or a side of a join; a verb gives its `locals()`, and the edges
    of its bins."""
    side = given["tables"] if isinstance(given["tables"], Side) else None
    pooling = PooledTables.of(given if side is None else {**given, "tables": side.table})
    column, resolution, level = (given.get(name) for name in ("column", "resolution", "level"))
    bounds = given.get("bounds") if edges is None else None  # of bins they are in the edges
    runner, brought = pooling.runner, pooling.operands([] if column is None else [column])
    operands = {
        table.party: msgspec.structs.replace(brought[table.party], unit=_unit(table, given["rows_per_id"]))
        for table in pooling.group
    }
    rows = _rows_per_key(given["rows_per_key"], side, operands)
    if side is not None:
        operands = side._bounded(operands[side.party], rows)
    if bounds is not None:
        bounds = _pair(bounds)
        if resolution is None and column is not None:
            resolution = default_resolution(statistic, bounds, places=pooling.places(column))
    for name, wanted in (("epsilon", float), ("level", float | None)):
        expect(name, given.get(name), wanted)
    release = ReleaseParameters(
        statistic=statistic,
        epsilon=float(given["epsilon"]),
        column=column,
        bounds=bounds,
        resolution=1.0 if resolution is None else float(resolution),
        edges=edges,
        quantile=None if level is None else float(level),
        by=pooling.groups.by,
        keys=pooling.groups.plain,
        others=pooling.others,
        where=pooling.conditions,
        collusion=given["collusion"],
        side=None if side is None else side.party,
    )
    pooling.expect(release.kinds)
    parameters = msgspec.to_builtins(release)
    for name_of_new, usual in (("where", []), ("others", False), ("side", None)):
        if parameters[name_of_new] == usual:  # as requests were before there were any
            del parameters[name_of_new]
    parties, answerer = tuple(operands), next(iter(operands)) if side is None else side.party
    pooled = len(operands) > 1 and side is None
    if pooled:
        answerer = pooling.holder(f"dp.{statistic}")
        parties = (*parties, answerer)
    elif pooling.key_holder is not None:
        raise InvalidArgument("one party's table needs no key holder", hint="leave key_holder out")
    request = new_request(runner, f"dp.{statistic}", parties=parties, operands=operands, parameters=parameters)
    operation = NoisyRelease.parse(request)
    scales, shape = operation.scales, operation.shape
    outlook = ReleaseOutlook(release, scales, shape)

    label_types = pooling.label_types()

    def finish(answers: Mapping[str, Finished]) -> pa.Table:
        return finished(release, scales, components_of(answers[answerer].table), shape, label_types)

    units = {operand.unit.protected for operand in operands.values()}
    if side is not None:
        units = {f"{party}: {_protected(operand, own=party == side.party)}" for party, operand in operands.items()}
    notes = (*outlook.expected(), ("protects", f"{'; '.join(sorted(units))}, at epsilon {release.epsilon:g}"))
    if side is not None:
        enter = f"at most {rows} of {side.party} for each joint key (rows_per_key)"
        charged = f"{listed(parties)}: units of each decide which rows of {side.party} enter"
        notes = (*notes, ("rows", enter), ("charged", charged))
    if pooled:
        keys_note = f"{answerer} holds the key and contributes nothing; {parties[-2]} adds the ciphertexts"
        anyone = (
            "any one contributor knows its own share"
            if release.collusion == 1
            else f"any {release.collusion} contributors collude"
        )
        noise = f"drawn in shares by all {len(operands)} contributors: the charged noise is left where {anyone}"
        notes = (*notes, ("keys", keys_note), ("noise", noise))
    return Plan(runner, request, finish, notes=notes, outlook=outlook)


def _rows_per_key(given: int | None, side: Side | None, operands: Mapping[str, Operand]) -> int:
    """Most rows of one joint key: as many as of one unit, where no number is given."""
    expect("rows_per_key", given, int | None)
    if given is not None and (side is None or not 1 <= given < 1 << 31):
        raise InvalidArgument(RowsPerKeyMisfit(given=given, joint=side is not None))
    return given or max(operand.unit.rows for operand in operands.values())


def _protected(operand: Operand, *, own: bool) -> str:
    """What of a party of a join is protected, in words."""
    return operand.unit.protected if own or not operand.unit.id else f"all rows of one {operand.unit.id}"


def public_edges(
    bounds: tuple[float, float] | None, bins: int | None, edges: Sequence[float] | None
) -> tuple[float, ...]:
    """The edges that were given, or those of equal bins."""
    hint = "give either bounds=(low, high) and bins=, or edges=[...]; they are public, so not taken from the data"
    if edges is not None and np.ndim(edges) == 1 and bounds is None and bins is None:
        return tuple(float(edge) for edge in edges)
    if edges is not None or bounds is None or bins is None:
        raise InvalidArgument("the bins are not given, or given twice", hint=hint)
    low, high = _pair(bounds)
    if not (low < high and np.isfinite([low, high, high - low]).all()):
        raise InvalidArgument(
            f"bounds=({low:g}, {high:g}) is not a range", hint="give finite bounds, the lower one first"
        )
    if not 1 <= bins <= MAX_BINS:
        raise InvalidArgument(f"bins is {bins}", hint=f"give 1 to {MAX_BINS}")
    return tuple(np.linspace(low, high, bins + 1).tolist())


def _pair(bounds: Any) -> tuple[float, float]:
    try:
        low, high = bounds
        return float(low), float(high)
    except (TypeError, ValueError):
        raise InvalidArgument(f"bounds is {bounds!r}", hint="give two numbers: bounds=(low, high)") from None


def _unit(table: Table, rows_per_id: int | None) -> Unit:
    """The owner's unit, with so many rows of an id where a number was given."""
    if rows_per_id is None:
        return table.unit
    if not table.unit.id:
        raise InvalidArgument(
            f"{table.party}/{table.name} protects single rows: its owner names no id column",
            hint="leave rows_per_id out",
        )
    return Unit(id=table.unit.id, rows=rows_per_id)

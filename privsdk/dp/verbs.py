"""What a notebook calls of dp, and the declaration of `dp.count` and `dp.sum`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..calls import Finished
from ..charges import Debit, DiscreteLaplace
from ..errors import DataError, InvalidArgument
from ..fixedpoint import FixedPoint
from ..handles import Table, new_request, runner_of
from ..operations import Operation, Outcome, Request, RoleInput, register
from ..privacy import ROWS, Disclosure, Learns, Need
from ..protocol import Role, checkpoint
from ..results import Plan
from .releases import add_noise, half_width

MAX_KEYS = 100_000
_FINEST = 20  # bits of a default grid below the clamping bound
_WIDEST = 2**50  # units of noise scale: samples stay far within int64, and half_width within exact floats


def count(
    table: Table, *, epsilon: float, by: str | None = None, keys: Sequence[str | int | bool] | None = None
) -> Plan[pa.Table]:
    """Count rows, in all or in each public group, with differential privacy.

    Parameters
    ----------
    table : Table
        One party's table.
    epsilon : float
        Privacy loss of the release, for adding or removing one row. Groups are disjoint: the price is epsilon once.
    by, keys : str and sequence
        Group column, and the public group keys to answer for; keys that occur only in the data stay hidden, and their
        rows, like those of a null group, are counted nowhere.

    Returns
    -------
    Plan of Arrow table
        Columns: the group, `count` and `low`, `high`: a 95% interval of each count for the noise. Counts may be
        negative.

    Learns
    ------
    The caller: the noisy counts. Anyone else: nothing.

    Source: see `privsdk.dp.releases`.
    """
    return _plan("count", table, None, None, None, epsilon, by, keys)


def sum(
    table: Table,
    column: str,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    resolution: float | None = None,
    by: str | None = None,
    keys: Sequence[str | int | bool] | None = None,
) -> Plan[pa.Table]:
    """Sum a column, in all or in each public group, with differential privacy.

    Parameters as for `count`, and

    column : str
        Numeric or boolean. Nulls and NaN are left out, which cannot be told from outside; infinities are clamped.
    bounds : (float, float)
        Every value is clamped into this public range. Noise grows with its larger end; values outside it bias the sum.
    resolution : float, optional
        Values are rounded to this grid. Default: 1 for integers, else the power of two 20 bits below the larger bound.

    Returns
    -------
    Plan of Arrow table
        Columns: the group, `sum`, and `low`, `high`: a 95% interval for noise only, clamping bias not included.
    """
    return _plan("sum", table, column, bounds, resolution, epsilon, by, keys)


def _plan(
    statistic: str,
    table: Table,
    column: str | None,
    bounds: tuple[float, float] | None,
    resolution: float | None,
    epsilon: float,
    by: str | None,
    keys: Sequence[str | int | bool] | None,
) -> Plan[pa.Table]:
    if not isinstance(table, Table):
        raise InvalidArgument(
            f"dp.{statistic} takes one party's table, not a {type(table).__name__}", hint='use fed["party"]["table"]'
        )
    columns = tuple(dict.fromkeys(c for c in (column, by) if c is not None))
    operand = table.operand(*columns)
    if by is not None and keys is None:
        raise InvalidArgument(
            f"the groups of {by!r} must be public: groups found in the data would themselves tell who is in it",
            hint=f'list them, for example keys=["a", "b"] for the values of {by!r} that are known to all',
        )
    if keys is not None and not all(isinstance(key, str | int) for key in keys):
        raise InvalidArgument("a group key is neither text nor an integer nor a boolean", hint="group by such a column")
    if keys is not None and by is None:
        raise InvalidArgument("keys are given without by", hint="name the group column: by=...")
    if column is not None and bounds is not None and resolution is None:
        integer = table.type_of(column).startswith(("int", "uint", "bool"))
        largest = max(abs(float(bound)) for bound in bounds)
        finest = not integer and 0 < largest < math.inf  # other bounds are refused below
        resolution = 2.0 ** (math.ceil(math.log2(largest)) - _FINEST) if finest else 1.0
    runner = runner_of(table)
    parameters = {
        "epsilon": float(epsilon),
        "column": column,
        "bounds": None if bounds is None else [float(b) for b in bounds],
        "resolution": 1.0 if resolution is None else float(resolution),
        "by": by,
        "keys": None if keys is None else list(keys),
    }
    request = new_request(
        runner, f"dp.{statistic}", parties=(table.party,), operands={table.party: operand}, parameters=parameters
    )
    parsed = _OPERATIONS[statistic].parse(request)
    width = half_width(parsed.noise_scale) * parsed.resolution

    def finish(answers: Mapping[str, Finished]) -> pa.Table:
        return _with_interval(answers[table.party].table, statistic, width)

    each = "of each group's " if by else "of the "
    bias = "" if statistic == "count" else "; clamping bias not included"
    notes = (("expected error", f"at most {width:g} with 95% probability, {each}{statistic} (noise only{bias})"),)
    return Plan(runner, request, finish, notes=notes)


def _with_interval(table: pa.Table, statistic: str, width: float) -> pa.Table:
    values = table.column(statistic)
    return table.append_column("low", pc.subtract(values, _like(values, width))).append_column(
        "high", pc.add(values, _like(values, width))
    )


def _like(values: pa.ChunkedArray, width: float) -> pa.Scalar:
    return pa.scalar(int(width) if pa.types.is_integer(values.type) else width, values.type)


class ReleaseParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    epsilon: float
    column: str | None
    bounds: tuple[float, float] | None
    resolution: float
    by: str | None
    keys: tuple[str | int | bool, ...] | None

    def __post_init__(self) -> None:
        if not (0 < self.epsilon <= 100):
            raise InvalidArgument(
                f"epsilon is {self.epsilon:g}", hint="give a number above 0, usually between 0.01 and 1"
            )
        if self.keys is not None:
            if not 0 < len(self.keys) <= MAX_KEYS or len(set(self.keys)) != len(self.keys):
                raise InvalidArgument(f"{len(self.keys)} keys", hint=f"give 1 to {MAX_KEYS} different keys")
            if len({type(key) for key in self.keys}) != 1:
                raise InvalidArgument("keys of different types", hint="give all keys in the group column's type")
            if any(isinstance(key, int) and not -(2**63) <= key < 2**63 for key in self.keys):
                raise InvalidArgument("a key that no 64-bit integer column can hold", hint="leave it out")
        if (self.bounds is None) != (self.column is None):
            raise InvalidArgument("a sum needs a column and its bounds", hint="bounds=(low, high), publicly known")
        if self.bounds is not None:
            low, high = self.bounds
            if not (low < high and np.isfinite([low, high]).all()):
                raise InvalidArgument(f"bounds of ({low:g}, {high:g})", hint="give finite bounds, the lower one first")
            if not 0 < self.resolution <= max(abs(low), abs(high)):
                raise InvalidArgument(f"a resolution of {self.resolution:g}", hint="give a part of the larger bound")
            if self.sensitivity > 2**32:
                raise InvalidArgument(
                    f"a resolution of {self.resolution:g} for bounds of ({low:g}, {high:g}) is too fine",
                    hint="2**32 steps are allowed in the larger bound",
                )

        if self.noise_scale > _WIDEST:
            raise InvalidArgument(
                f"epsilon {self.epsilon:g} asks for noise of {self.noise_scale:.3g} units",
                hint=f"a release may have 2**{_WIDEST.bit_length() - 1}; give a larger epsilon or a coarser resolution",
            )

    @property
    def sensitivity(self) -> int:
        """Largest change of any one group's total, in units, by adding or removing one row."""
        if self.bounds is None:
            return 1
        return max(abs(unit) for unit in self.clamp_units)

    @property
    def clamp_units(self) -> tuple[int, int]:
        low, high = self.bounds or (0.0, 0.0)
        return round(low / self.resolution), round(high / self.resolution)

    @property
    def noise_scale(self) -> float:
        return self.sensitivity / self.epsilon


def _check(request: Request, parameters: ReleaseParameters) -> None:
    if len(request.parties) != 1 or set(request.operands) != set(request.parties):
        raise InvalidArgument(f"{request.operation} takes one party's table")
    (operand,) = request.operands.values()
    named = {name for name in (parameters.column, parameters.by) if name is not None}
    if set(operand.columns) != named or operand.alignment:
        raise InvalidArgument(f"{request.operation} takes a base table and the columns its parameters name")
    if (request.operation == "dp.sum") != (parameters.column is not None):
        raise InvalidArgument("dp.sum takes a column and bounds, dp.count takes neither")
    if (parameters.by is None) != (parameters.keys is None):
        raise InvalidArgument("by and keys belong together")


def _needs(request: Request, parameters: ReleaseParameters) -> dict[str, tuple[Need, ...]]:
    ((party, operand),) = request.operands.items()
    columns = operand.columns or (ROWS,)
    return {
        party: tuple(
            Need(table=operand.table, column=c, disclosure=Disclosure.DP_RELEASE, epsilon=parameters.epsilon)
            for c in columns
        )
    }


def _price(request: Request, parameters: ReleaseParameters) -> dict[str, tuple[Debit, ...]]:
    ((party, operand),) = request.operands.items()
    charge = DiscreteLaplace(scale=parameters.noise_scale, sensitivity=float(parameters.sensitivity))
    return {party: (Debit(table=operand.table, charge=charge),)}


def _learns(request: Request, parameters: ReleaseParameters) -> tuple[Learns, ...]:
    (party,) = request.parties
    statistic = request.operation.removeprefix("dp.")
    each = f" of each of {len(parameters.keys)} groups" if parameters.keys is not None else ""
    return (
        Learns(who=request.caller, what=f"the noisy {statistic}{each}, epsilon {parameters.epsilon:g}"),
        Learns(who=party, what="nothing"),
        Learns(who="onlooker", what="nothing but that it ran"),
    )


def _role(given: RoleInput, parameters: ReleaseParameters) -> Role[Outcome]:
    yield from checkpoint("adding noise", 0, 1)
    groups = 1 if parameters.keys is None else len(parameters.keys)
    codes = _codes(given, parameters)
    totals = _totals(given, parameters, codes, groups)
    noisy = add_noise(totals, scale=parameters.noise_scale)
    statistic = given.request.operation.removeprefix("dp.")
    integers = parameters.resolution == 1.0
    values = pa.array(noisy, pa.int64()) if integers else pa.array([n * parameters.resolution for n in noisy])
    columns = {} if parameters.by is None else {parameters.by: pa.array(list(parameters.keys or ()))}
    return Outcome(table=pa.table({**columns, statistic: values}))


def _codes(given: RoleInput, parameters: ReleaseParameters) -> npt.NDArray[np.int64]:
    """For each row the number of its public group, -1 where it is in none."""
    if parameters.by is None:
        return np.zeros(given.table.num_rows, dtype=np.int64)
    column = given.table.column(parameters.by)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    keys = pa.array(list(parameters.keys or ()))
    try:
        codes = pc.index_in(column, value_set=keys.cast(column.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(
            f"the group keys are {keys.type} and {given.party}'s {parameters.by} is {column.type}",
            hint="give the keys in the column's own type",
        ) from None
    filled: npt.NDArray[np.int64] = pc.fill_null(codes, -1).to_numpy().astype(np.int64)
    return filled


def _totals(given: RoleInput, parameters: ReleaseParameters, codes: npt.NDArray[np.int64], groups: int) -> list[int]:
    """Each group's exact total in units. Never fails on a value: an error would tell about a row."""
    if parameters.column is None:
        return [int(n) for n in np.bincount(codes[codes >= 0], minlength=groups)]
    column = given.table.column(parameters.column)
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(
            f"{given.party}'s {parameters.column} is {column.type}, which cannot be summed",
            hint="use a numeric or boolean column",
        )
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    keep = (codes >= 0) & ~np.isnan(values)
    low, high = parameters.bounds or (0.0, 0.0)
    grid = FixedPoint(bound=max(abs(low), abs(high)), resolution=parameters.resolution)
    units = np.clip(grid.to_units(np.clip(values[keep], low, high)), *parameters.clamp_units)
    totals = np.zeros(groups, dtype=np.int64)
    np.add.at(totals, codes[keep], units)
    return [int(total) for total in totals]


_OPERATIONS = {
    statistic: register(
        Operation(
            name=f"dp.{statistic}",
            parameters=ReleaseParameters,
            check=_check,
            needs=_needs,
            price=_price,
            learns=_learns,
            role=_role,
        )
    )
    for statistic in ("count", "sum")
}

"""What a notebook calls of he, and the declaration of `he.sum` and `he.mean`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..calls import Finished
from ..charges import Debit, Exact
from ..displays import at_most
from ..errors import DataError, InvalidArgument, UnknownName
from ..fixedpoint import ColumnSum, FixedPoint
from ..handles import Table, Tables, as_tables, new_request, runner_of
from ..operations import Kind, Operation, Outcome, Request, RoleInput, of_kinds, register
from ..privacy import Disclosure, Learns, Need
from ..protocol import Role, checkpoint
from ..results import Plan, Runner
from . import schemes
from .presets import Scheme as Preset
from .schemes import Approximate
from .sums import EncryptedSum, Scheme, V

DEFAULT_BOUND = 2.0**40
DEFAULT_ROWS = 1 << 24
ROWS_A_STEP = 1 << 20  # about 0.1 s of summing between checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A statistic over all parties' rows.

    Attributes
    ----------
    value : float
        The sum or the mean, in the column's unit; NaN for a mean of no rows.
    count : int or None
        Rows in it, where they were counted.
    error : float
        Bound on the difference from exact arithmetic: rounding to the grid, and CKKS noise where that preset was used.
    count_error : float
        Bound on the error of `count`: 0 but for the CKKS preset.
    """

    value: float
    count: int | None
    error: float
    count_error: float = 0.0

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        over = "" if self.count is None else f" over {self.count:,} rows"
        if self.count_error:
            over = f" over about {self.count:,} rows (within {at_most(self.count_error)})"
        return f"{self.value:.10g}{over} (error at most {at_most(self.error)})"


def sum(
    tables: Tables | Table | list[Table],
    column: str,
    *,
    bound: float = DEFAULT_BOUND,
    resolution: float | None = None,
    preset: Preset = "exact",
    key_holder: str | None = None,
) -> Plan[Pooled]:
    """Sum a column over all parties that hold it, under encryption.

    Parameters
    ----------
    tables : Tables
        One table a party, such as `fed.tables("sales")`.
    column : str
        Numeric or boolean. Nulls are left out; a NaN or infinite value is refused by its party before anything is
        encrypted.
    bound : float
        Largest absolute total, in the column's unit; each party refuses if its own subtotal is larger.
    resolution : float, optional
        Grid of the fixed point, in the column's unit. Default: 1 for integers; for reals 2**-60 of the bound.
    preset : "exact" or "ckks"
        Exact integers by BFV, or approximate reals by CKKS with a stated error.
    key_holder : str, optional
        The party that decrypts; it contributes nothing. Default: the first party that holds none of the tables.

    Each party takes part with at least its owner's minimum count of values.

    Learns
    ------
    Key holder and caller: the total. Others: nothing. Aggregator and key holder together would see every contribution.

    Source: see `privsdk.he.sums` and `privsdk.he.schemes`.
    """
    return _plan("sum", tables, column, bound, DEFAULT_ROWS, resolution, preset, key_holder)


def mean(
    tables: Tables | Table | list[Table],
    column: str,
    *,
    bound: float = DEFAULT_BOUND,
    max_rows: int = DEFAULT_ROWS,
    resolution: float | None = None,
    preset: Preset = "exact",
    key_holder: str | None = None,
) -> Plan[Pooled]:
    """Mean of a column over all parties' rows, under encryption.

    Parameters as for `sum`; `max_rows` bounds the number of rows of all parties (it scales CKKS's error).

    Learns
    ------
    Key holder and caller: the total and the number of rows, so the mean. Others: nothing.
    """
    return _plan("mean", tables, column, bound, max_rows, resolution, preset, key_holder)


def _plan(
    statistic: str,
    tables: Tables | Table | list[Table],
    column: str,
    bound: float,
    max_rows: int,
    resolution: float | None,
    preset: Preset,
    key_holder: str | None,
) -> Plan[Pooled]:
    group = as_tables(tables)
    runner = runner_of(*group)
    operands = {table.party: table.operand(column) for table in group}
    integers = all(_is_integer(table.type_of(column)) for table in group)
    for table in group:
        if not _is_integer(table.type_of(column)) and not _is_real(table.type_of(column)):
            raise InvalidArgument(
                f"{table.party}/{table.name}.{column} is {table.type_of(column)}: it has no {statistic}",
                hint="use a numeric or boolean column",
            )
    grid = FixedPoint.choose(bound=bound, resolution=resolution, integers=integers)
    holder = pick_key_holder(runner, tuple(operands), key_holder)
    request = new_request(
        runner,
        f"he.{statistic}",
        parties=(*operands, holder),
        operands=operands,
        parameters={"grid": msgspec.to_builtins(grid), "preset": preset, "max_rows": max_rows},
    )
    parameters = SumParameters(grid=grid, preset=preset, max_rows=max_rows)
    scheme = _scheme(request, parameters)

    def finish(answers: Mapping[str, Finished]) -> Pooled:
        return _pooled(answers[holder].value, statistic, parameters, scheme, integers)

    notes = (
        ("keys", f"{holder} holds the key and contributes nothing; {request.parties[-2]} adds the ciphertexts"),
        ("arithmetic", _arithmetic(parameters, scheme)),
    )
    return Plan(runner, request, finish, notes=notes)


def pick_key_holder(runner: Runner, contributors: tuple[str, ...], wanted: str | None) -> str:
    """The named party, or the first of the federation that contributes nothing."""
    free = [party for party in runner.parties if party not in contributors]
    if wanted is None:
        if not free:
            raise InvalidArgument(
                f"all parties contribute ({', '.join(contributors)}): nobody is left to hold the key",
                hint="add a party without this table, such as ps.embedded(..., notary={}), or leave one table out",
            )
        return free[0]
    if wanted in contributors:
        raise InvalidArgument(
            f"{wanted} contributes and cannot hold the key: it would decrypt the others' values",
            hint=f"choose one that contributes nothing: {', '.join(free) or 'none yet'}",
        )
    if wanted not in free:
        raise UnknownName.among("party", wanted, runner.parties)
    return wanted


def _is_integer(text: str) -> bool:
    return text.startswith(("int", "uint", "bool"))


def _is_real(text: str) -> bool:
    return text in ("float", "double", "halffloat")


def _arithmetic(parameters: SumParameters, scheme: schemes.Exact | Approximate) -> str:
    grid = parameters.grid
    if isinstance(scheme, Approximate):
        return f"CKKS, error of a total at most {at_most(scheme.error_bound(0))}"
    return f"exact on a grid of {grid.resolution:.3g}, totals within {grid.bound:.3g}, {scheme.limbs} limbs of 30 bits"


def _pooled(
    value: dict[str, Any],
    statistic: str,
    parameters: SumParameters,
    scheme: schemes.Exact | Approximate,
    integers: bool,
) -> Pooled:
    grid, parties = parameters.grid, scheme.parties
    whole = integers and grid.resolution == 1.0
    rounding = 0.0 if whole else parties * grid.resolution / 2  # each party rounds once to the grid
    if isinstance(scheme, Approximate):
        totals = [float(total) for total in value["totals"]]
        error = rounding + scheme.error_bound(0)
        count_error = scheme.error_bound(1) if scheme.length > 1 else 0.0
        total = totals[0]
    else:
        total = grid.from_units(int(value["totals"][0]))
        totals = [total, *(int(other) for other in value["totals"][1:])]
        # and the total is rounded to float64, which changes no integer up to 2^53
        error = rounding + (0.0 if whole and abs(total) < 2.0**53 else abs(total) * 2.0**-53)
        count_error = 0.0
    if statistic == "sum":
        return Pooled(value=total, count=None, error=error)
    count = round(totals[1])
    if count < 1:
        error = math.inf if count_error else 0.0
        return Pooled(value=math.nan, count=max(0, count), error=error, count_error=count_error)
    mean_value = total / totals[1]
    least = max(totals[1] - count_error, 0.5)
    division = abs(mean_value) * 2.0**-53
    error = (error + abs(mean_value) * count_error) / least + division
    return Pooled(value=mean_value, count=count, error=error, count_error=count_error)


class SumParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    grid: FixedPoint
    preset: Preset
    max_rows: int

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise InvalidArgument(f"max_rows is {self.max_rows}", hint="give a number of rows, 1 or more")


def _scheme(request: Request, parameters: SumParameters) -> schemes.Exact | Approximate:
    grid = parameters.grid
    parties, length = len(request.operands), 2 if request.operation == "he.mean" else 1
    if parameters.preset == "ckks":
        bounds = (grid.bound, float(parameters.max_rows))[:length]
        return Approximate(parties=parties, length=length, bounds=bounds)
    return schemes.Exact(parties=parties, length=length, max_units=max(grid.max_units, parameters.max_rows))


def _check(request: Request, parameters: SumParameters) -> None:
    check_star(request)
    if len({operand.columns for operand in request.operands.values()}) != 1:
        raise InvalidArgument(f"{request.operation} takes the same column of every party")
    if any(len(operand.columns) != 1 or operand.alignment for operand in request.operands.values()):
        raise InvalidArgument(f"{request.operation} takes one column of a base table from each party")
    _scheme(request, parameters)


def check_star(request: Request) -> None:
    """The shape of an encrypted sum: contributors, the aggregator last of them, then a key holder without data."""
    contributors, holder = request.parties[:-1], request.parties[-1:]
    if not contributors or set(request.operands) != set(contributors) or holder[0] in request.operands:
        raise InvalidArgument(f"{request.operation} takes contributors with a table each and a key holder without")


def star_contributors(request: Request, parameters: object) -> tuple[str, ...]:
    return request.parties[:-1]


def _recipients(request: Request, parameters: object) -> tuple[str, ...]:
    return (request.parties[-1], request.caller)


def _kinds(request: Request, parameters: SumParameters) -> Mapping[str, Kind]:
    return {operand.columns[0]: Kind.NUMBER for operand in request.operands.values()}


def _needs(request: Request, parameters: SumParameters) -> dict[str, tuple[Need, ...]]:
    return {
        party: (Need(table=operand.table, column=operand.columns[0], disclosure=Disclosure.HE_OPERAND),)
        for party, operand in request.operands.items()
    }


def _price(request: Request, parameters: SumParameters) -> dict[str, tuple[Debit, ...]]:
    return {
        party: (Debit(table=operand.table, charge=Exact(what=request.operation)),)
        for party, operand in request.operands.items()
    }


def _learns(request: Request, parameters: SumParameters) -> tuple[Learns, ...]:
    *contributors, aggregator, holder = request.parties
    what = "the total over all parties" + (" and the number of rows" if request.operation == "he.mean" else "")
    return (
        Learns(who=holder, what=what),
        Learns(who=request.caller, what=what),
        Learns(who=", ".join((*contributors, aggregator)), what="nothing; ciphertexts they cannot open"),
        Learns(who="onlooker", what="nothing but that it ran"),
        Learns(who=f"{aggregator} and {holder} together", what="every party's total: the collusion threshold is 1"),
    )


def _role(given: RoleInput, parameters: SumParameters) -> Role[Outcome]:
    scheme = _scheme(given.request, parameters)
    if isinstance(scheme, Approximate):
        reals = _star(given, scheme)
        if reals.holds_key:
            return (yield from _totals(reals))
        total, count = yield from _column_sum(given, parameters)
        return (yield from _contribute(reals, [parameters.grid.from_units(total), float(count)][: scheme.length]))
    integers = _star(given, scheme)
    if integers.holds_key:
        return (yield from _totals(integers))
    own = yield from _column_sum(given, parameters)
    return (yield from _contribute(integers, [*own][: scheme.length]))


def _star(given: RoleInput, scheme: Scheme[V]) -> EncryptedSum[V]:
    *contributors, holder = given.request.parties
    return EncryptedSum(scheme, me=given.party, contributors=tuple(contributors), key_holder=holder)


def _totals(summation: EncryptedSum[V]) -> Role[Outcome]:
    yield from summation.set_up()
    totals = yield from summation.collect()
    return Outcome(value={"totals": [str(total) for total in totals]})


def _contribute(summation: EncryptedSum[V], vector: list[V]) -> Role[Outcome]:
    yield from summation.set_up()
    yield from summation.contribute(vector)
    return Outcome()


def _column_sum(given: RoleInput, parameters: SumParameters) -> Role[ColumnSum]:
    column, name, parts = given.table.column(0), given.table.column_names[0], []
    for start in range(0, len(column), ROWS_A_STEP):
        yield from checkpoint("summing", start, len(column))
        parts.append(parameters.grid.part(column.slice(start, ROWS_A_STEP), party=given.party, name=name))
    total = parameters.grid.total(parts, party=given.party, name=name)
    if total.rows < given.min_count:
        raise DataError(
            f"{given.party} has fewer values in {name} than its minimum count of {given.min_count}: nothing was sent",
            hint="leave this party out",
        )
    return total


for _name in ("he.sum", "he.mean"):
    register(
        Operation(
            name=_name,
            parameters=SumParameters,
            check=_check,
            needs=_needs,
            price=_price,
            learns=_learns,
            role=_role,
            fits=of_kinds(_kinds),
            contributors=star_contributors,
            recipients=_recipients,
        )
    )

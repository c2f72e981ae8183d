"""Joint tables: what each side of a join can compute over its matched rows, under its own policy.

The notebook holds the random id of an alignment; the rows stay at the party. The operation here, `joint.aggregate`, is
one party's exact count, mean and sum, over groups of at least the owners' minimum count of distinct joint keys.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..calls import Finished
from ..charges import Debit, Exact
from ..displays import Card, Grid
from ..errors import DataError, InvalidArgument, UnknownName
from ..handles import Handle, Table, new_request
from ..operations import Kind, Operand, Operation, Outcome, Request, RoleInput, register
from ..privacy import ROWS, Disclosure, Learns, Need
from ..protocol import Role, checkpoint
from ..results import Plan, Runner


class Joint(Handle):
    """The result of a join: index it with a party's name for that party's side."""

    def __init__(
        self, runner: Runner, request: Request, answers: Mapping[str, Finished], tables: Mapping[str, Table]
    ) -> None:
        sizes = [answer.value["keys"] for answer in answers.values()]
        self.size: int | None = None if None in sizes else sizes[0]
        self.min_count: int = max(answer.value["min_count"] for answer in answers.values())
        self.parties = request.parties
        self._sides = {party: JointSide(runner, tables[party], answer.alignment) for party, answer in answers.items()}

    def __getitem__(self, party: str) -> JointSide:
        if party not in self._sides:
            raise UnknownName.among("party", party, self._sides, where="in this join")
        return self._sides[party]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._sides)

    def __str__(self) -> str:
        size = f"fewer than {self.min_count}" if self.size is None else f"{self.size:,}"
        return f"joint table of {' and '.join(self.parties)}: {size} shared keys"

    def _card(self) -> Card:
        return Card(title=str(self), facts=[("sides", ", ".join(f'["{p}"]' for p in self.parties))])


class JointSide(Handle):
    """One party's matched rows: exact counts, means and sums of its own columns.

    Nulls and NaN in the column are left out; a null group is a group of its own. Groups with fewer distinct joint keys
    than the larger of both owners' minimum counts are withheld, and the next smallest with them where the withheld ones
    would otherwise follow from the total; the result's schema metadata says how many were (`withheld_groups`).
    """

    def __init__(self, runner: Runner, table: Table, alignment: str) -> None:
        self.party = table.party
        self.table = table
        self._runner = runner
        self._alignment = alignment

    def count(self, column: str | None = None, *, by: str | None = None) -> Plan[pa.Table]:
        """Count matched rows, or those whose `column` is neither null nor NaN.

        Returns a plan of an Arrow table: the group column if `by` is given, and `count`.
        """
        return self._plan("count", column, by)

    def mean(self, column: str, *, by: str | None = None) -> Plan[pa.Table]:
        """Mean of a numeric or boolean column over matched rows; columns of the result: group, `count`, `mean`."""
        return self._plan("mean", column, by)

    def sum(self, column: str, *, by: str | None = None) -> Plan[pa.Table]:
        """Sum of a numeric or boolean column over matched rows; columns of the result: group, `count`, `sum`."""
        return self._plan("sum", column, by)

    def _plan(self, statistic: str, column: str | None, by: str | None) -> Plan[pa.Table]:
        columns = tuple(dict.fromkeys(c for c in (column, by) if c is not None))
        operand = self.table.operand(*columns)
        self.table.expect(_summed(statistic, column))
        request = new_request(
            self._runner,
            "joint.aggregate",
            parties=(self.party,),
            operands={self.party: Operand(table=operand.table, columns=columns, alignment=self._alignment)},
            parameters={"statistic": statistic, "column": column, "by": by},
        )

        def finish(answers: Mapping[str, Finished]) -> pa.Table:
            return answers[self.party].table

        return Plan(self._runner, request, finish)

    def _card(self) -> Card:
        rows = [(name, type_) for name, type_ in self.table.columns.items()]
        return Card(
            title=f"{self.party}'s side of a join ({self.table.name})",
            facts=[("offers", ".count(column=None, by=None), .mean(column, by=None), .sum(column, by=None)")],
            grids=(("columns", Grid(header=("column", "type"), rows=rows)),),
        )


class AggregateParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    statistic: str
    column: str | None
    by: str | None


def _check(request: Request, parameters: AggregateParameters) -> None:
    if parameters.statistic not in ("count", "mean", "sum"):
        raise InvalidArgument(f"joint.aggregate has no statistic {parameters.statistic!r}", hint="count, mean or sum")
    if parameters.statistic != "count" and parameters.column is None:
        raise InvalidArgument(f"a {parameters.statistic} needs a column")
    if len(request.parties) != 1 or set(request.operands) != set(request.parties):
        raise InvalidArgument("joint.aggregate takes one party's side of a join")
    (operand,) = request.operands.values()
    named = {name for name in (parameters.column, parameters.by) if name is not None}
    if not operand.alignment or set(operand.columns) != named:
        raise InvalidArgument("joint.aggregate takes a joint table and the columns its parameters name")


def _summed(statistic: str, column: str | None) -> Mapping[str, Kind]:
    return {column: Kind.NUMBER} if column is not None and statistic != "count" else {}


def _kinds(request: Request, parameters: AggregateParameters) -> Mapping[str, Kind]:
    return _summed(parameters.statistic, parameters.column)


def _needs(request: Request, parameters: AggregateParameters) -> dict[str, tuple[Need, ...]]:
    ((party, operand),) = request.operands.items()
    needs = [
        Need(table=operand.table, column=parameters.column or ROWS, disclosure=Disclosure.AGGREGATE),
    ]
    if parameters.by is not None:
        needs.append(Need(table=operand.table, column=parameters.by, disclosure=Disclosure.GROUP_KEY))
    return {party: tuple(needs)}


def _price(request: Request, parameters: AggregateParameters) -> dict[str, tuple[Debit, ...]]:
    ((party, operand),) = request.operands.items()
    return {party: (Debit(table=operand.table, charge=Exact(what=f"joint {parameters.statistic}")),)}


def _learns(request: Request, parameters: AggregateParameters) -> tuple[Learns, ...]:
    (party,) = request.parties
    of = f" of {parameters.column}" if parameters.column else ""
    by = f" by {parameters.by}, and the labels of those groups" if parameters.by else ""
    rows = "" if parameters.statistic == "count" else " and the number of rows"
    least = "over groups of at least the owners' minimum count of joint keys, and how many groups were withheld"
    what = f"the exact {parameters.statistic}{of}{rows}{by}, {least}"
    return (
        Learns(who=request.caller, what=what),
        Learns(who=party, what="nothing"),
        Learns(who="onlooker", what="about how many groups there are, from the length of the encrypted answer"),
    )


def _role(given: RoleInput, parameters: AggregateParameters) -> Role[Outcome]:
    yield from checkpoint("aggregating", 0, 1)
    if given.keys is None:
        raise InvalidArgument("joint.aggregate needs a joint table")
    frame = pa.table({"key": pa.array(given.keys)})
    if parameters.by is not None:
        frame = frame.append_column("group", _groups(given, parameters.by))
    if parameters.column is not None:
        values = _numeric(given, parameters)
        frame = frame.append_column("value", values).filter(pc.is_valid(values))
    groups = frame.group_by(["group"] if parameters.by is not None else [], use_threads=False)
    wanted = [("key", "count"), ("key", "count_distinct")]
    if parameters.statistic != "count":
        wanted.append(("value", parameters.statistic))
    result = groups.aggregate(wanted)
    result = result.sort_by("key_count_distinct")
    kept = result.slice(_withheld(frame, result, given.min_count))
    columns = {}
    if parameters.by is not None:
        kept = kept.sort_by("group")
        columns[parameters.by] = kept["group"]
    columns["count"] = kept["key_count"]
    if parameters.statistic != "count":
        columns[parameters.statistic] = kept[f"value_{parameters.statistic}"]
    withheld = result.num_rows - kept.num_rows
    metadata = {"withheld_groups": str(withheld), "min_count": str(given.min_count)}
    return Outcome(table=pa.table(columns).replace_schema_metadata(metadata))


def _withheld(frame: pa.Table, result: pa.Table, min_count: int) -> int:
    """How many groups to withhold, the smallest first.

    Those of fewer joint keys than the minimum count, and then as many more as it takes for all withheld ones together
    to have that many: else the total less the groups shown would give them away.
    """
    sizes: list[int] = result["key_count_distinct"].to_pylist()
    count = sum(size < min_count for size in sizes)
    while 0 < count < len(sizes):
        hidden = pc.is_in(frame["group"], value_set=result["group"].slice(0, count).combine_chunks())
        if pc.count_distinct(frame["key"].filter(hidden)).as_py() >= min_count:
            break
        count += 1
    return count


def _groups(given: RoleInput, by: str) -> pa.ChunkedArray:
    column = given.table.column(by)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type):
        raise DataError(f"{given.party}'s {by} is {column.type}, which cannot group", hint="use a plain column")
    return column


def _numeric(given: RoleInput, parameters: AggregateParameters) -> pa.ChunkedArray:
    """The value column with NaN as null; booleans count as 0 and 1 in means and sums."""
    column = given.table.column(parameters.column)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if parameters.statistic == "count":
        return column
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int64())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(
            f"{given.party} cannot take the {parameters.statistic} of {parameters.column}, which is {column.type}",
            hint="use a numeric or boolean column",
        )
    if pa.types.is_floating(column.type) and not np.isfinite(pc.fill_null(column, 0.0).to_numpy()).all():
        raise DataError(
            f"{given.party}'s {parameters.column} holds an infinite value", hint="ask its owner to clean it"
        )
    if pa.types.is_float16(column.type):
        return column.cast(pa.float64())
    if pa.types.is_integer(column.type) and parameters.statistic == "sum" and _magnitude(column) >= 2**63:
        raise DataError(
            f"{given.party}'s {parameters.column} has a sum beyond 64 bits", hint="ask its owner for a column of floats"
        )
    return column


def _magnitude(column: pa.ChunkedArray) -> float:
    """Sum of absolute values: Arrow's sums of integers wrap around beyond 64 bits."""
    return float(pc.sum(pc.abs(column.cast(pa.float64(), safe=False))).as_py() or 0)


register(
    Operation(
        name="joint.aggregate",
        parameters=AggregateParameters,
        check=_check,
        needs=_needs,
        price=_price,
        learns=_learns,
        role=_role,
        kinds=_kinds,
    )
)

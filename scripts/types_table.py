"""Print the table of what columns of each Arrow type can be used for, by using one of each in every place.

Not a description of its own: a cell says what was answered here, and rightly, or why it was refused. All columns are
in one table, so that none that is there and not asked for is in the way of the others.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.tables import Table, Tables
from privsdk.errors import UsageError
from privsdk.governance.policy import ANY, Disclosure, Grant, Policy

ROWS = 24
POLICY = Policy(
    operations=(ANY,),
    grants=(Grant(table=ANY, columns={ANY: tuple(Disclosure)}, min_count=2, max_epsilon=100.0),),
    min_parties=1,
)
UNITS: tuple[Any, ...] = ("s", "ms", "us", "ns")
WHOLE, TEXTS, LISTS = [0, 1, 2, 3], ["a", "b", "c", "d"], [[0, 1], [1, 2], [2, 3], [3, 4]]
OCTETS = [text.encode() for text in TEXTS]
HALVES = [0.0, 0.5, 1.0, 1.5]
CENTS = [Decimal(n) / 2 for n in WHOLE]
NOONS = [datetime(2024, 1, day, 12) for day in (1, 2, 3, 4)]
ZONED = [each.replace(tzinfo=UTC) for each in NOONS]
HOURS = [timedelta(hours=n) for n in WHOLE]
UUIDS = [uuid.UUID(int=n) for n in WHOLE]


class Kind(NamedTuple):
    """An Arrow type, what its column holds, each value as many times, and how questions write these values."""

    type_: pa.DataType
    values: Sequence[Any]
    asked: Sequence[Any]

    @property
    def named(self) -> str:
        text = str(self.type_).removeprefix("extension<")
        return text if text == str(self.type_) else text.removesuffix(">")


KINDS: tuple[tuple[tuple[pa.DataType, ...], Sequence[Any], Sequence[Any] | None], ...] = (
    ((pa.int8(), pa.int16(), pa.int32(), pa.int64()), WHOLE, None),
    ((pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()), WHOLE, None),
    ((pa.bool_(), pa.bool8()), [0, 1], [False, True]),
    ((pa.float16(),), list(np.array(HALVES, np.float16)), HALVES),
    ((pa.float32(), pa.float64()), HALVES, None),
    ((pa.decimal32(5, 2), pa.decimal64(12, 2), pa.decimal128(20, 2), pa.decimal256(50, 2)), CENTS, None),
    ((pa.string(), pa.large_string(), pa.string_view()), TEXTS, None),
    ((pa.dictionary(pa.int8(), pa.string()), pa.run_end_encoded(pa.int32(), pa.string())), TEXTS, None),
    ((pa.uuid(),), UUIDS, list(map(str, UUIDS))),
    ((pa.json_(),), [json.dumps({"a": n}) for n in WHOLE], None),
    ((pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1)), OCTETS, None),
    ((pa.date32(), pa.date64()), [each.date() for each in NOONS], None),
    (tuple(map(pa.timestamp, UNITS)), NOONS, None),
    (tuple(pa.timestamp(unit, "Europe/Paris") for unit in UNITS), ZONED, None),
    ((pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")), [time(hour) for hour in WHOLE], None),
    (tuple(map(pa.duration, UNITS)), HOURS, None),
    ((pa.month_day_nano_interval(),), [pa.MonthDayNano([n, n, n]) for n in WHOLE], HOURS),
    ((pa.list_(pa.float32()), pa.large_list(pa.int8()), pa.list_(pa.float64(), 2)), LISTS, None),
    ((pa.list_view(pa.float32()), pa.large_list_view(pa.int8())), LISTS, None),
    ((pa.fixed_shape_tensor(pa.float32(), [2]),), LISTS, None),
    ((pa.list_(pa.string()),), [[text] for text in TEXTS], None),
    ((pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8())), [{"a": n} for n in WHOLE], None),
    ((pa.dense_union([pa.field("a", pa.int8())]), pa.sparse_union([pa.field("a", pa.int8())])), WHOLE, None),
    ((pa.opaque(pa.binary(), "geometry", "gis"),), OCTETS, None),
    ((pa.null(),), [None, None], WHOLE),
)


def kinds() -> Iterator[Kind]:
    """Every type that Arrow has; questions write values as columns hold them unless `KINDS` says how."""
    for types, values, asked in KINDS:
        for type_ in types:
            yield Kind(type_, values, values if asked is None else asked)


def column(kind: Kind) -> pa.Array:
    """Each value in some rows."""
    values = [value for value in kind.values for _ in range(ROWS // len(kind.values))]
    if isinstance(kind.type_, pa.UnionType):
        return _union(kind.type_, values)
    if isinstance(kind.type_, pa.BaseExtensionType) and not isinstance(kind.type_, pa.UuidType):
        return kind.type_.wrap_array(pa.array(values, kind.type_.storage_type))
    return pa.array(map(bool, values) if kind.type_ == pa.bool_() else values, kind.type_)


def _union(type_: pa.UnionType, values: Sequence[Any]) -> pa.Array:
    codes, child = pa.array([0] * len(values), pa.int8()), pa.array(values, type_.field(0).type)
    if type_.mode == "sparse":
        return pa.UnionArray.from_sparse(codes, [child], ["a"])
    return pa.UnionArray.from_dense(codes, pa.array(range(len(values)), pa.int32()), [child], ["a"])


class Column(NamedTuple):
    """A column under its name, in the tables of both parties."""

    name: str
    kind: Kind
    tables: Tables

    @property
    def table(self) -> Table:
        return next(iter(self.tables))

    @property
    def each(self) -> int:
        """Rows of each value."""
        return 0 if self.kind.type_ == pa.null() else ROWS // len(self.kind.values)


def join(column: Column) -> None:
    size = _released(psi.join(*column.tables, on=column.name)).size
    _expect(size, 0 if not column.each else len(column.kind.values))


def where(column: Column) -> None:
    first, second = column.kind.asked[:2]
    for condition, values in ((first, 1), ([first, second], 2), ((first, second), 2)):
        counts = _released(column.table.count(where={column.name: condition}))["count"].to_pylist()
        _expect(counts, [column.each * values] if column.each else [])


def by(column: Column) -> None:
    counts = _released(column.table.count(by=column.name))["count"].to_pylist()
    _expect(counts, [column.each or ROWS] * (len(column.kind.values) if column.each else 1))


def mean(column: Column) -> None:
    found = _released(column.table.mean(column.name))["mean"].to_pylist()
    _expect([float(each) for each in found], [_mean(column)] if column.each else [])


def most(column: Column) -> None:
    _expect(_released(column.table.max(column.name)).num_rows, int(bool(column.each)))


def he_mean(column: Column) -> None:
    found = _released(he.mean(column.tables, column.name, aggregation="masked")).value
    _expect(math.isclose(found, _mean(column), abs_tol=1e-6), True)


def he_keys(column: Column) -> None:
    keys = list(column.kind.asked)
    found = _released(he.count(column.tables, by=column.name, keys=keys, aggregation="masked"))
    _expect(found["count"].to_pylist(), [2 * column.each] * len(keys) if column.each else [None] * len(keys))


def he_where(column: Column) -> None:
    asked = he.count(column.tables, where={column.name: column.kind.asked[0]}, aggregation="masked")
    _expect(_released(asked).value, 2 * column.each)


def dp_mean(column: Column) -> None:
    _released(dp.mean(column.table, column.name, epsilon=0.1, bounds=(0, 3)))


def dp_keys(column: Column) -> None:
    keys = list(column.kind.asked)
    _expect(len(_released(dp.count(column.table, epsilon=0.1, by=column.name, keys=keys))), len(keys))


def dp_where(column: Column) -> None:
    _released(dp.count(column.table, epsilon=0.1, where={column.name: column.kind.asked[0]}))


def feature(form: Callable[[Kind], Any]) -> Callable[[Column], None]:
    def use(column: Column) -> None:
        model = fl.Logistic(features={column.name: form(column.kind)}, missing="fill")
        _fitted(column, model, "so")

    return use


def label(model: Callable[[Kind], Any]) -> Callable[[Column], None]:
    return lambda column: _fitted(column, model(column.kind), column.name)


USED = {"x": (0, ROWS)}  # features of models whose label is tried
PLACES: dict[str, dict[str, Callable[[Column], None]]] = {
    "key of a join": {"": join},
    "where": {"": where},
    "by": {"": by},
    "mean, sum": {"": mean},
    "min, max": {"": most},
    "he": {"figures": he_mean, "groups": he_keys, "where": he_where},
    "dp": {"figures": dp_mean, "groups": dp_keys, "where": dp_where},
    "feature": {
        "range": feature(lambda kind: (0, 3)),
        "vector": feature(lambda kind: fl.Vector(2, 0, 4)),
        "categories": feature(lambda kind: list(kind.asked)),
    },
    "label": {
        "0 and 1": label(lambda kind: fl.Logistic(features=USED)),
        "one of them": label(lambda kind: fl.Logistic(features=USED, positive=kind.asked[0])),
        "number": label(lambda kind: fl.Linear(features=USED, label_range=(0, 3))),
        "classes": label(lambda kind: fl.Softmax(features=USED, classes=list(kind.asked))),
    },
}


def _released(plan: ps.Plan[Any]) -> Any:
    return plan.release().value


def _fitted(column: Column, model: Any, name: str) -> None:
    _released(fl.fit(model, column.tables, label=name, rounds=1, aggregation="clear", coordinator="keeper"))


def _mean(column: Column) -> float:
    return sum(map(float, column.kind.values)) / len(column.kind.values)


def _expect(found: object, due: object) -> None:
    if found != due:
        raise AssertionError(f"{found} in place of {due}")


class Cell(NamedTuple):
    """The uses that work; where none does, what the last one's refusal says to do."""

    uses: tuple[str, ...]
    reason: str = ""


def tried(column: Column, uses: dict[str, Callable[[Column], None]]) -> Cell:
    """Every use of a column in a place."""
    work, reason = [], ""
    for name, use in uses.items():
        try:
            use(column)
            work.append(name)
        except UsageError as refusal:
            reason = refusal.hint
    return Cell(tuple(work), "" if work else reason)


def table() -> str:
    """The table in Markdown, types of equal cells in one row, and its notes."""
    every = {f"c{n}": kind for n, kind in enumerate(kinds())}
    data = pa.table({name: column(kind) for name, kind in every.items()})
    data = data.append_column("x", pa.array(range(ROWS))).append_column("so", pa.array([n % 2 for n in range(ROWS)]))
    held = {"a": {"t": data}, "b": {"t": data}, "keeper": {}}
    budget = ps.Budget(epsilon=1000, exact=1_000_000)
    alike: dict[tuple[Cell, ...], list[str]] = {}
    with ps.embedded(held, store=None, quiet=True, policy=POLICY, budget=budget) as fed:
        for name, kind in every.items():
            one = Column(name, kind, fed.tables("t"))
            cells = tuple(tried(one, uses) for uses in PLACES.values())
            alike.setdefault(cells, []).append(f"`{kind.named}`")
    notes: dict[str, int] = {}
    rows = [("column", *PLACES), ("---",) * (1 + len(PLACES))]
    rows += [(", ".join(types), *(_shown(cell, notes) for cell in cells)) for cells, types in alike.items()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"{number}. {reason}" for reason, number in notes.items())])


def _shown(cell: Cell, notes: dict[str, int]) -> str:
    if cell.uses:
        return ", ".join(filter(None, cell.uses)) or "yes"
    return f"no ({notes.setdefault(cell.reason, len(notes) + 1)})"


if __name__ == "__main__":
    print(table())

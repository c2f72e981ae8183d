"""The differencing guard: exact answers that differ by a few rows from earlier ones are not let out.

Every row set of an exact answer is kept, with its figures, and each new one is compared with all earlier ones of the
table, whoever asked: analysts may collude. The same rows and measure get the same figures as before. A set that differs
from an earlier one by some rows, and by those of fewer units than the minimum count, refuses the whole answer, whatever
the two measure: of two counts the difference would be a count of so few, of two sums their sum.

A row keeps its identity when its table is edited: it is the row's unit id where the dataset's budget names one
(`Unit.id`), with a number among those of the same, else all it holds. A unit is all rows of one unit id, else a row; in
a joint table the rows of one join key are one too, and the differing units of either kind must be enough.

Stops pairs. What three or more answers tell together, by a sum of their differences, it does not see: for that there is
differential privacy (`dp`). Nor does it compare answers of two tables or of two parties.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import DataError, DifferencingRefused
from ..errors.details import RowsTooAlike
from ..protocol.operation import Alignment, Operand, Operation, Request
from ..protocol.services import Figures, RowSet
from .budget.books import Books
from .ledger.row_sets import BUCKETS, Bits, DisclosureTables, Words
from .tables import Store

Screen = Callable[[Sequence[RowSet], int], list[Figures]]
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying by it is one-to-one
_SAMPLE = 128  # bytes of a set that are looked at first


class TableRows(NamedTuple):
    """A table's rows, in its own order.

    Attributes
    ----------
    ids : what each row is known by
    units : whose each row is
    keys : the number of each row's join key, in a joint table; 0 where it has none
    own : the rows that a role sees, by their places here
    """

    ids: Words
    units: Words
    keys: Words | None
    own: npt.NDArray[np.int64]


class Guard:
    """Of one party's tables. What it compares with is in the party's books."""

    def __init__(self, party: str, store: Store, books: Books) -> None:
        self._party = party
        self._store = store
        self._books = books

    def answered(self, caller: str, operation: Operation[Any], min_count: int) -> bool:
        """Whether the same question was answered before: then this run has that answer, and is not charged.

        A question of two parties is not kept: each would have to know that the other answers from its store.
        """
        question = self._question(operation.request, min_count) if operation.remembered else ""
        return bool(question) and self._books.answer_again(caller, operation.request, question)

    def units(self, table: str) -> npt.NDArray[np.int64] | None:
        """For each row the number of its unit, where the unit is an id that the table has."""
        column = self._unit_column(table)
        if column is None:
            return None
        return np.unique(self._store.hashes(table, (column,)), return_inverse=True)[1].astype(np.int64)

    def screener(
        self, request: Request, operand: Operand, version: str, joint: Alignment | None, min_count: int
    ) -> Screen:
        """`Services.screen` for a run over this version of a table; in a joint one, over the rows of the alignment."""

        def screen(sets: Sequence[RowSet], k: int) -> list[Figures]:
            question = self._question(request, min_count)
            rows = self._rows(operand.table, joint)
            if self._store.version(operand.table) != version:
                raise DataError(f"{self._party}/{operand.table} changed while it was read", hint="ask again")

            def compare(tables: DisclosureTables) -> list[Figures]:
                return self._compare(tables, operand.table, rows, sets, k, request.run_id)

            return self._books.settle(request.run_id, question, compare)

        return screen

    def _question(self, request: Request, min_count: int) -> str:
        """The same for two requests exactly if they ask the same of the same rows, under one minimum count of the same
        units."""
        if len(request.operands) != 1:
            return ""
        (operand,) = request.operands.values()
        held = hashlib.sha256(self._content(operand.table).tobytes()).hexdigest()
        unit = self._unit_column(operand.table)  # groups are judged by it
        asked = (request.operation, operand, request.parameters, min_count, held, unit)
        return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()

    def _rows(self, table: str, joint: Alignment | None) -> TableRows:
        column = self._unit_column(table)
        units = self._content(table) if column is None else self._store.hashes(table, (column,))
        ids = with_ordinals(units)
        keys = None if joint is None else (joint.codes + 1).view(np.uint64)  # 0: rows without a key, or that are gone
        own = np.arange(len(ids)) if joint is None else joint.rows
        return TableRows(ids, ids if column is None else units, keys, own)

    def _compare(
        self, tables: DisclosureTables, table: str, rows: TableRows, sets: Sequence[RowSet], k: int, run_id: str
    ) -> list[Figures]:
        """Keep the sets, if none is too near to an earlier one; the figures to let out."""
        place, seen = _placed(tables, table, rows)
        earlier = tables.sketches(table)  # those of this answer have no row in common
        # many rows of one key are in many buckets, so that the sketches tell nothing there: all sets are read, once
        whole = None if seen.keys is None else dict(zip(earlier.numbers, tables.bits(earlier.numbers), strict=True))
        figures = []
        for each in sets:
            member = np.zeros(len(seen.ids), dtype=np.bool_)
            where = place[rows.own[each.rows]]
            member[where] = True
            bits = np.packbits(member)
            digest = hashlib.sha256(bits.tobytes().rstrip(b"\0")).digest()
            number = tables.number_of(table, digest)
            told = None if number is None else tables.figures(number, each.measure)
            if told is None:
                sketch = np.bincount(_bucket(seen.units[where]), minlength=BUCKETS).astype(np.uint32)
                near = earlier.near(sketch, k) if whole is None else earlier.numbers
                others = [other for other in near if other != number]
                held = tables.bits(others) if whole is None else (whole[other] for other in others)
                if _too_near(held, bits, seen, k):
                    raise self._refusal(table, k)
                told = each.figures
                number = tables.add(table, digest, sketch, bits) if number is None else number
                tables.tell(number, each.measure, told, run_id)
            figures.append(told)
        return figures

    def _content(self, table: str) -> Words:
        return self._store.hashes(table, tuple(sorted(self._store.schema(table).names)))

    def _unit_column(self, table: str) -> str | None:
        column = self._books.unit_of(table).id
        return column if column and column in self._store.schema(table).names else None

    def _refusal(self, table: str, k: int) -> DifferencingRefused:
        return DifferencingRefused(RowsTooAlike(party=self._party, table=table, min_count=k))


def with_ordinals(hashes: Words) -> Words:
    """Hashes made distinct: the second, third, ... of equal ones are numbered in their order."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    at = np.arange(len(hashes))
    first = np.ones(len(hashes), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    ordinal = np.empty(len(hashes), dtype=np.uint64)
    ordinal[order] = at - np.maximum.accumulate(np.where(first, at, 0))
    return hashes ^ (ordinal * _SPREAD)


def _bucket(units: Words) -> npt.NDArray[np.int64]:
    """Sets that differ by the rows of fewer than k units differ in the sizes of fewer than k buckets."""
    return (units % np.uint64(BUCKETS)).astype(np.int64)


def _placed(tables: DisclosureTables, table: str, rows: TableRows) -> tuple[npt.NDArray[np.int64], TableRows]:
    """For each row its place among the rows ever seen, and those."""
    ids, units = tables.seen(table)
    if len(ids) and np.array_equal(ids[: len(rows.ids)], rows.ids):
        place = np.arange(len(rows.ids))
    else:
        order = np.argsort(ids)
        at = order[np.minimum(np.searchsorted(ids, rows.ids, sorter=order), len(ids) - 1)] if len(ids) else None
        known = ids[at] == rows.ids if at is not None else np.zeros(len(rows.ids), dtype=np.bool_)
        place = np.zeros(len(rows.ids), dtype=np.int64) if at is None else at
        place[~known] = np.arange(len(ids), len(ids) + np.count_nonzero(~known))
        if not known.all():
            tables.see(table, len(ids), rows.ids[~known], rows.units[~known])
            ids, units = np.append(ids, rows.ids[~known]), np.append(units, rows.units[~known])
    keys = None
    # where each row has a key of its own the units say it all; rows that are gone count as of one more key together
    if rows.keys is not None and (len(np.unique(rows.keys)) < len(rows.keys) or len(ids) > len(rows.ids)):
        keys = np.zeros(len(ids), dtype=np.uint64)
        keys[place] = rows.keys
    return place, TableRows(ids, units, keys, place)


def _too_near(earlier: Iterable[Bits], bits: Bits, seen: TableRows, k: int) -> bool:
    return any(near_by(bits, each, seen.units, k, seen.keys) for each in earlier)


def near_by(bits: Bits, earlier: Bits, units: Words, k: int, keys: Words | None = None) -> bool:
    """Whether two sets differ by some rows, and by the rows of fewer than k units or keys."""
    differing = bits.copy()
    differing[: len(earlier)] ^= earlier  # taken when no more rows had been seen than now
    for size in (_SAMPLE, len(differing)):  # mostly the first bytes tell that enough differ
        where = np.flatnonzero(np.unpackbits(differing[:size], count=min(len(units), 8 * size)))
        if all(len(np.unique(whose[where])) >= k for whose in (units, keys) if whose is not None):
            return False
    return len(where) > 0

"""The guard of one party's tables: every exact answer is screened by it before it leaves.

Every row set of an exact answer is kept, with its figures, and what a new one tells together with all earlier ones of
the table is judged by the package's rule, whoever asked: analysts may collude. The same rows and measure get the same
figures as before. Whatever the measure is: of two counts the difference would be a count of few, of two sums their sum.

A unit is all rows of one unit id, where the dataset's budget names one, else a row, whatever became of its values
(`rows`); in a joint table the rows of one join key are one too, and those of either kind must be enough.

Minima and maxima do not add up. They have a rule of their own, beside the one on their sets: rows that sets with a
minimum or maximum tell apart form a class, and no class within such a set may be of fewer units than the minimum count.

Not compared: answers of two tables or of two parties. Pooled results are judged by parties (`parties`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import DataError, DifferencingRefused
from ...errors.refusals import Because, RowsTooAlike
from ...errors.sources import ChangedWhileRead
from ...protocol.operation import Alignment, Operand, Operation, Request
from ...protocol.services import Figures, RowSet
from ..budget.books import Books
from ..ledger.pooled_runs import PooledRun
from ..ledger.row_sets import DisclosureTables
from ..row_hashes import Words
from ..tables import Store
from .disclosed import Asked, Disclosed
from .history import Admission
from .parties import judge
from .rows import Places, TableRows, told_apart

log = logging.getLogger("privsdk.party")

Screen = Callable[[Sequence[RowSet], int], list[Figures]]
_BECAUSE: dict[Admission, Because] = {Admission.LIGHT: "few", Admission.UNDECIDED: "undecided", Admission.FULL: "many"}


def _digest(hashes: Words) -> str:
    return hashlib.sha256(hashes.data).hexdigest()


class Guard:
    """Of one party's tables. What it compares with is in the party's books."""

    def __init__(self, party: str, store: Store, books: Books) -> None:
        self._party = party
        self._store = store
        self._books = books
        self._disclosed: dict[tuple[str, str | None], Disclosed] = {}
        self._places: dict[str, Places] = {}
        self._kept: dict[tuple[str, Callable[[Words], Any]], tuple[Words, Any]] = {}  # by table, what follows of hashes
        self.undecided = 0  # answers that were refused without knowing that they would tell too much

    @property
    def bytes_held(self) -> int:
        """Memory of what follows from the ledger."""
        return sum(each.bytes_held for each in self._disclosed.values())

    def answered(self, caller: str, operation: Operation[Any], min_count: int) -> bool:
        """Whether the same question was answered before: then this run has that answer, and is not charged.

        A question of two parties is not kept: each would have to know that the other answers from its store.
        """
        request = operation.request
        shape = self._shape(request, min_count) if operation.remembered else ""
        if not shape or not self._books.asked(shape):
            return False
        return self._books.answer_again(caller, request, self._question(request, min_count))

    def judge_pooled(self, pooled: PooledRun | None) -> None:
        """Raise DifferencingRefused where this and earlier pooled results would tell parties apart."""
        if pooled is not None:
            judge(self._party, pooled, self._books.pooled(pooled.table))

    def units(self, table: str) -> npt.NDArray[np.int64] | None:
        """For each row the number of its unit, where the unit is an id that several rows of the table have."""
        column = self._unit_column(table)
        if column is None:
            return None
        units: npt.NDArray[np.int64] | None = self._follows(told_apart, table, self._hashes(table, (column,)))[1]
        return units

    def screener(
        self,
        request: Request,
        operand: Operand,
        version: str,
        joint: Alignment | None,
        min_count: int,
        *,
        remembered: bool = True,
    ) -> Screen:
        """`Services.screen` for a run over this version of a table; in a joint one, over the rows of the alignment.

        Its question is kept where the answer is `remembered`.
        """

        def screen(sets: Sequence[RowSet], k: int) -> list[Figures]:
            question = self._question(request, min_count) if remembered else ""
            rows = self._rows(operand.table, joint) if sets or question else None
            if self._store.version(operand.table) != version:
                raise DataError(ChangedWhileRead(where=f"{self._party}/{operand.table}"))
            if rows is None:
                return []

            def compare(tables: DisclosureTables) -> list[Figures]:
                return self._compare(tables, operand.table, rows, sets, k, request.run_id)

            return self._books.settle(request.run_id, question, compare)

        return screen

    def _question(self, request: Request, min_count: int) -> str:
        """The same for two requests exactly if they ask the same of the same rows, under one minimum count of the same
        units. With a unit id the rows are the same where the ids are, and what is asked about."""
        shape = self._shape(request, min_count)
        if not shape:
            return ""
        (operand,) = request.operands.values()
        unit = self._unit_column(operand.table)
        if unit is None:
            held: str = self._follows(_digest, operand.table, self.content(operand.table))
            return shape + held
        return shape + self._store.digest(operand.table, tuple(dict.fromkeys((*operand.columns, unit))))

    def _shape(self, request: Request, min_count: int) -> str:
        """As much of it as does not depend on the table's values; "" where the question is not kept."""
        if len(request.operands) != 1:
            return ""
        (operand,) = request.operands.values()
        unit = self._unit_column(operand.table)  # groups are judged by it
        asked = (request.operation, operand, request.parameters, min_count, unit)
        return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()

    def _rows(self, table: str, joint: Alignment | None) -> TableRows:
        column = self._unit_column(table)
        units = None if column is None else self._hashes(table, (column,))
        ids, numbers = self._follows(told_apart, table, self.content(table) if units is None else units)
        keys = None if joint is None else (joint.codes + 1).view(np.uint64)  # 0: rows without a key, or that are gone
        return TableRows(ids, units, numbers, keys, None if joint is None else joint.rows)

    def _follows(self, what: Callable[[Words], Any], table: str, hashes: Words) -> Any:
        """What follows of a table's hashes, as long as those are the same."""
        kept = self._kept.get((table, what))
        if kept is None or kept[0] is not hashes:
            kept = self._kept[table, what] = hashes, what(hashes)
        return kept[1]

    def _compare(
        self, tables: DisclosureTables, table: str, rows: TableRows, sets: Sequence[RowSet], k: int, run_id: str
    ) -> list[Figures]:
        """Keep the sets, if they may be let out; the figures to let out."""
        seen = self._places.setdefault(table, Places(table)).find(tables, rows)
        found, asked, new = [], [], list[bytes]()
        for each in sets:
            member = np.zeros(seen.number, np.bool_)
            member[each.rows if seen.own is None else seen.own[each.rows]] = True
            bits = np.packbits(member)
            digest = hashlib.sha256(bits.tobytes().rstrip(b"\0")).digest()
            number = tables.number_of(table, digest)
            if number is None or tables.figures(number, each.measure) is None:
                asked.append(Asked(member, number is None, each.extreme))
                new += [digest] if number is None else []
            found.append((each, digest, bits))
        disclosed = self._disclosed.setdefault((table, self._unit_column(table)), Disclosed(table))
        verdict = disclosed.screen(tables, seen, asked, k) if asked else Admission.ADMITTED
        if verdict is not Admission.ADMITTED:
            if verdict is Admission.UNDECIDED:
                self.undecided += 1
                log.info("%s/%s: refused without a decision, %d so far", self._party, table, self.undecided)
            raise DifferencingRefused(
                RowsTooAlike(party=self._party, table=table, min_count=k, because=_BECAUSE[verdict])
            )
        depends = dict(zip(reversed(new), reversed(disclosed.depends), strict=False))  # of one asked twice, its first
        told = []
        for each, digest, bits in found:
            number = tables.number_of(table, digest)
            if number is None:
                number = tables.add(table, digest, bits, depends=depends.get(digest, False))
            figures = tables.figures(number, each.measure)
            if figures is None:
                figures = each.figures
                tables.tell(number, each.measure, figures, run_id)
            told.append(figures)
        if asked:
            disclosed.keep(tables)
        return told

    def content(self, table: str) -> Words:
        """For each row 64 bits by all that it holds."""
        return self._hashes(table, tuple(sorted(self._store.schema(table).names)))

    def _hashes(self, table: str, columns: tuple[str, ...]) -> Words:
        return self._store.hashes(table, columns, self._books.hashed(table))

    def _unit_column(self, table: str) -> str | None:
        column = self._books.unit_of(table).id
        return column if column and column in self._store.schema(table).names else None

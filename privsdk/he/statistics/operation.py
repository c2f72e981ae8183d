"""Every pooled statistic: what parties check, need, charge and learn, and its role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, get_args

import msgspec
import numpy as np
import pyarrow as pa

from ...crypto.seal.schemes import ApproximateScheme, ExactScheme
from ...crypto.sums.base import Sum, integers
from ...crypto.sums.encrypted import EncryptedSum, KeyHolderSum
from ...crypto.sums.masked import MaskedSum
from ...errors import InvalidArgument
from ...governance.learns import (
    CiphertextsOnly,
    Coalition,
    Knowledge,
    Learns,
    LengthsShow,
    Quantity,
    RoleName,
    ThatItRan,
)
from ...governance.policy import ROWS, Disclosure, Need
from ...governance.prices import Figures
from ...protocol.columns.numbers import places
from ...protocol.columns.predicates import text
from ...protocol.operation import Outcome, RoleInput, register
from ...protocol.roles import Role
from .statistic import (
    MATRICES,
    LargestMinimum,
    Name,
    PartiesByGroup,
    PooledTotals,
    SharesOnly,
    ShownGroupNumbers,
    Statistic,
    TotalOfOthers,
)
from .thresholds import receive_shown, receive_thresholds, send_shown, send_thresholds, shown_groups
from .totals import PartTotals, contribution

N = TypeVar("N", int, float, bool)
OPERATIONS: Mapping[Name, str] = {name: f"he.{name}" for name in get_args(Name)}


@register(*OPERATIONS.values())
class PooledStatistic(KeyHolderSum[Statistic]):
    """Any of the statistics, pooled over parties."""

    parameters_type = Statistic

    @property
    def masked(self) -> bool:
        """Whether vectors are added by masks, and not under encryption."""
        return self.parameters.aggregation == "masked"

    def check(self) -> None:
        super().check()
        request, statistic = self.request, self.parameters
        if request.operation != OPERATIONS[statistic.name]:
            raise InvalidArgument(f"{request.operation} was asked for a {statistic.name}")
        if any(
            set(operand.columns) != set(statistic.used) or operand.alignment for operand in request.operands.values()
        ):
            raise InvalidArgument(f"{request.operation} takes a base table of each party, and the columns it names")
        if statistic.grouped and request.caller == self.key_holder:
            has = "adds them up" if self.masked else "holds the key"
            raise InvalidArgument(
                f"{request.caller} asks for groups and {has}: it would see how many parties are in each",
                hint="choose another key_holder",
            )
        if self.masked and len(request.operands) < 2:
            raise InvalidArgument(
                f"{request.parties[0]} contributes alone: the masked sum of one party is its own total",
                hint="take the tables of two parties or more",
            )
        statistic.scheme(len(request.operands))

    def fits(self, party: str, schema: pa.Schema) -> None:
        statistic = self.parameters
        self._expect(party, schema, statistic.kinds, statistic.where)
        for column, whole, grid in zip(statistic.columns, statistic.whole, statistic.grids, strict=False):
            if whole and ((last := places([str(schema.field(column).type)])) is None or not grid.holds(last)):
                raise InvalidArgument(
                    f"{party}/{self.request.operands[party].table}.{column} holds numbers between the steps of "
                    f"{grid.resolution:g} that the question is for",
                    hint="the table has changed: open the federation anew",
                )

    def needs(self) -> dict[str, tuple[Need, ...]]:
        return {party: tuple(self._uses(operand.table)) for party, operand in self.request.operands.items()}

    def _uses(self, table: str) -> list[Need]:
        """Columns enter a sum. The keys of groups and the edges of bins are public, so that each group's total tells
        what a filter by `where` does: a comparison, which a grant as group key implies."""
        statistic = self.parameters
        used = [(column, Disclosure.HE_OPERAND) for column in statistic.columns or (ROWS,)]
        used += [(column, Disclosure.COMPARISON) for column in statistic.compared]
        return [Need(table=table, column=column, disclosure=way) for column, way in used]

    def figures(self) -> dict[str, Figures]:
        """A total is of as many parties as who sees it faces, in a group of as many as an owner asks for."""
        statistic, contributors = self.parameters, self.contributors()
        others = min(len([p for p in contributors if p != seen]) for seen in self.recipients())
        if statistic.grouped:
            others = min(others, max((self.request.min_parties or {}).values(), default=1))
        noise = "" if statistic.name in MATRICES else f"dp.{statistic.name}"
        exact = Figures(what=self.request.operation, told=statistic.told(max(1, others)), noise=noise)
        return dict.fromkeys(contributors, exact)

    def summed(self, party: str) -> tuple[str, ...]:
        """Its columns; and where it counts rows, those by which they are chosen: how many have True is a sum of it."""
        statistic = self.parameters
        counted = (ROWS, *statistic.compared) if "rows" in statistic.each[0].parts else ()
        return tuple(dict.fromkeys((*statistic.columns, *counted)))

    def learns(self) -> tuple[Learns, ...]:
        statistic = self.parameters
        known = PooledTotals(statistic=statistic.name, where=text(statistic.where), columns=len(statistic.each))
        if not statistic.grouped:
            totals = [known]
            if self.masked:
                return self.learned(totals, totals, LengthsShow(of=(Quantity.NUMBERS,)))
            return self.learned(
                totals, totals, LengthsShow(of=(Quantity.COLUMNS,)) if statistic.pairs[1:] else ThatItRan()
            )
        totals = [msgspec.structs.replace(known, groups=statistic.groups, kind=self._kind)]
        return self.learned(
            [*totals, PartiesByGroup(kind=self._kind)],
            [*totals, ShownGroupNumbers(kind=self._kind), LargestMinimum()],
            LengthsShow(of=(self._kind,)),
        )

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        if not self.masked:
            return super().roles()
        adds = {self.key_holder: (RoleName.COORDINATOR,)}
        return {**dict.fromkeys(self.contributors(), (RoleName.CONTRIBUTOR,)), **adds}

    @property
    def _kind(self) -> Quantity:
        return Quantity.BINS if self.parameters.edges is not None else Quantity.GROUPS

    def seen_by_contributors(self) -> tuple[Knowledge, ...]:
        sums = SharesOnly() if self.masked else CiphertextsOnly()
        return (sums, ShownGroupNumbers(kind=self._kind)) if self.parameters.grouped else (sums,)

    def coalition(self) -> Learns:
        if not self.masked:
            return super().coalition()
        contributors = self.contributors()
        return Learns.of(Coalition((self.key_holder,), len(contributors) - 1, contributors), TotalOfOthers())

    def role(self, given: RoleInput) -> Role[Outcome]:
        statistic, contributors, holder = self.parameters, self.contributors(), self.key_holder
        mine = None if given.party == holder else (yield from contribution(given, statistic))
        masked = self._masked_sum(given) if self.masked else None
        shown, metadata = [[True] * statistic.groups for _ in statistic.each], dict[str, str]()
        if masked is not None:
            yield from masked.set_up()
        if statistic.grouped:
            shown, metadata = yield from self._shown(given, mine, masked)
        largest = statistic.largest(len(contributors))
        sum_ = masked or (yield from self._encrypted_sum(given, statistic.scheme(len(contributors))))
        if mine is None:
            totals = yield from sum_.collect("totals", contributors, statistic.length, largest)
            return Outcome(table=_answer(statistic, totals.sums.tolist(), shown, metadata))
        entries = [total for part, here in zip(mine, shown, strict=True) for total in part.of(here)]
        vector = integers(entries)
        if statistic.preset == "ckks":
            total, *rows = entries
            vector = np.array([statistic.grids[0].from_units(total), *map(float, rows)])
        yield from sum_.contribute("totals", contributors, vector, largest)
        return Outcome()

    def _shown(
        self, given: RoleInput, mine: Sequence[PartTotals] | None, masked: Sum | None
    ) -> Role[tuple[list[list[bool]], dict[str, str]]]:
        """For each statistic in the vector whether each group is shown, and what is said of the others; `mine` is None
        at the key holder."""
        contributors, holder = self.contributors(), self.key_holder
        each, groups = len(self.parameters.each), self.parameters.groups
        length = each * (groups + 1)
        counting = ExactScheme(parties=len(contributors), length=length, max_units=1)
        sum_ = masked or (yield from self._encrypted_sum(given, counting))
        if mine is not None:
            yield from send_thresholds(given, holder)
            present = [n for part in mine for n in part.present]
            if given.party == self.request.caller:
                present = [0] * length
            yield from sum_.contribute("parties", contributors, integers(present), len(contributors))
            return _split((yield from receive_shown(holder, each * groups)), groups), {}
        least = yield from receive_thresholds(contributors)
        parties = yield from sum_.collect("parties", contributors, length, len(contributors))
        shown = [shown_groups(part, least) for part in _split(list(map(int, parties.sums)), groups + 1)]
        flat = [here for part in shown for here in part]
        yield from send_shown(flat, contributors)
        return shown, {
            "withheld_groups": str(flat.count(False)),
            "withheld_because": f"in which fewer than {least} parties have a part, and the smallest other one where "
            "so few have rows outside the groups shown",
            "left_out": "at each party its groups of fewer units than its minimum count, and its next smallest where "
            "these are few together",
        }

    def _masked_sum(self, given: RoleInput) -> Sum:
        """Of all contributors: a total of fewer, beside a later one, would tell who was lost."""
        return MaskedSum(
            me=given.party,
            coordinator=self.key_holder,
            session=given.session,
            entropy=given.entropy,
            identity=given.services.identity,
            fewest=len(self.contributors()),
        )

    def _encrypted_sum(self, given: RoleInput, scheme: ExactScheme | ApproximateScheme) -> Role[Sum]:
        sum_ = EncryptedSum(me=given.party, clients=self.contributors(), coordinator=self.key_holder, scheme=scheme)
        yield from sum_.set_up()
        return sum_


def _split(entries: list[N], size: int) -> list[list[N]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]


def _answer(
    statistic: Statistic, totals: list[int | float], shown: Sequence[Sequence[bool]], metadata: Mapping[str, str]
) -> pa.Table:
    """The totals for the caller, as text: one column for each part, null where a group is not shown."""
    of_part = [here for each, here in zip(statistic.each, shown, strict=True) for _ in each.parts]
    columns = [
        pa.array([str(total) if visible else None for total, visible in zip(part, here, strict=True)], pa.string())
        for part, here in zip(_split(totals, statistic.groups), of_part, strict=True)
    ]
    return pa.table(columns, names=statistic.parts).replace_schema_metadata(dict(metadata))

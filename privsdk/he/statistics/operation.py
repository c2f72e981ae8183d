"""The declaration of every he operation: what is checked, needed, paid and learned, and the role that parties run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import msgspec
import numpy as np
import pyarrow as pa

from ...crypto.sums.base import Sum, integers
from ...crypto.sums.encrypted import EncryptedSum, KeyHolderSum
from ...crypto.sums.masked import MaskedSum
from ...errors import InvalidArgument
from ...governance.charges import Debit, Exact
from ...governance.learns import Coalition, Knowledge, Learns, LengthsShow, Quantity, ThatItRan
from ...governance.policy import ROWS, Disclosure, Need
from ...protocol.operation import Outcome, RoleInput, register
from ...protocol.roles import Role
from ..learns import GroupSizes, OwnersMinima, PooledTotals, SharesOnly, SuppressedGroups, TotalOfOthers
from .statistic import Name, Statistic
from .thresholds import Thresholds, hear_thresholds, suppressed_groups, tell_thresholds
from .totals import exact_vector

OPERATIONS: Mapping[Name, str] = {name: f"he.{name}" for name in get_args(Name)}


_SUM = "totals"  # of the one sum in a run


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
        named = {*statistic.columns, *([] if statistic.by is None else [statistic.by])}
        if any(set(operand.columns) != named or operand.alignment for operand in request.operands.values()):
            raise InvalidArgument(f"{request.operation} takes a base table of each party, and the columns it names")
        if statistic.grouped and request.caller == self.key_holder:
            has = "adds them up" if self.masked else "holds the key"
            raise InvalidArgument(
                f"{request.caller} asks for groups and {has}: it would see those that are suppressed",
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
        self._expect(party, schema, statistic.kinds)
        for column, whole in zip(statistic.columns, statistic.whole, strict=False):
            if whole and pa.types.is_floating(schema.field(column).type):
                raise InvalidArgument(
                    f"{party}/{self.request.operands[party].table}.{column} holds reals, and the question is for "
                    "integers",
                    hint="the table has changed: open the federation anew",
                )

    def needs(self) -> dict[str, tuple[Need, ...]]:
        return {party: tuple(self._uses(operand.table)) for party, operand in self.request.operands.items()}

    def _uses(self, table: str) -> list[Need]:
        """Columns enter a sum. The keys of groups and the edges of bins are public, so that each group's total tells
        what a filter would: a comparison, which a grant as group key implies."""
        statistic = self.parameters
        used = [(column, Disclosure.HE_OPERAND) for column in statistic.columns or (ROWS,)]
        used += [(statistic.by, Disclosure.COMPARISON)] if statistic.by is not None else []
        used += [(column, Disclosure.COMPARISON) for column in statistic.columns if statistic.edges is not None]
        return [Need(table=table, column=column, disclosure=way) for column, way in used]

    def price(self) -> dict[str, tuple[Debit, ...]]:
        return self._each_pays(Exact(what=self.request.operation))

    def learns(self) -> tuple[Learns, ...]:
        statistic, groups = self.parameters, self.parameters.groups
        if not statistic.grouped:
            totals = [PooledTotals(statistic=statistic.name)]
            if self.masked:
                return self.learned(totals, totals, LengthsShow(of=(Quantity.NUMBERS,)))
            return self.learned(
                totals, totals, LengthsShow(of=(Quantity.COLUMNS,)) if statistic.pairs[1:] else ThatItRan()
            )
        kind = Quantity.BINS if statistic.edges is not None else Quantity.GROUPS
        shown = PooledTotals(statistic=statistic.name, groups=groups, kind=kind)
        return self.learned(
            (msgspec.structs.replace(shown, suppressed=True), GroupSizes(), OwnersMinima()),
            (shown, SuppressedGroups()),
            LengthsShow(of=(kind,)),
        )

    def seen_by_contributors(self) -> Knowledge:
        return SharesOnly() if self.masked else super().seen_by_contributors()

    def coalition(self) -> Learns:
        if not self.masked:
            return super().coalition()
        contributors = self.contributors()
        return Learns.of(Coalition((self.key_holder,), len(contributors) - 1, contributors), TotalOfOthers())

    def _sum_of(self, given: RoleInput) -> Sum:
        """Masked sums are of all contributors: a total of fewer, beside a later one, would tell who was lost."""
        contributors, holder = self.contributors(), self.key_holder
        if self.masked:
            return MaskedSum(
                me=given.party,
                coordinator=holder,
                session=given.session,
                entropy=given.entropy,
                identity=given.services.identity,
                fewest=len(contributors),
            )
        scheme = self.parameters.scheme(len(contributors))
        return EncryptedSum(me=given.party, clients=contributors, coordinator=holder, scheme=scheme)

    def role(self, given: RoleInput) -> Role[Outcome]:
        statistic, contributors, holder = self.parameters, self.contributors(), self.key_holder
        sum_, largest = self._sum_of(given), statistic.largest(len(contributors))
        if given.party == holder:
            yield from sum_.set_up()
            thresholds = (yield from hear_thresholds(contributors)) if statistic.grouped else None
            totals = yield from sum_.collect(_SUM, contributors, statistic.length, largest)
            return Outcome(table=_answer(statistic, totals.sums.tolist(), thresholds))
        units = yield from exact_vector(given, statistic)
        vector = integers(units)
        if statistic.preset == "ckks":
            total, *rows = units
            vector = np.array([statistic.grids[0].from_units(total), *map(float, rows)])
        yield from sum_.set_up()
        if statistic.grouped:
            yield from tell_thresholds(given, holder)
        yield from sum_.contribute(_SUM, contributors, vector, largest)
        return Outcome()


def _answer(statistic: Statistic, totals: Sequence[int | float], thresholds: Thresholds | None) -> pa.Table:
    """The totals for the caller, as text: one column for each part, null where a group is suppressed."""
    groups, hidden, metadata = statistic.groups, frozenset[int](), {}
    end = groups * len(statistic.parts)
    parts = [totals[start : start + groups] for start in range(0, end, groups)]
    if thresholds is not None:
        units, parties = ([int(n) for n in totals[at : at + groups + 1]] for at in (end, end + groups + 1))
        hidden = suppressed_groups(units, parties, thresholds)
        counted = "units" if thresholds.overlapping else "rows"
        metadata = {
            "withheld_groups": str(len(hidden)),
            "withheld_because": f"of fewer than {thresholds.min_count} {counted} or {thresholds.min_parties} parties, "
            "and the next smallest where these are too few",
        }
    columns = {
        name: pa.array([None if g in hidden else str(total) for g, total in enumerate(part)], pa.string())
        for name, part in zip(statistic.parts, parts, strict=True)
    }
    return pa.table(columns).replace_schema_metadata(metadata)

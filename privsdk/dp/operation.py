"""The declaration of every dp operation: what is checked, needed, paid and learned, and the role that parties run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import get_args

import numpy as np
import pyarrow as pa

from ..crypto.sums.encrypted import check_key_holder, key_holder_roles
from ..errors import InvalidArgument
from ..governance.charges import Charge, DiscreteLaplace
from ..governance.learns import (
    Caller,
    Coalition,
    Eavesdropper,
    Knowledge,
    Learns,
    LengthsShow,
    Parties,
    Quantity,
    RoleName,
)
from ..governance.members import combine
from ..governance.policy import ROWS, Disclosure, Need
from ..governance.prices import Figures
from ..protocol.columns.predicates import columns_of, text
from ..protocol.operation import Operation, Outcome, RoleInput, register
from ..protocol.roles import Role, checkpoint
from . import pooled, sides
from .noise import WHOLE, noisy_vector
from .release import WIDEST, ReleaseParameters, Statistic
from .vectors import exact_vector

_LARGEST = 2**62  # leaves room for the width of an interval
_PARTS = {
    "mean": ", and the noisy sums and counts it is computed from",
    "variance": ", and the noisy sums, squares and counts it is computed from",
    "quantile": ", and the noisy counts of the bins it is computed from",
}


class NoisyFigures(Knowledge, frozen=True):
    """A release, for each of so many groups or none, with what it is computed from."""

    own = RoleName.OWNER
    statistic: str
    epsilon: float
    groups: int = 0
    where: str = ""
    rows: str = ""

    def __str__(self) -> str:
        each = f" of each of {self.groups} groups" if self.groups else ""
        rows = f" of {self.rows or 'rows'}" if self.where or self.rows else ""
        rows += f" where {self.where}" if self.where else ""
        return f"the noisy {self.statistic}{each}{rows}{_PARTS.get(self.statistic, '')}, epsilon {self.epsilon:g}"


class OwnNoise(Knowledge, frozen=True):
    """One of as many as make up the noise that is charged, or more."""

    tells = False
    shares: int

    def __str__(self) -> str:
        return "their own share of the noise, and ciphertexts that they cannot open"


class ContributionsWithNoise(Knowledge, frozen=True):
    """Each of them by itself, with its party's own share; of `shares` shares the charged noise consists."""

    shares: int

    def __str__(self) -> str:
        noise = "all of the charged noise" if self.shares == 1 else f"1/{self.shares} of the charged noise's variance"
        return f"every party's totals, each with {noise}: its own share"


class TotalsWithLessNoise(Knowledge, frozen=True):
    """Some shares of the noise are taken off: `left` of the `shares` that make up the charged noise are left."""

    template = "the totals with less noise than is charged: {left}/{shares} of its variance"
    left: int
    shares: int


class OthersWithChargedNoise(Knowledge, frozen=True):
    template = "the others' totals with the noise that was charged, and no less"


combine(
    NoisyFigures,
    OwnNoise,
    role=RoleName.CONTRIBUTOR,
    gives=lambda _, own, others: (
        OthersWithChargedNoise()
        if len(others) >= own.shares
        else TotalsWithLessNoise(left=len(others), shares=own.shares)
    ),
    because="its own part and its own share of the noise taken off",
)


@register(*(f"dp.{name}" for name in get_args(Statistic)))
class NoisyRelease(Operation[ReleaseParameters]):
    """Any of the statistics with noise: of one party's table or side of a join, or pooled over several tables in the
    key-holder topology."""

    parameters_type = ReleaseParameters

    @property
    def moves(self) -> dict[str, tuple[int, ...]]:
        """By party, how far one unit of its table moves each component."""
        release, operands = self.parameters, self.request.operands
        if release.side is not None:
            return sides.moves(release, operands)
        return {party: release.moved(operand.unit.rows) for party, operand in operands.items()}

    @property
    def scales(self) -> tuple[float, ...]:
        """Each component's noise scale: enough for the party one unit of whose table moves it farthest."""
        return self.parameters.scales([max(each) for each in zip(*self.moves.values(), strict=True)])

    @property
    def pooled(self) -> bool:
        """Whether the rows of several tables are added up."""
        return len(self.request.parties) > 1 and self.parameters.side is None

    @property
    def shares(self) -> int:
        """Of how many contributors the noise is enough, which is what each dataset is charged for."""
        return pooled.shares_of(self._contributors, self.parameters.collusion)

    @property
    def _contributors(self) -> int:
        return len(self.request.operands) if self.pooled else 1

    @property
    def shape(self) -> Fraction:
        """Of the noise in the answer: all contributors' shares together."""
        return Fraction(self._contributors, self.shares)

    def check(self) -> None:
        request, release = self.request, self.parameters
        if request.operation != f"dp.{release.statistic}":
            raise InvalidArgument(f"{request.operation} was asked for a {release.statistic}")
        if self.pooled:
            check_key_holder(request)
            pooled.shares_of(len(request.operands), release.collusion)
        elif release.collusion != 1:
            raise InvalidArgument(
                "collusion is about noise in shares, and one party draws all of its own noise",
                hint="leave collusion out",
            )
        if release.side is None:
            operands = list(request.operands.values())
            fits = all(set(o.columns) == set(release.columns) and not o.alignment for o in operands)
            fits = fits and (self.pooled or set(request.operands) == set(request.parties))
        else:
            fits = sides.well_formed(request, release)
        if not fits:
            raise InvalidArgument(
                f"{request.operation} takes a base table, or all sides of one join, and the columns its parameters name"
            )
        widest = max(self.scales)
        if widest > WIDEST:
            raise InvalidArgument(
                f"epsilon {release.epsilon:g} asks for noise of {widest:.3g} units",
                hint=f"a release may have {WIDEST:.2g}; give a larger epsilon or a coarser resolution",
            )
        if self.pooled:
            pooled.scheme_for(release, self.scales, len(request.operands))

    def fits(self, party: str, schema: pa.Schema) -> None:
        if party == (self.parameters.side or party):
            self._expect(party, schema, self.parameters.kinds, self.parameters.where)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        release = self.parameters
        return {
            party: (
                *(
                    Need(table=o.table, column=c, disclosure=Disclosure.DP_RELEASE, epsilon=release.epsilon)
                    for c in o.columns or (ROWS,)
                ),
                *(
                    Need(table=o.table, column=c, disclosure=Disclosure.COMPARISON)
                    for c in columns_of(release.where)
                    if c in o.columns
                ),
            )
            for party, o in self.request.operands.items()
        }

    def figures(self) -> dict[str, Figures]:
        """Everything has noise."""
        return {}

    def noisy(self) -> dict[str, tuple[Charge, ...]]:
        return {
            party: tuple(
                DiscreteLaplace(scale=scale, sensitivity=float(move))
                for move, scale in zip(moves, self.scales, strict=True)
            )
            for party, moves in self.moves.items()
        }

    def contributors(self) -> tuple[str, ...]:
        """Nobody: the noise protects an owner's rows, at any number of contributors."""
        return ()

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        if self.pooled:
            return key_holder_roles(self.request)
        partners = [party for party in self.request.parties if party != self.parameters.side]
        return {**super().roles(), **dict.fromkeys(partners if self.parameters.side else (), (RoleName.PARTNER,))}

    def learns(self) -> tuple[Learns, ...]:
        request, release = self.request, self.parameters
        figures = NoisyFigures(
            statistic=release.statistic,
            epsilon=release.epsilon,
            groups=len(release.keys or ()),
            where=text(release.where),
            rows=self._rows,
        )
        caller = Learns.of(Caller(request.caller), figures)
        eavesdropper = Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.NUMBERS,)))
        if not self.pooled:
            side = release.side
            owner = (Learns.of(Parties((side,)), sides.MatchesAndNoise()),) if side else ()
            others = tuple(party for party in request.parties if party != side)
            return (caller, *owner, Learns.of(Parties(others)), eavesdropper)
        *contributors, holder = request.parties
        return (
            Learns.of(Parties((holder,)), figures),
            caller,
            Learns.of(Parties(tuple(contributors)), OwnNoise(shares=self.shares)),
            eavesdropper,
            Learns.of(Coalition((contributors[-1], holder)), ContributionsWithNoise(shares=self.shares)),
            *(self._beyond_collusion(who) for who in dict.fromkeys((request.caller, holder)) if self.shares > 1),
        )

    @property
    def _rows(self) -> str:
        side = self.parameters.side
        if side is None:
            return ""
        matched = "did not match" if self.request.operands[side].unmatched else "matched"
        return f"{side}'s rows that the join {matched}"

    def _beyond_collusion(self, who: str) -> Learns:
        """Of one who sees the noisy totals, with as many contributors as it takes to know one share too many."""
        contributors = self.request.parties[:-1]
        others = tuple(party for party in contributors if party != who)
        more = self.parameters.collusion + (who not in contributors)
        return Learns.of(Coalition((who,), more, others), TotalsWithLessNoise(left=self.shares - 1, shares=self.shares))

    def role(self, given: RoleInput) -> Role[Outcome]:
        release = self.parameters
        if given.party != (release.side or given.party):
            yield from checkpoint("taking part", 0, 1)
            return Outcome()
        if self.pooled:
            noisy = yield from pooled.role(given, release, self.scales)
        else:
            exact = yield from exact_vector(given.table, release, where=given.party)
            noisy = yield from noisy_vector(exact, self.scales, WHOLE, given.entropy)
        return Outcome(table=_answer(release, noisy) if noisy else None)


def _answer(release: ReleaseParameters, noisy: Sequence[int]) -> pa.Table:
    """The noisy vector as a table of the components; beyond 2**62 it is cut."""
    columns, start = {}, 0
    for part in release.components:
        end = start + release.groups * part.width
        columns[part.name] = pa.array([max(-_LARGEST, min(_LARGEST, n)) for n in noisy[start:end]], pa.int64())
        start = end
    return pa.table(columns)


def components_of(answer: pa.Table) -> list[np.ndarray]:
    """A party's answer as the components in order."""
    return [column.to_numpy() for column in answer.columns]

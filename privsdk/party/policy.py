"""Deciding a request against an owner's policy: default deny, derived from the columns upwards, and refusals that say
which grant is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
from msgspec import UNSET

from ..errors import PolicyRefused, UnknownName
from ..errors.refusals import (
    MatchesUnbounded,
    MinPartiesUnstated,
    MissingGrant,
    NotGranted,
    NotPartners,
    OperationNotAllowed,
    TooFewContributors,
)
from ..governance.charges import NOISELESS, Debit, Exact, Unit
from ..governance.policy import ANY, Derivation, Disclosure, Grant, KeyBounds, Need, Policy
from ..governance.suggested import smallest_grants
from ..protocol import control
from ..protocol.columns.kinds import Kind
from ..protocol.operation import Operand, Operation, Request, operation_names
from .budget.books import Books
from .budget.caps import Asking
from .ledger.pooled_runs import PooledRun
from .tables import Store

N = TypeVar("N", int, float)


class Decision(NamedTuple):
    """An allowed request: the minimum count its exact aggregates must keep, the most keys that a partner may bring, and
    how the policy came to allow it."""

    min_count: int
    key_bounds: KeyBounds
    derivation: Derivation


def check_partners(party: str, request: Request, members: Collection[str]) -> None:
    """Raise PolicyRefused where a request names a party that this party's owner does not work with.

    A certificate of the federation's authority makes somebody a caller; a party it is to an owner only by the owner's
    own federation file. Else whoever may ask could put itself, and a table it made up, into a run.
    """
    unknown = tuple(name for name in request.parties if name != party and name not in members)
    if unknown:
        raise PolicyRefused(NotPartners(party=party, named=unknown))


def decide(
    policy: Policy,
    request: Request,
    needs: Sequence[Need],
    *,
    party: str,
    contributors: Sequence[str] = (),
    recipients: Sequence[str] = (),
) -> Decision:
    """Whether the policy allows a request.

    Raises
    ------
    PolicyRefused
        The operation, a disclosure or the number of contributors is not allowed, or the operation does not say what it
        lets out.
    """
    if request.operation not in policy.operations and ANY not in policy.operations:
        raise PolicyRefused(OperationNotAllowed(party=party, operation=request.operation, allowed=policy.operations))
    _check_declared(request, needs, party, contributors, recipients)
    _check_parties(policy, party, contributors, recipients)
    derivation = derive(policy, request, needs, party=party)
    missing = [need for need in needs if not _grants(policy, request, need, party)]
    if missing:
        refused = {need: _refused_partners(policy, request, need, party) for need in missing}
        partners = tuple(name for name in request.parties if name != party) if any(refused.values()) else (ANY,)
        wanted = smallest_grants(missing, to=request.caller, purpose=request.purpose, partners=partners)
        raise PolicyRefused(
            NotGranted(
                party=party,
                caller=request.caller,
                purpose=request.purpose,
                missing=tuple(
                    MissingGrant(
                        table=need.table,
                        column=need.column,
                        disclosure=need.disclosure.value,
                        epsilon=need.epsilon,
                        largest=max((g.max_epsilon for g in _without_cap(policy, request, need, party)), default=0.0),
                        partners=refused[need],
                    )
                    for need in missing
                ),
                grants=tuple(map(str, wanted)),
                grants_toml=tuple(grant.toml for grant in wanted),
                derivation=tuple(str(derivation).split("\n")),
            )
        )
    counted = [_grants(policy, request, need, party) for need in needs if need.disclosure.counted]
    return Decision(
        max((min(grant.min_count for grant in grants) for grants in counted), default=0),
        KeyBounds(
            most=_tightest([grant.most_partner_keys for grant in grants] for grants in counted),
            ratio=_tightest([grant.most_keys_ratio for grant in grants] for grants in counted),
        ),
        derivation,
    )


def _tightest(bounds: Iterable[Sequence[N | None]]) -> N | None:
    """Of each use the widest bound that a grant of it sets, None being none at all; over the uses the closest."""
    return min((max(b for b in each if b is not None) for each in bounds if None not in each), default=None)


def check_unit(party: str, operand: Operand, price: Sequence[Debit], unit: Unit, schema: pa.Schema) -> None:
    """A noisy release bounds rows by the dataset's own id column, and over a join by joint key; an exact one by none.

    Bounding only protects, so that column needs no grant; an exact answer over bounded rows would tell of it.
    """
    noisy = any(not isinstance(debit.charge, NOISELESS) for debit in price)
    if (operand.bound is not UNSET) != (noisy and bool(operand.alignment)):
        unbounded = MatchesUnbounded(party=party, table=operand.table, id=operand.unit.id, key=(), why="bound")
        raise PolicyRefused(unbounded)
    due = unit if noisy else Unit()
    if operand.unit.id != due.id:
        kind = "noisy" if noisy else "exact"
        raise PolicyRefused(
            f"{party}/{operand.table} is asked for by {operand.unit}, where {kind} answers go by {due}",
            hint="call the verb on a table of an open federation: it takes the unit from its owner",
        )
    if due.id:
        if due.id not in schema.names:
            raise UnknownName.among("column", due.id, schema.names, where=f"in {party}/{operand.table}")
        Kind.ID.check(f"{party}/{operand.table}.{due.id}", str(schema.field(due.id).type))


def pooled_run(policy: Policy, party: str, operation: Operation[Any]) -> PooledRun | None:
    """What a party keeps of an exact result that it contributes to; None for any other request.

    Raises
    ------
    PolicyRefused
        The request says another `min_parties` than this owner's: the other contributors would hold to that.
    """
    request, contributors = operation.request, operation.contributors()
    exact = any(isinstance(debit.charge, Exact) for debit in operation.price().get(party, ()))
    if party not in contributors or not exact:
        return None
    min_parties = request.min_parties or {}
    if (stated := min_parties.get(party)) != policy.min_parties:
        raise PolicyRefused(MinPartiesUnstated(party=party, required=policy.min_parties, stated=stated))
    return PooledRun(
        table=request.operands[party].table,
        columns=operation.summed(party),
        tables={name: request.operands[name].table for name in contributors},
        min_parties={name: min_parties.get(name, 1) for name in contributors},
        recipients=tuple(dict.fromkeys(operation.recipients())),
    )


def derive(policy: Policy, request: Request, needs: Sequence[Need], *, party: str) -> Derivation:
    """From each column's use to the parts of the result and to the request."""
    parts: list[Derivation] = []
    for result in dict.fromkeys(need.result for need in needs):
        leaves = tuple(_leaf(policy, request, need, party) for need in needs if need.result == result)
        if not result:
            parts += leaves
        else:
            parts.append(Derivation(what=result, allowed=all(leaf.allowed for leaf in leaves), under=leaves))
    what = f"{request.operation} at {party}, asked by {request.caller} for {request.purpose}"
    return Derivation(what=what, allowed=all(part.allowed for part in parts), under=tuple(parts))


def permits(policy: Policy, table: str, column: str, caller: str) -> tuple[Disclosure, ...]:
    """The disclosures of a column that some grant allows this caller, for one purpose or another."""
    allowed = frozenset().union(*(g.permits(table, column) for g in policy.grants if _among(g.to, caller)))
    return tuple(d for d in Disclosure if d in allowed)


def _granting(policy: Policy, request: Request, need: Need) -> list[Grant]:
    """Grants of this disclosure to the caller, for whatever purpose."""
    allowed = [g for g in policy.grants if _among(g.to, request.caller)]
    return [g for g in allowed if need.disclosure in g.permits(need.table, need.column)]


def describe(
    party: str, asking: Asking, *, title: str, policy: Policy, store: Store, books: Books, running: int
) -> control.Description:
    """The party as this caller may see it: tables, what is allowed, balances. Never rows."""
    tables = []
    for name in store.names():
        columns = []
        for field in store.schema(name):
            permitted = tuple(way.value for way in permits(policy, name, field.name, asking.analyst))
            range_ = store.range(name, field.name)
            columns.append(control.ColumnInfo(name=field.name, type=str(field.type), permits=permitted, range=range_))
        dataset, unit = books.dataset_of(name), books.unit_of(name)
        tables.append(control.TableInfo(name=name, dataset=dataset, columns=tuple(columns), unit=unit))
    concerning = tuple(grant for grant in policy.grants if _among(grant.to, asking.analyst))
    return control.Description(
        party=party,
        tables=tuple(tables),
        operations=operation_names() if ANY in policy.operations else policy.operations,
        policy=msgspec.structs.replace(policy, grants=concerning),
        balances=books.balances(asking),
        running=running,
        ledger=books.place,
        head=books.head(),
        title=title,
    )


def _leaf(policy: Policy, request: Request, need: Need, party: str) -> Derivation:
    what = f"{need.table}.{need.column} as {need.disclosure.value}"
    grants = _grants(policy, request, need, party)
    if not grants:
        held = permits(policy, need.table, need.column, request.caller)
        rule = f"granted to {request.caller} only as {', '.join(held)}" if held else f"not granted to {request.caller}"
        if need.disclosure in held:
            purposes = dict.fromkeys(p for g in _granting(policy, request, need) for p in g.purpose)
            rule = f"granted to {request.caller} only for {', '.join(purposes)}, not for {request.purpose}"
        if partners := _refused_partners(policy, request, need, party):
            rule = f"not granted beside {', '.join(partners)}"
        if caps := [grant.max_epsilon for grant in _without_cap(policy, request, need, party)]:
            # only the epsilon is too large: say what would pass
            rule = f"not granted with epsilon {need.epsilon:g}, only up to epsilon {max(caps):g} a release"
        return Derivation(what=what, allowed=False, rule=rule)
    if need.disclosure.noisy:
        rule = f"granted, up to epsilon {max(g.max_epsilon for g in grants):g} a release"
    else:
        named = grants[0].named(need.column)
        wider = next(way for way in (need.disclosure, *named) if way in named and need.disclosure in way.implied)
        implied = "" if wider is need.disclosure else f" as {wider.value}, which implies it"
        counted = need.disclosure.counted
        rule = f"granted{implied}" + (f", at least {min(g.min_count for g in grants)} rows or keys" if counted else "")
    return Derivation(what=what, allowed=True, rule=rule)


def _check_declared(
    request: Request, needs: Sequence[Need], party: str, contributors: Sequence[str], recipients: Sequence[str]
) -> None:
    """Every column that an operation reads must be declared, and a pooled one as part of a result of several parties:
    what a declaration leaves out, no grant was asked for."""
    operand = request.operands.get(party)
    declared = {need.column for need in needs if operand is None or need.table == operand.table}
    if operand is not None and (not declared or not declared.issuperset(operand.columns)):
        used = ", ".join(column for column in operand.columns if column not in declared) or "rows"
        raise PolicyRefused(
            f"{party} refuses: {request.operation} reads {operand.table} ({used}) and declares no disclosure of it",
            hint="its declaration of what it needs is incomplete",
        )
    pooled = [need for need in needs if need.disclosure.pooled]
    if pooled and (party not in contributors or not recipients):
        raise PolicyRefused(
            f"{party} refuses: {request.operation} uses {pooled[0].table}.{pooled[0].column} as "
            f"{pooled[0].disclosure.value}, and does not declare {party} a contributor and who sees the result",
            hint="its declaration of contributors and recipients is incomplete",
        )


def check_price(party: str, operand: Operand, price: Sequence[Debit]) -> None:
    """Raise PolicyRefused where an operation would read a table and charge nothing for it."""
    if not any(debit.table == operand.table for debit in price):
        raise PolicyRefused(
            f"{party} refuses: the request reads {operand.table}, and its operation declares no price for that",
            hint="its declaration of the price is incomplete",
        )


def _check_parties(policy: Policy, party: str, contributors: Sequence[str], recipients: Sequence[str]) -> None:
    """Every recipient must face at least min_parties contributors other than itself."""
    if party not in contributors:
        return
    for recipient in recipients:
        others = [p for p in contributors if p != recipient]
        if len(others) < policy.min_parties:
            raise PolicyRefused(
                TooFewContributors(
                    party=party,
                    required=policy.min_parties,
                    found=len(others),
                    contributing_recipient=recipient if recipient in contributors else "",
                )
            )


def _grants(policy: Policy, request: Request, need: Need, party: str) -> list[Grant]:
    grants = _without_cap(policy, request, need, party)
    return [grant for grant in grants if need.epsilon <= grant.max_epsilon or not need.epsilon]


def _without_cap(policy: Policy, request: Request, need: Need, party: str) -> list[Grant]:
    others = [name for name in request.parties if name != party]
    return [g for g in _of_any_partners(policy, request, need) if all(_among(g.partners, name) for name in others)]


def _of_any_partners(policy: Policy, request: Request, need: Need) -> list[Grant]:
    return [
        grant
        for grant in policy.grants
        if need.disclosure in grant.permits(need.table, need.column)
        and _among(grant.to, request.caller)
        and _among(grant.purpose, request.purpose)
    ]


def _refused_partners(policy: Policy, request: Request, need: Need, party: str) -> tuple[str, ...]:
    """Those beside whom a need is not granted that would be granted otherwise: whom no grant names, else all of them,
    as no one grant names them together."""
    grants = _of_any_partners(policy, request, need)
    if not grants or _without_cap(policy, request, need, party):
        return ()
    others = tuple(name for name in request.parties if name != party)
    strangers = tuple(name for name in others if not any(_among(grant.partners, name) for grant in grants))
    return strangers or others


def _among(granted: Sequence[str], name: str) -> bool:
    return ANY in granted or name in granted

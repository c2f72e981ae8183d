"""What widgets and the panel are told of a federation: plain facts from the parties' replies, as JSON. Never rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ..client.federation import Federation
from ..client.progress import Whereabouts
from ..client.runs import Carried
from ..display.cards import Card, Grid
from ..governance.charges import Balance, LimitBalance
from ..governance.policy import ANY, ROWS, Disclosure, Policy
from ..protocol.control import AuditLog, Description, Told
from ..protocol.operation import operation_named
from ..transport.local import LocalNetwork

MOST_POINTS = 200  # of a run's curve


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """One currency of a budget. `text` is what is left, as a person reads it.

    `spent` holds what is reserved by runs that have not ended; by itself that amounts to at most `reserved`.
    """

    cap: float
    spent: float
    reserved: float
    left: float
    lifetime: float
    text: str


class LimitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A limit below the cap, and what it leaves of each currency; "" for one that it does not limit.

    The shares are those spent, from 0 to 1; -1 where there is no such limit.
    """

    text: str
    epsilon: str
    exact: str
    epsilon_share: float
    exact_share: float


class BalanceFacts(msgspec.Struct, frozen=True, kw_only=True):
    party: str
    dataset: str
    unit: str
    delta: float
    epsilon: Meter
    exact: Meter
    reserved: int
    frozen: str
    limits: tuple[LimitFacts, ...]


class ColumnFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A column and the disclosures that its owner permits this caller.

    `permits` are those for the federation's purpose, `elsewhere` those for other purposes only; `max_epsilon` is the
    largest of a single DP release. A table's rows themselves are a column named "rows" of no type.
    """

    name: str
    type: str
    permits: tuple[str, ...]
    elsewhere: tuple[str, ...]
    max_epsilon: float


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    dataset: str
    unit: str
    rows: ColumnFacts
    columns: tuple[ColumnFacts, ...]


class PartyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A party; one that cannot be reached has a name and nothing else."""

    name: str
    reachable: bool
    tables: tuple[TableFacts, ...] = ()
    operations: tuple[str, ...] = ()
    min_parties: int = 0
    running: int = 0
    ledger: str = ""
    balances: tuple[BalanceFacts, ...] = ()


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run was: `done` of `total`, after so many seconds and bytes."""

    done: int
    total: int
    seconds: float
    sent: int
    received: int
    figures: dict[str, float]


class InRun(msgspec.Struct, frozen=True, kw_only=True):
    """Where a party is in a run: `state` is "asked" before it begins, then as in `live.Whereabouts`."""

    party: str
    state: str
    phase: str = ""
    waits_for: tuple[str, ...] = ()
    instalments: int = 0
    why: str = ""


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A run of this notebook's. `state` is "running", "done", "cancelled" or "failed", `why` it failed.

    `began` is in seconds since the epoch; `phases` and `latest` are by party. It `stops` if it can end with
    what there is, and is `stopping` when it was told to.
    """

    id: str
    operation: str
    purpose: str
    parties: tuple[str, ...]
    state: str
    why: str
    began: float
    seconds: float
    phases: dict[str, str]
    latest: dict[str, Point]
    curve: tuple[Point, ...]
    stops: bool
    stopping: bool
    where: tuple[InRun, ...]


class GridFacts(msgspec.Struct, frozen=True, kw_only=True):
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class CardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an object shows of itself."""

    title: str
    answers: tuple[GridFacts, ...]
    facts: tuple[tuple[str, str], ...]
    grids: tuple[GridFacts, ...]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An audit row about one of the caller's requests; `charged` is what it was charged there, by dataset."""

    party: str
    sequence: int
    at: str
    event: str
    run: str
    operation: str
    tables: tuple[str, ...]
    why: str
    charged: tuple[tuple[str, str], ...]


class FederationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A federation as its parties describe it. `number` tells it from others of the process.

    `embedded` where its parties live in this process; `closed` once it is, with what was last known of it.
    """

    number: int
    caller: str
    purpose: str
    embedded: bool
    closed: bool = False
    parties: tuple[PartyFacts, ...]
    runs: tuple[RunFacts, ...]
    events: tuple[Event, ...]


def of_federation(
    fed: Federation, described: Mapping[str, Description], logs: Mapping[str, AuditLog]
) -> FederationFacts:
    """All of it; a party that is missing in `described` cannot be reached."""
    parties = tuple(
        of_party(described[name], fed.purpose) if name in described else PartyFacts(name=name, reachable=False)
        for name in fed.parties
    )
    return FederationFacts(
        number=fed.number,
        caller=fed.caller,
        purpose=fed.purpose,
        embedded=isinstance(fed._link, LocalNetwork),
        parties=parties,
        runs=tuple(map(of_run, fed.activity.runs)),
        events=events(logs),
    )


def of_party(described: Description, purpose: str) -> PartyFacts:
    policy = described.policy
    units = {balance.dataset: str(balance.budget.unit) for balance in described.balances}
    return PartyFacts(
        name=described.party,
        reachable=True,
        tables=tuple(
            TableFacts(
                name=table.name,
                dataset=table.dataset,
                unit=units.get(table.dataset, str(table.unit)),
                rows=_column(policy, purpose, table.name, ROWS, ""),
                columns=tuple(_column(policy, purpose, table.name, c.name, c.type) for c in table.columns),
            )
            for table in described.tables
        ),
        operations=described.operations,
        min_parties=described.policy.min_parties,
        running=described.running,
        ledger=described.ledger,
        balances=tuple(of_balance(described.party, balance) for balance in described.balances),
    )


def _column(policy: Policy, purpose: str, table: str, column: str, type_: str) -> ColumnFacts:
    """What the grants of a policy that concerns the caller say of a column."""
    permitted = [(grant, grant.permits(table, column)) for grant in policy.grants]
    here = [(grant, ways) for grant, ways in permitted if ANY in grant.purpose or purpose in grant.purpose]
    now = frozenset[Disclosure]().union(*(ways for _, ways in here))
    ever = frozenset[Disclosure]().union(*(ways for _, ways in permitted))
    return ColumnFacts(
        name=column,
        type=type_,
        permits=tuple(way.value for way in Disclosure if way in now),
        elsewhere=tuple(way.value for way in Disclosure if way in ever - now),
        max_epsilon=max((grant.max_epsilon for grant, ways in here if any(way.noisy for way in ways)), default=0.0),
    )


def of_balance(party: str, balance: Balance) -> BalanceFacts:
    budget = balance.budget
    return BalanceFacts(
        party=party,
        dataset=balance.dataset,
        unit=str(budget.unit),
        delta=budget.delta,
        epsilon=Meter(
            cap=budget.epsilon,
            spent=balance.epsilon_spent,
            reserved=min(balance.epsilon_reserved, balance.epsilon_spent),
            left=balance.epsilon_left,
            lifetime=balance.epsilon_lifetime,
            text=f"{balance.epsilon_left:.3g} of {budget.epsilon:g}",
        ),
        exact=Meter(
            cap=budget.exact,
            spent=balance.exact_spent,
            reserved=balance.exact_reserved,
            left=balance.exact_left,
            lifetime=balance.exact_lifetime,
            text=f"{balance.exact_left:,} of {budget.exact:,}",
        ),
        reserved=balance.reserved,
        frozen=balance.frozen,
        limits=tuple(map(_limit, balance.limits)),
    )


def _limit(under: LimitBalance) -> LimitFacts:
    return LimitFacts(
        text=str(under.limit),
        epsilon=under.epsilon_left,
        exact=under.exact_left,
        epsilon_share=_share(under.epsilon_spent, under.limit.epsilon),
        exact_share=_share(under.exact_spent, under.limit.exact),
    )


def _share(spent: float, bound: float | None) -> float:
    if bound is None:
        return -1.0
    return min(1.0, spent / bound) if bound else 1.0


def of_run(carried: Carried) -> RunFacts:
    request, live = carried.request, carried.live
    return RunFacts(
        id=request.run_id,
        operation=request.operation,
        purpose=request.purpose,
        parties=request.parties,
        state=carried.state,
        why=carried.why,
        began=carried.began,
        seconds=carried.seconds,
        phases=live.phases,
        latest={party: _point(told) for party, told in live.latest.items()},
        curve=tuple(map(_point, thinned(live.curve))),
        stops=operation_named(request.operation).stops,
        stopping=live.stopping.is_set(),
        where=tuple(_in_run(party, live.whereabouts.get(party)) for party in request.parties),
    )


def _in_run(party: str, there: Whereabouts | None) -> InRun:
    if there is None:
        return InRun(party=party, state="asked")
    return InRun(
        party=party,
        state=there.state,
        phase=there.phase,
        waits_for=there.waits_for,
        instalments=there.instalments,
        why=there.why,
    )


def of_card(card: Card) -> CardFacts:
    facts = tuple((label, text) for label, text in card.facts)
    return CardFacts(title=card.title, answers=_of_grids(card.answers), facts=facts, grids=_of_grids(card.grids))


def _of_grids(grids: Sequence[tuple[str, Grid]]) -> tuple[GridFacts, ...]:
    return tuple(
        GridFacts(caption=caption, header=grid.header, rows=tuple(map(tuple, grid.rows))) for caption, grid in grids
    )


def thinned(told: tuple[Told, ...]) -> tuple[Told, ...]:
    """At most so many of them as are drawn, always with the last and the first two: the second has the first figures.

    Of those between every second, fourth, eighth ... is kept: most stay the same when another is told.
    """
    step = 1
    while len(told) > step * (MOST_POINTS - 2):
        step *= 2
    return told if step == 1 else (told[0], *told[1:-1:step], told[-1])


def _point(told: Told) -> Point:
    return Point(
        done=told.done,
        total=told.total,
        seconds=told.seconds,
        sent=told.bytes_sent,
        received=told.bytes_received,
        figures=told.figures,
    )


def events(logs: Mapping[str, AuditLog]) -> tuple[Event, ...]:
    """Of all parties, the latest first."""
    found = [
        Event(
            party=party,
            sequence=row.sequence,
            at=row.at,
            event=row.event,
            run=row.run,
            operation=row.operation,
            tables=row.tables,
            why=row.why,
            charged=row.charged,
        )
        for party, log in logs.items()
        for row in log.rows
    ]
    return tuple(sorted(found, key=lambda event: event.at, reverse=True))

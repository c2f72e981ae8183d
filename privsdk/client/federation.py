"""Federations: parties embedded in this process or reached over the network, behind the same handles.

Sends one canonical request to every party in it and hands runs to `execution`. Never relays protocol messages: parties
talk to each other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from ..display.cards import Card, Grid, without_empty
from ..display.titles import Titles
from ..errors import InvalidArgument, Refused, UnknownName, UnsupportedUse
from ..errors.calls import verb
from ..errors.inputs import FederationClosed, NotOffered
from ..protocol import control
from ..protocol.operation import Request
from ..protocol.timeouts import CallerTimeouts
from .audit import AuditLogs, AuditReports
from .budgets import Budgets, balance_facts, balances_grid
from .execution import Activity, Asker, Running
from .pinned_heads import PinnedHeads
from .plan import Plan
from .preview import Preview
from .progress import Live, Observers
from .results import Answers
from .tables import Handle, Party, Tables

_open: weakref.WeakValueDictionary[int, Federation] = weakref.WeakValueDictionary()
_numbers = count(1)
openings: Observers[None] = Observers()  # called when a federation is opened or closed


def open_federations() -> dict[int, Federation]:
    """Those of this process that were not closed, by numbers of their own, in the order in which they were opened."""
    return dict(sorted(_open.items()))


class Federation(Handle):
    """An open federation: index it with a party's name; `tables(name)` gives that table of every party that has one.

    Attributes
    ----------
    caller, purpose : str
        In whose name, and what for, its requests are made.
    activity : Activity
        Its runs under way and lately ended.
    number : int
        Tells it from other federations of this process.
    closed : bool
    """

    def __init__(
        self,
        link: control.Link,
        *,
        caller: str,
        purpose: str,
        close: Callable[[], None],
        pinned_heads: PinnedHeads | None = None,
        timeouts: CallerTimeouts | None = None,
    ) -> None:
        self.timeouts = timeouts or CallerTimeouts()
        self.caller = caller
        self.purpose = purpose
        self.activity = Activity()
        self._link = link
        self._asker = Asker(link)
        self._close = close
        self._pinned_heads = pinned_heads or PinnedHeads()
        self.number = next(_numbers)
        self.closed = False
        _open[self.number] = self
        openings.notify(None)

    @property
    def titles(self) -> Titles:
        """What the parties call themselves, as far as they were asked."""
        return self._asker.titles

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of all parties, in the order in which they were given."""
        self._check_open()
        return self._link.parties()

    def _check_open(self) -> None:
        if self.closed:
            raise UnsupportedUse(FederationClosed())

    def __getitem__(self, party: str) -> Party:
        if party not in self.parties:
            raise UnknownName.among("party", party, self.parties, where="in this federation")
        described = self._asker.call(party, control.Describe(purpose=self.purpose), control.Description)
        self._pinned_heads.recognise(party, described.head)
        return Party(self, described)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.parties)

    def _reached(self) -> Mapping[str, str]:
        return {} if self.closed else {name: f'fed["{name}"]' for name in self.parties}

    @verb
    def tables(self, name: str) -> Tables:
        """The table of this name at every party that has one."""
        parties = [Party(self, d) for d in self._describe().values()]
        found = [party[name] for party in parties if isinstance(name, str) and name in party.tables]
        if not found:
            known = {table for party in parties for table in party.tables}
            raise UnknownName.among("table", name, known, where="at any party")
        return Tables(tuple(found))

    def budgets(self) -> Budgets:
        """Each party's datasets: their caps and what is spent, as the party's ledger says."""
        return Budgets({party: d.balances for party, d in self._describe().items()})

    @verb
    def preview(self, plans: Plan[Any] | Sequence[Plan[Any]]) -> Preview:
        """Price one plan or several together, as if they were released one after the other; spends nothing."""
        plans = [plans] if isinstance(plans, Plan) else plans
        if not plans or any(not isinstance(plan, Plan) for plan in plans):
            raise InvalidArgument("plans were expected", hint="fed.preview([dp.count(...), dp.mean(...)])")
        return Preview(plans, self.quote([plan.request for plan in plans]))

    def verify_audit(self) -> AuditReports:
        """Have every party check its audit chain from the first row to the head."""
        return AuditReports(self._asker.ask(self.parties, control.VerifyAudit(), control.AuditReport))

    @verb
    def audit_log(self, *, most: int = 50, quietly: bool = False) -> AuditLogs:
        """What the parties' audit chains say of you: of each its latest `most` rows about your requests.

        `quietly` leaves out parties that cannot be reached.
        """
        return AuditLogs(self._asker.ask(self.parties, control.ReadAudit(most=most), control.AuditLog, quietly=quietly))

    def forget_head(self, party: str) -> None:
        """Forget the last audit head seen of a party, and take whatever it shows next as the first.

        A party that lost its ledger and key, or made them anew, is refused with `LedgerChanged`: the budgets spent
        before are forgotten there. Call this only when its owner has told you why.
        """
        if party not in self.parties:
            raise UnknownName.among("party", party, self.parties, where="in this federation")
        self._pinned_heads.forget(party)

    def close(self) -> None:
        """Close the link; embedded parties close their ledgers. Handles of this federation stop working."""
        self.closed = True
        _open.pop(self.number, None)
        self._link.close()
        self._close()
        openings.notify(None)

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What plans need: see plan.Runner

    def quote(self, requests: Sequence[Request]) -> dict[str, control.Quoted | Refused]:
        self._check_open()
        quotes: dict[str, control.Quoted | Refused] = {}
        asked = {}
        for party in dict.fromkeys(party for request in requests for party in request.parties):
            theirs = tuple(request for request in requests if party in request.parties)
            call = control.Quote(requests=theirs, seen=self._pinned_heads.seen(party))
            asked[party] = self._asker.submit(party, call, control.Quoted)
        for party, future in asked.items():
            try:
                quotes[party] = future.result()
            except Refused as refusal:
                quotes[party] = refusal
        return quotes

    def execute(self, live: Live) -> Answers:
        """Run its request to its end, or until it is cancelled; says in `live` how far it is."""
        if not isinstance(live, Live):
            raise UnsupportedUse(NotOffered(of="Federation", name="execute", known=()))
        self._check_open()
        with self.activity.carry(live):
            running = Running(self._asker, self._pinned_heads, live, stragglers_s=self.timeouts.stragglers_s)
            return running.execute()

    def describe(self) -> dict[str, control.Description]:
        """What each party that can be reached says of itself: tables, permitted uses, balances."""
        parties = self._link.parties()  # none of one that was closed
        return self._asker.ask(parties, control.Describe(purpose=self.purpose), control.Description, quietly=True)

    def _describe(self) -> dict[str, control.Description]:
        described = self._asker.ask(self.parties, control.Describe(purpose=self.purpose), control.Description)
        for party, description in described.items():
            self._pinned_heads.recognise(party, description.head)
        return described

    def _card(self) -> Card:
        if self.closed:
            return Card(title="federation: closed")
        described = self.describe()
        rows = []
        for name in self.parties:
            found = described.get(name)
            if found is None:
                rows.append((name, "cannot be reached", "", ""))
                continue
            tables = "\n".join(f"{info.name}: {len(info.columns)} columns" for info in found.tables)
            under_way = f"{found.running} run{'s' * (found.running != 1)} under way" if found.running else ""
            rows.append((name, tables or "none; it can hold keys for others", under_way, self.titles.of(name)))
        grids = [("parties", without_empty(Grid(header=("party", "tables", "now", "title"), rows=rows)))]
        budgets = Budgets({party: d.balances for party, d in described.items()})
        facts = [("you are", f"{self.caller}, for {self.purpose}"), *balance_facts(budgets)]
        if any(budgets.values()):
            grids.append(("budgets", balances_grid(budgets)))
        return Card(title=f"federation of {', '.join(self.parties)}", facts=facts, grids=grids)

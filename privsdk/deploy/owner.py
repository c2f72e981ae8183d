"""What a data owner does with a ledger: look, limit, freeze, reset, verify. Not for analysts: it needs the signing key.

Works on the ledger file while its party serves it or not; a running party sees each action at its next request. Every
action is a signed row of the audit chain, with the owner's reason.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ..client.budgets import balance_facts, balances_grid
from ..display.cards import Card, Displayed, Grid
from ..display.tabular import table_of
from ..errors import LedgerError, UnknownName
from ..governance.chain import Head, Verdict
from ..governance.charges import Balance, Budget
from ..governance.events import Action, Freeze, Reset, SetBudget, Unfreeze
from ..governance.export import audit_table
from ..party.budget.caps import Accounts, Asking, Scope
from ..party.joint_files import JointFiles
from ..party.ledger.database import Signer
from ..party.ledger.ledger import Ledger
from ..party.ledger.rollback import RollbackDetection
from ..party.ledger.verification import read_ledger, verify_ledger


class Owner(Displayed):
    """A party's ledger in its owner's hands.

    Parameters
    ----------
    ledger : path
        The ledger file; its signing key lies beside it. Embedded parties keep theirs in the store folder, one named
        after each; a served party's is named in its party.toml.

    Raises
    ------
    LedgerError
        The file or its key cannot be read, or was changed by hand.

    Examples
    --------
    >>> with ps.Owner(".privsdk/JFK.sqlite") as owner:
    ...     owner.freeze("flights", reason="a complaint is looked into")
    """

    def __init__(self, ledger: str | Path) -> None:
        path = Path(ledger)
        self.party = read_ledger(path).party
        signer = Signer.at(path.with_suffix(".ed25519"), create=False)
        self._path = path
        self._ledger = Ledger(self.party, path, signer)
        try:
            self._ledger.refuse_changed(signer.public_key)
        except LedgerError:
            self._ledger.close()
            raise
        self._accounts = Accounts(self._ledger)
        self._joints = JointFiles(self.party, path, self._ledger, signer.derived)
        self._rollback = RollbackDetection(self.party, self._ledger, signer)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that ever had a budget here."""
        return tuple(self._ledger.datasets())

    def balance(self, dataset: str) -> Balance:
        """What is spent and left of a dataset's cap, and in its lifetime."""
        return self._accounts.of(self._known(dataset), Asking("", "")).balance()

    def spending(self) -> pa.Table:
        """Who spent what since the last reset.

        Returns
        -------
        Arrow table
            dataset, analyst, purpose; `runs` charged; `epsilon`, those runs composed at the budget's delta; `exact`
            disclosures; `first` and `last` charge in UTC. Analysts' epsilons do not add up to the dataset's: they
            compose.
        """
        columns = {
            "dataset": pa.string(),
            "analyst": pa.string(),
            "purpose": pa.string(),
            "runs": pa.int64(),
            "epsilon": pa.float64(),
            "exact": pa.int64(),
            "first": pa.timestamp("us", tz="UTC"),
            "last": pa.timestamp("us", tz="UTC"),
        }
        rows = []
        for dataset in self.datasets:
            delta = self._accounts.status(dataset).budget.delta
            for analyst, purpose, runs, first, last in self._ledger.spenders(dataset):
                account = self._accounts.account(dataset, Scope(analyst, purpose))
                spent = account.epsilon(delta), account.exact
                rows.append((dataset, analyst, purpose, runs, *spent, first, last))
        return table_of(columns, rows)

    def set(self, dataset: str, budget: Budget, *, reason: str) -> Balance:
        """Put another budget in force; it holds until it is set again or the party's configuration changes.

        Raises
        ------
        InvalidArgument
            It counts another privacy unit than the losses already charged: reset first.
        """
        return self._act(SetBudget(dataset=dataset, budget=budget, reason=reason))

    def freeze(self, dataset: str, *, reason: str) -> Balance:
        """Refuse whatever would be charged, until unfrozen; runs that have begun go on."""
        return self._act(Freeze(dataset=dataset, reason=reason))

    def unfreeze(self, dataset: str, *, reason: str) -> Balance:
        """Allow charges again."""
        return self._act(Unfreeze(dataset=dataset, reason=reason))

    def reset(self, dataset: str, *, reason: str) -> Balance:
        """Let the cap and its limits begin anew. What was ever spent stays in the ledger and in every balance.

        What analysts learned before is not unlearned: reset for new data under the same name, and say so in the reason.
        """
        return self._act(Reset(dataset=dataset, reason=reason))

    def acknowledge(self, *, reason: str) -> tuple[Head, ...]:
        """Accept that rows of this ledger were lost, as callers' heads have shown; requests then pass again.

        What the lost rows charged is in no balance: set a smaller budget for it. Returns the heads that prove the loss.

        Raises
        ------
        InvalidArgument
            No loss was found, or no reason is given.
        """
        return self._rollback.acknowledge(reason)

    def joint_tables(self) -> pa.Table:
        """The joint tables that are kept on disk, of a party whose owner lets them outlive its process.

        Returns
        -------
        Arrow table
            The `name` that `revoke` takes and the audit has; `table`, `analyst`, `purpose`; `since` and `until` in UTC.
        """
        time = pa.timestamp("us", tz="UTC")
        names = ("name", "table", "analyst", "purpose")
        kept = {name: head for name, head in self._joints.heads().items() if head is not None and not head.ended}
        rows = [(name, h.table, h.caller, h.purpose, h.since, h.until) for name, h in kept.items()]
        return table_of({**dict.fromkeys(names, pa.string()), "since": time, "until": time}, rows)

    def revoke(self, name: str, *, reason: str) -> None:
        """Remove a joint table that is kept on disk: from the next request on nobody can use it.

        What was answered about it before is not unlearned. The caller is told the reason.
        """
        self._joints.revoke(name, reason)

    def verify(self) -> Verdict:
        """Check the audit chain, every signature in it, and the tables against it; `first_bad` is -1 where all hold."""
        return verify_ledger(self._path)

    def log(self) -> pa.Table:
        """The audit chain as an Arrow table, one row for each event; see `governance.export.audit_table`."""
        held = read_ledger(self._path)
        return audit_table(held.rows, held.public_key)

    def close(self) -> None:
        self._ledger.close()

    def __enter__(self) -> Owner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _act(self, action: Action) -> Balance:
        self._known(action.dataset)
        self._ledger.act(action)
        return self.balance(action.dataset)

    def _known(self, dataset: str) -> str:
        if dataset not in self.datasets:
            raise UnknownName.among("dataset", dataset, self.datasets, where=f"in {self.party}'s ledger")
        return dataset

    def _card(self) -> Card:
        facts, balances = [], {"": [self.balance(dataset) for dataset in self.datasets]}
        facts += balance_facts(balances)
        for balance in balances[""]:
            limits = [limit.text for limit in balance.budget.limits]
            facts += [(f"limits of {balance.dataset}", "\n".join(limits))] if limits else []
        spent = [tuple(str(v) for v in row.values()) for row in self.spending().drop_columns(["first"]).to_pylist()]
        header = ("dataset", "analyst", "purpose", "runs", "epsilon", "exact", "last")
        shown = [(*row[:4], f"{float(row[4]):.3g}", row[5], row[6][:16]) for row in spent]
        grids = [("budgets", balances_grid(balances))] if self.datasets else []
        grids += [("spent", Grid(header=header, rows=shown))] if shown else []
        return Card(title=f"the ledger of {self.party}", facts=facts, grids=grids)

"""What a party says of itself to a caller: tables, what its policy allows the caller, balances. Never rows."""

from __future__ import annotations

from ..governance.policy import ANY, Policy
from ..protocol import control
from ..protocol.operation import operation_names
from . import policy as rules
from .budget.books import Books
from .budget.caps import Asking
from .tables.store import Store


def describe(
    party: str, asking: Asking, *, store: Store, policy: Policy, books: Books, running: int
) -> control.Description:
    """The party as this caller may see it."""
    return control.Description(
        party=party,
        tables=tuple(_table(asking.analyst, name, store, policy, books) for name in store.names()),
        operations=operation_names() if ANY in policy.operations else policy.operations,
        policy=rules.concerning(policy, asking.analyst),
        balances=books.balances(asking),
        running=running,
        ledger=books.place,
        head=books.head(),
    )


def _table(caller: str, name: str, store: Store, policy: Policy, books: Books) -> control.TableInfo:
    columns = []
    for field in store.schema(name):
        allowed = rules.permits(policy, name, field.name, caller)
        columns.append(
            control.ColumnInfo(name=field.name, type=str(field.type), permits=tuple(d.value for d in allowed))
        )
    dataset, unit = books.dataset_of(name), books.unit_of(name)
    return control.TableInfo(name=name, dataset=dataset, columns=tuple(columns), unit=unit)

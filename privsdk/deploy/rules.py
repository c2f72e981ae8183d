"""Whether the names in an owner's rules exist: a misspelt one would allow nothing, or cap no dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ..errors import UnknownName
from ..errors.details import nearest
from ..governance.policy import ANY, ROWS, Policy
from ..protocol.operation import operation_names


def check_policy(policy: Policy, tables: Mapping[str, Collection[str]], *, where: str) -> None:
    """Raise UnknownName where a policy names no operation, or nearly one of these tables or of their columns.

    A policy may name tables and columns that others hold: owners share their rules.
    """
    _check("operation", policy.operations, operation_names(), where)
    for grant in policy.grants:
        if grant.table != ANY and grant.table not in tables:
            if nearest(grant.table, list(tables)):
                raise UnknownName.among("table", grant.table, tables, where=where)
            continue
        of = tables.values() if grant.table == ANY else [tables[grant.table]]
        columns = {column for each in of for column in each}
        misspelt = [c for c in grant.columns if c not in columns and nearest(c, [*columns, ROWS])]
        _check("column", misspelt, {*columns, ROWS}, f"in {grant.table}, {where}")


def check_budgets(budgets: Iterable[str], datasets: Collection[str], *, where: str) -> None:
    """Raise UnknownName where a budget is of a dataset that no table belongs to."""
    _check("dataset", budgets, datasets, where)


def _check(kind: str, names: Iterable[str], known: Collection[str], where: str) -> None:
    for name in names:
        if name != ANY and name not in known:
            raise UnknownName.among(kind, name, known, where=where)

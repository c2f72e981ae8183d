"""The grants that a refused request would need, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from .policy import ANY, Disclosure, Grant, Need


def smallest_grants(
    needs: Sequence[Need], *, to: str, purpose: str, partners: tuple[str, ...] = (ANY,)
) -> tuple[Grant, ...]:
    """The grants that permit these disclosures and nothing else: one for each table and epsilon."""
    wanted: dict[tuple[str, float], dict[str, tuple[Disclosure, ...]]] = {}
    for need in needs:
        columns = wanted.setdefault((need.table, need.epsilon), {})
        columns[need.column] = tuple(dict.fromkeys((*columns.get(need.column, ()), need.disclosure)))
    return tuple(
        Grant(table=table, columns=dict(columns), to=(to,), purpose=(purpose,), partners=partners, max_epsilon=epsilon)
        for (table, epsilon), columns in wanted.items()
    )

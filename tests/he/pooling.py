"""Pooled statistics through their operations' roles, without a federation: in the clear, or under encryption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pyarrow as pa

from privsdk.crypto.seal.schemes import ExactScheme
from privsdk.crypto.sums.base import Totals, Vector
from privsdk.he.statistics import operation as declaration
from privsdk.he.statistics.answers import reader
from privsdk.he.statistics.fixedpoint import FixedPoint
from privsdk.he.statistics.statistic import Statistic
from privsdk.protocol.operation import Operand, Request, RoleInput, operation_of
from privsdk.protocol.roles import Role, gather, tell
from privsdk.protocol.services import Unguarded
from privsdk.testing import Members, Numbers, SeededEntropy, Sent, together

ROWS = 1 << 24


class CheckedSum:
    """A sum in the clear, of integers of any size, that refuses what encryption has no room for."""

    def __init__(self, *, me: str, clients: tuple[str, ...], coordinator: str, scheme: ExactScheme) -> None:
        self._coordinator = coordinator
        self._scheme = scheme

    def set_up(self) -> Role[None]:
        yield from ()

    def contribute(self, name: str, parties: Sequence[str], vector: Vector, largest: int) -> Role[None]:
        entries = vector.tolist()
        assert len(entries) == self._scheme.length
        assert all(type(entry) is int and abs(entry) <= self._scheme.max_units for entry in entries)
        yield from tell(self._coordinator, Numbers(values=tuple(map(str, entries))))

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        came = yield from gather(parties, Numbers)
        sums = [sum(map(int, entries)) for entries in zip(*(m.values for m in came.values()), strict=True)]
        return Totals(np.array(sums, object), tuple(parties), {})


@contextmanager
def in_the_clear() -> Iterator[None]:
    """Hundreds of times as fast, and the same totals: those of encrypted sums are exact (see test_sums)."""
    with mock.patch.object(declaration, "EncryptedSum", CheckedSum):
        yield


def statistic(name: str, columns: Sequence[str] = (), *, integers: bool = False, **options: Any) -> Statistic:
    """The parameters as a verb would make them; `bound` and `resolution` are for every column."""
    counts = name in ("count", "histogram")
    grid = FixedPoint.choose(
        bound=options.pop("bound", 2.0**40), resolution=options.pop("resolution", None), places=0 if integers else None
    )
    grids = () if counts else (grid,) * len(columns)
    whole = (integers and grid.resolution == 1.0,) * len(grids)
    return Statistic(
        name=name,  # type: ignore[arg-type]
        columns=tuple(columns),
        grids=grids,
        whole=whole,
        max_rows=options.pop("max_rows", ROWS),
        **options,
    )


def request_for(asked: Statistic, contributors: Sequence[str], *, caller: str = "analyst") -> Request:
    return Request(
        run_id="r",
        operation=f"he.{asked.name}",
        caller=caller,
        purpose="test",
        parties=(*contributors, "k"),
        operands={party: Operand(table="t", columns=asked.used) for party in contributors},
        parameters=msgspec.to_builtins(asked),
    )


def answer_of(
    asked: Statistic,
    tables: Sequence[pa.Table],
    *,
    min_count: int | Sequence[int] = 0,
    min_parties: int | Sequence[int] = 1,
    caller: str = "analyst",
    transcript: list[Sent] | None = None,
    seed: bytes = b"",
    wrapped: Mapping[str, Callable[[Role[Any]], Role[Any]]] | None = None,
    ids: str = "",
) -> pa.Table:
    """The key holder's answer; tables belong to p0, p1 and so on, thresholds too where there is one for each. `ids` is
    the column of privacy units, if they have one."""
    names = [f"p{i}" for i in range(len(tables))]
    members = Members((*names, "k"))
    request = request_for(asked, names, caller=caller)
    operation = operation_of(request)

    def of(thresholds: int | Sequence[int], i: int) -> int:
        return thresholds if isinstance(thresholds, int) else thresholds[i]

    def given(
        party: str, table: pa.Table | None, count: int, parties: int, keys: np.ndarray | None = None
    ) -> RoleInput:
        return RoleInput(
            request=request,
            party=party,
            session=b"",
            table=table,
            keys=keys,
            min_count=count,
            entropy=SeededEntropy(seed + party.encode()),
            services=Unguarded(identity=members.of(party)),
            min_parties=parties,
        )

    inputs = [
        given(
            name,
            table.select(request.operands[name].columns),
            of(min_count, i),
            of(min_parties, i),
            table[ids].to_numpy() if ids else None,
        )
        for i, (name, table) in enumerate(zip(names, tables, strict=True))
    ]
    inputs.append(given("k", None, 0, 1))
    roles = {mine.party: operation.role(mine) for mine in inputs}
    roles |= {party: wrap(roles[party]) for party, wrap in (wrapped or {}).items()}
    outcomes = together(roles, transcript)
    assert all(outcomes[name].table is None and not outcomes[name].value for name in names)
    return outcomes["k"].table


def ask(asked: Statistic, tables: Sequence[pa.Table], *, ddof: int = 1, listed: bool = False, **options: Any) -> Any:
    """What the verb's plan would return."""
    read: Callable[[pa.Table], Any] = reader(asked, asked.scheme(len(tables)), ddof, listed=listed)
    return read(answer_of(asked, tables, **options))


class Truth:
    """Statistics of rows in exact arithmetic; each row is a tuple of numbers, complete."""

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self.rows = [tuple(map(Fraction, row)) for row in rows]
        self.count = len(rows)

    def total(self, i: int = 0) -> Fraction:
        return sum((row[i] for row in self.rows), start=Fraction())

    def mean(self, i: int = 0) -> Fraction:
        return self.total(i) / self.count

    def covariance(self, i: int = 0, j: int = 0, *, ddof: int = 1) -> Fraction:
        means = self.mean(i), self.mean(j)
        return sum(((row[i] - means[0]) * (row[j] - means[1]) for row in self.rows), start=Fraction()) / (
            self.count - ddof
        )


def within(value: float, error: float, exact: Fraction) -> bool:
    return abs(Fraction(value) - exact) <= Fraction(error)


def root_within(value: float, error: float, square: Fraction) -> bool:
    """Whether a value is within the error of the square root of a number."""
    low, high = Fraction(value) - Fraction(error), Fraction(value) + Fraction(error)
    return high >= 0 and high**2 >= square and (low <= 0 or low**2 <= square)


def cosine_within(value: float, error: float, dot: Fraction, squares: Fraction) -> bool:
    """Whether a value is within the error of dot / sqrt(squares)."""
    low, high = Fraction(value) - Fraction(error), Fraction(value) + Fraction(error)

    def signed(x: Fraction) -> Fraction:
        return x * abs(x)

    return signed(low) * squares <= signed(dot) <= signed(high) * squares

"""What a joint table offers over the columns of all its parties: products of them, and what follows from these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from ...client.matrix import Matrix
from ...client.plan import Plan
from ...client.runner import Runner
from ...client.tables import Table, new_request
from ...errors import InvalidArgument, UnknownName
from ...errors.calls import verb
from ...errors.inputs import JointQuestion
from ...protocol.columns.kinds import Kind
from ...protocol.control import Finished
from ...protocol.operation import Operand
from .crosstab import Crosstab, means_by_group
from .matrix import correlations, covariances
from .moments import ToldSums
from .parameters import (
    MOST_KEYS,
    OPERATION,
    JointColumn,
    MomentsParameters,
    Statistic,
)
from .regression import Regression

T = TypeVar("T")
DEFAULT_GROUPS = 10
OFFERED = ".correlation(columns), .covariance, .regression(label, features), .crosstab, .means"
Edges = Mapping[str, Sequence[float]]


class JointStatistics:
    """Mixin of joint tables: statistics of columns that different organisations hold of the same keys.

    Columns are named "party.column". Each key has one row at every party; an owner whose table has several declares a
    view that makes them one. A key at which a number is missing is left out; of three or more parties nobody may miss
    any. No number hangs on one key: where one would make up more than one part in the minimum count of its sum of
    squares, its owner caps the most extreme values, and the result says so.

    Every figure is a sum over all keys, rounded at random and without bias to what the minimum count of keys make up:
    beside n keys that moves it by about 8 / sqrt(n) of its standard error, 0.1 of 5,000 keys and 0.03 of 100,000. It is
    charged to each owner's allowance, and its bits to each column, of whose entropy at most half is ever told.
    """

    size: int | None
    min_count: int

    def __init__(self, runner: Runner, tables: Mapping[str, Table], alignments: Mapping[str, str]) -> None:
        self._runner = runner
        self._tables = dict(tables)  # in the join's order
        self._alignments = dict(alignments)

    @verb
    def covariance(self, columns: Sequence[str]) -> Plan[Matrix]:
        """Covariance of each two of several columns, squares divided by the number of keys less 1.

        Parameters
        ----------
        columns : sequence of str
            Numeric or boolean, as "party.column".

        Returns
        -------
        Plan of Matrix
            `values`, and `errors` that bound the effect of all rounding but for a chance of 2^-28.

        Learns
        ------
        The caller: the matrix, the columns' means, and how many keys are complete. Parties: how many columns others
        encode and whether numbers are missing there. The caller and an owner together: linear equations of the others'
        columns, bounded in bits.

        Examples
        --------
        >>> joint.covariance(["bank.income", "shop.spent"]).release().value.values

        Source: Cheetah, Huang, Lu, Hong, Ding, USENIX Security 2022, section 3 (products); see `exact.joint.protocol`.
        """
        names = tuple(columns)
        return self._moments("covariance", [self._number(name) for name in names], lambda m: covariances(m, names))

    @verb
    def correlation(self, columns: Sequence[str]) -> Plan[Matrix]:
        """Pearson's correlation of each two of several columns; all else as for `covariance`.

        Examples
        --------
        >>> joint.correlation(["bank.income", "bank.age", "shop.spent"]).release()
        """
        names = tuple(columns)
        numbers = [self._number(name) for name in names]
        return self._moments("correlation", numbers, lambda m: correlations(m, names))

    @verb
    def regression(
        self,
        label: str,
        features: Sequence[str],
        *,
        ridge: float = 0.0,
    ) -> Plan[Regression]:
        """Linear regression with standard errors, of columns that several organisations hold.

        Parameters
        ----------
        label : str
            What is explained, numeric or boolean, as "party.column".
        features : sequence of str
            What explains it.
        ridge : float
            Penalty on the sum of the squared coefficients, in the columns' units; the intercept has none. There are no
            standard errors with one.

        Returns
        -------
        Plan of Regression
            Coefficients, standard errors, t, p, intervals; a feature that follows from others is left out and named.

        Learns as for `covariance`: the caller gets all that the model is made of.

        Examples
        --------
        >>> joint.regression("bank.balance", ["bank.income", "shop.spent"]).release()
        """
        names = tuple(features)
        if not names:
            raise InvalidArgument(JointQuestion(wrong="features"))
        if not 0 <= ridge < math.inf:
            raise InvalidArgument(JointQuestion(wrong="ridge"))
        numbers = [self._number(name) for name in (label, *names)]
        return self._moments("regression", numbers, lambda m: Regression(m, label, names, ridge))

    @verb
    def crosstab(
        self,
        rows: str,
        columns: str,
        *,
        edges: Edges | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[Crosstab]:
        """How often the values of two organisations' columns come together, and how much one tells of the other.

        Parameters
        ----------
        rows, columns : str
            Two parties' columns, as "party.column"; of any type that groups.
        edges : mapping of column to sequence of float, optional
            For a number, the public edges of the intervals that it is cut into.
        most_groups : int
            The most values of a column that may be told, which is what the question pays for.

        Returns
        -------
        Plan of Crosstab
            Counts, rounded at random to multiples of at least the minimum count; mutual information with an interval,
            a test of independence, weight of evidence.

        Learns
        ------
        The caller: the counts, and both columns' values of at least the minimum count of keys. Parties: how many
        values the other's column has that are told.

        Examples
        --------
        >>> joint.crosstab("shop.tier", "bank.default").release()
        >>> joint.crosstab("shop.spent", "bank.default", edges={"shop.spent": [10, 100, 1000]}).release()
        """
        both = [self._category(name, edges, most_groups) for name in (rows, columns)]
        if both[0].party == both[1].party:
            party = both[0].party
            raise InvalidArgument(
                JointQuestion(wrong="one-party", party=party, write=f'joint["{party}"].count(by=...)')
            )
        return self._moments("crosstab", both, lambda m: Crosstab(m, (rows, columns)))

    @verb
    def means(
        self,
        column: str,
        *,
        by: str,
        edges: Edges | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """Mean of one organisation's column by another's, which learns no key's value, and gives none of its own.

        Parameters
        ----------
        column : str
            Numeric or boolean, as "party.column".
        by : str
            Another party's, whose values are the groups.
        edges, most_groups
            As for `crosstab`.

        Returns
        -------
        Plan of Arrow table
            Columns: the group, `mean`, `error` (a bound), `count`.

        Learns as for `crosstab`, and the caller the column's mean and variance over all keys.

        Examples
        --------
        >>> joint.means("bank.income", by="shop.tier").release()
        """
        value, group = self._number(column), self._category(by, edges, most_groups)
        if value.party == group.party:
            write = f'joint["{value.party}"].mean("{value.name}", by="{group.name}")'
            raise InvalidArgument(JointQuestion(wrong="one-party", party=value.party, write=write))
        return self._moments("means", [value, group], lambda m: means_by_group(m, column, by))

    def _moments(self, statistic: Statistic, columns: Sequence[JointColumn], made: Callable[[ToldSums], T]) -> Plan[T]:
        if self.size is None or self.size > MOST_KEYS:
            least = self.min_count if self.size is None else 0
            raise InvalidArgument(JointQuestion(wrong="keys", least=least, most=MOST_KEYS))
        parameters = MomentsParameters(
            statistic=statistic,
            columns=tuple(columns),
            keys=self.size,
        )
        tables = self._tables
        parties = tuple(party for party in tables if parameters.of(party))
        request = new_request(
            self._runner,
            OPERATION,
            parties=parties,
            operands={
                party: Operand(
                    table=tables[party].name,
                    columns=tuple(column.name for column in parameters.of(party)),
                    alignment=self._alignments[party],
                )
                for party in parties
            },
            parameters=msgspec.to_builtins(parameters),
        )

        def finish(answers: Mapping[str, Finished]) -> T:
            return made(ToldSums(parameters, parties, answers))

        return Plan(self._runner, request, finish)

    def _number(self, name: str) -> JointColumn:
        party, column = self._split(name)
        self._tables[party].expect({column: Kind.NUMBER})
        return JointColumn(party=party, name=column, kind="number")

    def _category(self, name: str, edges: Edges | None, groups: int) -> JointColumn:
        party, column = self._split(name)
        cuts = tuple(float(edge) for edge in (edges or {}).get(name, ()))
        if cuts:
            self._tables[party].expect({column: Kind.NUMBER})
        if any(high <= low for low, high in pairwise(cuts)):
            raise InvalidArgument(JointQuestion(wrong="edges", column=name))
        if cuts:
            groups = len(cuts) + 2  # with null
        elif self._tables[party].type_of(column) == "bool":
            groups = min(groups, 3)
        return JointColumn(party=party, name=column, kind="category", edges=cuts, groups=groups)

    def _split(self, name: Any) -> tuple[str, str]:
        known = [f"{party}.{column}" for party, table in self._tables.items() for column in table.columns]
        if not isinstance(name, str) or name not in known:
            raise UnknownName.among("column", name, known, where="in this join")
        party, _, column = name.partition(".")
        return party, column

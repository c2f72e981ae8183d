"""What a party hands to a role: the columns that were decided on, and its ways to the books. Read once the run is paid.

Decides nothing: that is the gate's part, before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from ..errors import DataError, InternalError
from ..protocol.operation import Request, RoleInput
from ..protocol.roles import Entropy
from ..protocol.services import Checkpoints, Figures, Identity, NoCheckpoints, RowSet
from .budget.books import Books
from .checkpoints import CheckpointStore, Work, work_of
from .guard import Guard, Screen
from .run import PartyRun
from .runs import PartyRuns
from .tables.store import Store


class RunServices:
    """What the role of one run may ask of its party. What its operation does not declare is refused."""

    def __init__(
        self,
        run: PartyRun,
        *,
        books: Books,
        identity: Identity,
        screen: Screen | None,
        work: Callable[[str], Checkpoints] | None,
    ) -> None:
        self.identity = identity
        self._run = run
        self._books = books
        self._screen = screen
        self._work = work

    def screen(self, sets: Sequence[RowSet], min_count: int) -> list[Figures]:
        """As the differencing guard allows; see there."""
        if self._screen is None:
            raise InternalError(f"{self._run.request.operation} has exact figures, and is not `remembered`")
        return self._screen(sets, min_count)

    def pay(self) -> None:
        """For one more round; on disk before it returns."""
        if not self._run.per_round:
            raise InternalError(f"{self._run.request.operation} pays by the round, and does not say what")
        self._books.pay(self._run.request, self._run.per_round)
        self._run.instalments += 1

    def checkpoints(self, part: str) -> Checkpoints:
        """Of the work that the request names."""
        return NoCheckpoints() if self._work is None else self._work(part)

    def stop_requested(self) -> bool:
        """Whether the caller did."""
        return self._run.stop_requested.is_set()


class Inputs:
    """Of one party's roles."""

    def __init__(
        self,
        store: Store,
        *,
        runs: PartyRuns,
        guard: Guard,
        books: Books,
        checkpoints: CheckpointStore,
        entropy: Entropy,
        identity: Identity,
        min_parties: int,
    ) -> None:
        self._store = store
        self._runs = runs
        self._guard = guard
        self._books = books
        self._entropy = entropy
        self._identity = identity
        self._min_parties = min_parties
        self._kept = checkpoints

    def of(self, party: str, run: PartyRun) -> tuple[RoleInput, str]:
        """The role's input, and the version of the table it was read from."""
        request, operand = run.request, run.request.operands.get(party)
        table, keys, joint, version, min_count = None, None, None, "", run.min_count
        screen: Screen | None = None
        if operand is not None:
            version = self._store.version(operand.table)
            table = self._store.read(operand.table, operand.columns, operand.unit)
            if self._store.version(operand.table) != version:
                raise DataError(f"{party}/{operand.table} changed while it was read", hint="ask again")
            if not operand.unit.id:  # an exact answer's: rows bounded by their id are others than the table's
                keys = self._guard.units(operand.table)
            if operand.alignment:
                joint = self._runs.joint_rows(request, operand, version)
                table, keys = table.take(joint.rows), joint.keys
                min_count = max(min_count, joint.min_count)
            if run.operation.remembered:
                screen = self._guard.screener(request, operand, version, joint, run.min_count)
        given = RoleInput(
            request=request,
            party=party,
            session=bytes.fromhex(run.session),
            table=table,
            keys=keys,
            min_count=min_count,
            entropy=self._entropy,
            joint=b"" if joint is None else joint.session,
            min_parties=self._min_parties,
            key_bounds=run.key_bounds,
            services=RunServices(
                run, books=self._books, identity=self._identity, screen=screen, work=self._open(party, run)
            ),
        )
        return given, version

    def work(self, party: str, request: Request, name: str) -> Work:
        """The named work of a request: its states go with what the columns hold now."""
        operand, content = request.operands.get(party), ""
        if operand is not None:
            content = hashlib.sha256(self._store.hashes(operand.table, operand.columns).tobytes()).hexdigest()
        return work_of(request, name, content)

    def check(self, party: str, request: Request, name: str) -> None:
        """Raise InvalidArgument where work of this name is not the one that is asked for."""
        if name:
            self._kept.check(self.work(party, request, name))

    def _open(self, party: str, run: PartyRun) -> Callable[[str], Checkpoints] | None:
        name = run.operation.name_of_work()
        return self._kept.open(self.work(party, run.request, name)) if name else None

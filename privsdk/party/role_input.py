"""What a party hands to a role: the columns that were decided on, and its ways to the books. Read once the run is paid.

Decides nothing: that is the gate's part, before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..errors import DataError
from ..protocol.checkpoints import Checkpoints, nowhere
from ..protocol.operation import Identity, Request, RoleInput, Settle, as_computed
from ..protocol.roles import Entropy
from .budget.books import Books
from .checkpoint_file import Work
from .checkpoints import CheckpointStore, work_of
from .differencing.guard import Guard
from .run import Session
from .runs import Sessions
from .tables.store import Store


class Inputs:
    """Of one party's roles."""

    def __init__(
        self,
        store: Store,
        *,
        sessions: Sessions,
        guard: Guard,
        books: Books,
        checkpoints: CheckpointStore,
        entropy: Entropy,
        identity: Identity,
        min_parties: int,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._guard = guard
        self._books = books
        self._entropy = entropy
        self._identity = identity
        self._min_parties = min_parties
        self._kept = checkpoints

    def of(self, party: str, session: Session) -> tuple[RoleInput, str]:
        """The role's input, and the version of the table it was read from."""
        request, operand = session.request, session.request.operands.get(party)
        table, keys, joint, version, min_count = None, None, None, "", session.min_count
        settle: Settle = as_computed
        if operand is not None:
            version = self._store.version(operand.table)
            table = self._store.read(operand.table, operand.columns, operand.unit)
            if self._store.version(operand.table) != version:
                raise DataError(f"{party}/{operand.table} changed while it was read", hint="ask again")
            if not operand.unit.id:  # an exact answer's: rows bounded by their id are others than the table's
                keys = self._guard.units(operand.table)
            if operand.alignment:
                joint = self._sessions.joint_rows(request, operand, version)
                table, keys = table.take(joint.rows), joint.keys
                min_count = max(min_count, joint.min_count)
            if session.operation.remembered:
                settle = self._guard.settler(request, operand, version, joint, session.min_count)
        given = RoleInput(
            request=request,
            party=party,
            session=bytes.fromhex(session.id),
            table=table,
            keys=keys,
            min_count=min_count,
            entropy=self._entropy,
            joint=b"" if joint is None else joint.session,
            min_parties=self._min_parties,
            settle=settle,
            identity=self._identity,
            pay=self._payer(session),
            checkpoints=self._checkpoints(party, session),
            stopping=session.stopping.is_set,
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

    def _checkpoints(self, party: str, session: Session) -> Callable[[str], Checkpoints]:
        name = session.operation.name_of_work()
        return self._kept.open(self.work(party, session.request, name)) if name else nowhere

    def _payer(self, session: Session) -> Callable[[], None]:
        """`RoleInput.pay`: on disk before it returns."""

        def pay() -> None:
            self._books.pay(session.request, session.per_round)
            session.instalments += 1

        return pay

"""A training whose clients are all in this process: for prototyping over plain tables. It protects nothing.

The roles are those of `fl.fit`, message by message, driven in one thread (`together`); what trains and what adds up is
given to them. Clients of small models are trained at once (`training.Stack`). Updates go through the sums that `fl.fit`
would mask, on the same grid, without the masks, so that all totals are those that the coordinator of a masked training
sees; where a strategy or a compression takes updates one by one, they come one by one.

There are no parties, no gate, no grants, no budget, no minimum counts and no ledger. One process sees everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pyarrow as pa

from ..crypto.sums.base import PlainSum
from ..errors import DataError, InvalidArgument
from ..errors.calls import verb
from ..party.tables import read_columns
from ..protocol.columns.keys import Key
from ..protocol.control import Trace
from ..protocol.in_memory import together
from ..protocol.operation import Operand, Outcome, Request, RoleInput
from ..protocol.roles import SystemEntropy
from ..protocol.services import UNGUARDED
from .fitted import Fitted, fitted
from .models.model import Model
from .models.training import Stack
from .parameters import Compressions, FitParameters, Strategies, check_types, parameters_of
from .privacy.levels import PartyLevel, Privacy
from .roles import role

COORDINATOR = "the coordinator"
DEADLINE_S = 60.0  # of nothing: in one thread nobody is late


@verb
def simulate(
    model: Model,
    tables: Sequence[pa.Table] | Mapping[str, pa.Table],
    *,
    label: str,
    rounds: int = 20,
    learning_rate: float | None = None,
    local_steps: int = 1,
    local_epochs: int | None = None,
    batch_size: int | None = None,
    strategy: Strategies | None = None,
    compression: Compressions | None = None,
    participation: float = 1.0,
    fewest: int | None = None,
    held_out: float = 0.2,
    class_weights: Literal["balanced"] | Mapping[Key, float] | None = None,
    by: str | None = None,
    groups: Sequence[Key] | None = None,
    evaluate_every: int | None = None,
    seed: int = 0,
    privacy: Privacy | None = None,
) -> Fitted:
    """Train a model over tables of which each is a client's, all in this process. Nothing is protected.

    For prototyping, with up to a thousand or so clients: of the same arguments come the same draws, steps and averages
    as of `fl.fit` over parties that hold these tables in this order. One process sees everything: no party is asked, no
    grant is needed, nothing is charged, and there are no minimum counts. To train over parties, use `fl.fit`.

    Parameters
    ----------
    model : Logistic, Linear, Softmax or MLP
    tables : list, or mapping of name to table
        A table for each client, in any form that `ps.embedded` takes. Those of a list are called client0, client1, and
        so on.
    fewest : int, optional
        Clients that are drawn for a round at the least; default more than half, as of `fl.fit`: give fewer for a small
        `participation`.
    seed : int
        Of the split, the batches, the initial weights, the clients drawn, but not of the noise of `privacy`.
    privacy : optional
        With the noise of `fl.fit`, to see what a model is worth with it. No guarantee comes with it here: all else is
        in the clear, and nothing is accounted for.
    label, rounds, learning_rate, local_steps, local_epochs, batch_size, strategy, compression, participation
        As in `fl.fit`; every strategy and compression goes without an aggregation of its own.
    held_out, class_weights, by, groups, evaluate_every
        As in `fl.fit`.

    Returns
    -------
    Fitted
        As of `fl.fit`; how long a round took is null in its history.

    Raises
    ------
    DataError
        A client has no rows, too few, or others than its model declares; or the training of one diverged, which ends
        the simulation.

    Source: see `fl.fit`.
    """
    given = locals()
    named = _named(tables)
    if compression is not None and isinstance(privacy, PartyLevel):
        raise InvalidArgument(
            "party-level privacy takes the sum of whole updates, which compression takes apart",
            hint="leave compression out, or use fl.RecordLevel(...)",
        )
    clear = compression is not None or bool(getattr(strategy, "each", ""))  # updates come one by one
    given |= {"aggregation": "clear" if clear else "masked", "deadline_s": DEADLINE_S}
    parameters = parameters_of("fl.simulate", given, clients=tuple(named), coordinator=COORDINATOR)
    if not 1 <= parameters.fewest <= len(named):
        raise InvalidArgument(
            f"rounds of at least {parameters.fewest} of {len(named)} clients",
            hint=f"give fewest of 1 to {len(named)}",
        )
    clients = {name: read_columns(name, table, parameters.columns) for name, table in named.items()}
    for name, table in clients.items():
        _check(name, table, parameters)
    answers = _played(clients, parameters)
    return fitted(parameters, answers, tuple(clients), trace=Trace(), lost={})


def _played(clients: Mapping[str, pa.Table], parameters: FitParameters) -> dict[str, Outcome]:
    """What each role answered, the clients in their order."""
    columns = parameters.columns
    request = Request(
        run_id="",
        operation="fl.simulate",
        caller="",
        purpose="",
        parties=(*clients, COORDINATOR),
        operands={name: Operand(table=name, columns=columns) for name in clients},
        parameters={},
    )
    nothing, entropy, train = pa.table({}), SystemEntropy(), Stack().train
    sums = partial(PlainSum, coordinator=parameters.coordinator, within_s=parameters.deadline_s)

    def of(party: str, table: pa.Table) -> RoleInput:
        return RoleInput(
            request=request,
            party=party,
            session=b"",
            table=table,
            keys=None,
            min_count=1,
            entropy=entropy,
            services=UNGUARDED,
            min_parties=0,  # a round may be of one client
        )

    inputs = [*(of(name, table) for name, table in clients.items()), of(COORDINATOR, nothing)]
    outcomes: dict[str, Any] = together({given.party: role(given, parameters, train, sums) for given in inputs})
    return {party: outcomes[party] for party in request.parties}


def _named(tables: object) -> dict[str, Any]:
    """Each client's table, as it was given, by its name; raises InvalidArgument for anything else."""
    if isinstance(tables, Mapping):
        found = dict(tables)
    elif isinstance(tables, list | tuple):
        found = {f"client{number}": table for number, table in enumerate(tables)}
    else:
        raise InvalidArgument(
            f"fl.simulate takes the tables of several clients, not a {type(tables).__name__}",
            hint="give a list of Arrow tables, or a mapping of name to table; for parties' tables there is fl.fit",
        )
    if not found:
        raise InvalidArgument("fl.simulate has no clients", hint="give one table or more")
    for name in found:
        if not (isinstance(name, str) and name) or name == COORDINATOR:
            raise InvalidArgument(f"{name!r} cannot be a client's name", hint="name clients by other texts")
    return found


def _check(name: str, table: pa.Table, parameters: FitParameters) -> None:
    """Raise where a client's table is not one to train on."""
    check_types(name, {column: str(table.schema.field(column).type) for column in parameters.columns}, parameters)
    if not table.num_rows:
        raise DataError(f"{name} has no rows", hint="leave this client out")

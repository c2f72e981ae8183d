"""Opening a federation: parties embedded in this process, or reached over the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from ..client.federation import Federation
from ..client.pinned_heads import PinnedHeads
from ..display.cards import Card, to_text
from ..errors import InvalidArgument, UnknownName, UnsupportedUse
from ..errors.calls import verb
from ..errors.inputs import WrongType
from ..governance.charges import Budget
from ..governance.policy import ANY, Disclosure, Grant, Policy
from ..party.budget.books import Books
from ..party.gate import Gate
from ..party.tables import Store
from ..protocol.timeouts import Joins, Timeouts
from ..transport.identities import Credentials, Members
from ..transport.local import LocalNetwork
from .config import FederationConfig, read_config, reject_names, reject_titles
from .rules import check_policy

T = TypeVar("T")

_WORKSHOP = tuple(disclosure for disclosure in Disclosure if disclosure.in_workshop)
WORKSHOP_POLICY = Policy(
    operations=(ANY,),
    grants=(Grant(table=ANY, columns={ANY: _WORKSHOP}, min_count=10, max_epsilon=1.0),),
    min_parties=2,
)
Rules: TypeAlias = Policy | Grant | Sequence[Grant]
WORKSHOP_BUDGET = Budget(epsilon=3.0, delta=1e-6, exact=200)


def _policy(rules: Rules) -> Policy:
    """A policy, or the workshop's and these grants."""
    if isinstance(rules, Policy):
        return rules
    return msgspec.structs.replace(WORKSHOP_POLICY, grants=(*WORKSHOP_POLICY.grants, *_grants(rules)))


def _grants(rules: Grant | Sequence[Grant]) -> tuple[Grant, ...]:
    grants = (rules,) if isinstance(rules, Grant) else tuple(rules)
    for each in grants:
        if not isinstance(each, Grant):
            raise InvalidArgument(
                f"policy holds a {type(each).__name__}",
                hint="give a ps.Policy(...), or ps.Grant(...) to add to the workshop policy",
            )
    return grants


def _workshop_card(
    parties: list[str], added: Mapping[str, str], budget: Budget | Mapping[str, Budget] | None, store: str
) -> Card:
    """The workshop policy as it is printed when a federation is embedded; `added` are further grants, by party."""
    (grant,), contributors = WORKSHOP_POLICY.grants, f"at least {WORKSHOP_POLICY.min_parties} contributors"
    cap = budget or WORKSHOP_BUDGET
    amount = "as given for each party"
    if isinstance(cap, Budget):
        amount = f"epsilon {cap.epsilon:g} at delta {cap.delta:g} and {cap.exact} exact disclosures for each dataset"
    facts = [
        ("of", ", ".join(parties)),
        ("any column", ", ".join(_WORKSHOP)),
        ("", f"exact aggregates over at least {grant.min_count} rows, keys or values"),
        ("", f"DP releases up to epsilon {grant.max_epsilon:g}"),
        ("joint results", f"{contributors}, not counting one who sees the result"),
        ("never", "rows, single values, minima, maxima; but a model's weights to the party whose rows they score"),
        *((f"also, at {name}", grants) for name, grants in added.items()),
        ("budget", amount),
        ("ledgers", store),
    ]
    return Card(title="workshop policy (give policy= and budget= for your own)", facts=facts)


@verb
def embedded(
    parties: Mapping[str, Any] | None = None,
    /,
    *,
    table: str = "table",
    store: str | Path | None = ".privsdk",
    policy: Rules | Mapping[str, Rules] | None = None,
    budget: Budget | Mapping[str, Budget] | None = None,
    caller: str = "analyst",
    purpose: str = "workshop",
    keep_joins_days: float = 0.0,
    titles: Mapping[str, str] | None = None,
    quiet: bool = False,
    **more: Any,
) -> Federation:
    """Open a federation whose parties live in this process, for learning and prototyping.

    Parameters
    ----------
    parties, **more : mapping of party to tables
        For each party a table, or a mapping of table names to tables; an empty mapping makes a party that only helps,
        such as by holding keys. Give the mapping where a party's name is no Python identifier or one of the options
        below. A table is an Arrow table or dataset, a pandas or polars frame, a DuckDB relation, a mapping of column to
        list, the path of one Parquet or CSV file, or made by `ps.csv`, `ps.files`, `ps.duckdb`, `ps.postgres` or
        `ps.view`.
    table : str
        Name of tables that are given without one.
    store : path or None
        Folder of the parties' ledgers and signing keys, and of the audit heads that the caller saw. Budgets last:
        opening it again continues them. None keeps them in memory.
    policy : Policy, Grant, or list of Grant; or by party; optional
        Default: a workshop policy, which is printed. Grants alone are added to that one, so that what a refusal
        suggests can be pasted here.
    budget : Budget, or by party; optional
        Holds for each dataset. Default: a workshop's, which is printed.
    caller, purpose : str
        In whose name, and for which purpose, requests are made.
    keep_joins_days : float
        For so many days joint tables are kept in the store, encrypted, so that `psi.load` takes them up after a
        restart. Opening the store without it deletes them.
    titles : mapping of party to text, optional
        What parties call themselves, in any script, such as {"north": "北京银行"}; shown beside their names.
    quiet : bool
        Print nothing.

    Notes
    -----
    Embedded parties share your process: here the gate guards against mistakes, not against a hostile user, and
    receipts prove nothing against the laptop's owner.
    """
    _check_types(parties, policy, budget)
    if twice := set(parties or {}) & set(more):
        raise InvalidArgument(f"{', '.join(sorted(twice))} is given twice", hint="give each party once")
    given = {**(parties or {}), **more}
    if not given:
        raise InvalidArgument("a federation needs parties", hint="ps.embedded(north=table, south=table)")
    reject_names(tuple(given))
    titles = titles or {}
    reject_titles(titles.values())
    for option in (policy, budget, titles):
        for name in option if isinstance(option, Mapping) else ():
            if name not in given:  # a mistyped one would leave its party with the workshop's leniency
                raise UnknownName.among("party", name, given, where="to give a policy, budget or title")
    folder, joins = None if store is None else Path(store), Joins(keep_days=keep_joins_days)
    if keep_joins_days and folder is None:
        raise InvalidArgument(WrongType(name="store", given="None", wanted="a folder, where joint tables are kept"))
    lenient: Rules = WORKSHOP_POLICY
    rules = {name: _for(policy, name, lenient) for name in given}
    network = LocalNetwork(caller)
    members = Members(tuple(given))
    stores = {name: Store(name, _by_name(tables, table)) for name, tables in given.items()}
    for name in given:  # what is given for all parties may name what only one of them has
        of = [name] if isinstance(policy, Mapping) else list(given)
        held: dict[str, set[str]] = {}
        for store_of in map(stores.__getitem__, of):
            for each in store_of.names():
                held.setdefault(each, set()).update(store_of.schema(each).names)
        check_policy(_policy(rules[name]), held, where="in the policy")
    with ExitStack() as opened:  # what was opened is closed again if a later party cannot be
        for name, tables_of in stores.items():
            books = Books(
                name,
                None if folder is None else folder / f"{name}.sqlite",
                budgets={ANY: _for(budget, name, WORKSHOP_BUDGET)},
                datasets={table: table for table in tables_of.names()},
            )
            gate = Gate(
                name,
                store=tables_of,
                policy=_policy(rules[name]),
                books=books,
                dial=partial(network.dial, name),
                joins=joins,
                identity=members.of(name),
                members=given.keys,
                title=titles.get(name, ""),
            )
            opened.callback(gate.close)
            network.add(name, gate)
        pinned_heads = PinnedHeads() if folder is None else PinnedHeads.of(caller, folder)
        close = opened.pop_all().close
    if not quiet:
        place = "in memory only: budgets are forgotten at the end"
        if folder is not None:
            place = f"{folder.resolve()}; opening them again continues their budgets"
        added = {name: rule for name, rule in rules.items() if not isinstance(rule, Policy)}
        shown = [name for name in given if name in added or rules[name] is WORKSHOP_POLICY]
        more = {name: ", ".join(map(str, _grants(rule))) for name, rule in added.items()}
        print(to_text(_workshop_card(shown, more, budget, place)) if shown else f"ledgers: {place}")

    return Federation(network, caller=caller, purpose=purpose, close=close, pinned_heads=pinned_heads)


@verb
def connect(path: str | Path) -> Federation:
    """Open a federation of parties on their own machines, from a federation.toml.

    The last audit head seen of each party is kept beside that file, in `federation.NAME.heads.json`: a party whose
    ledger was put back from an older copy is found by it. Keep that file.

    The file names every party's address, and the certificate in whose name you ask::

        [parties]
        north = "grpc+tls://north.example.org:4711"

        [analyst]
        purpose = "research"
        authority = "ca.pem"
        certificate = "analyst.pem"
        key = "analyst.key"
        timeouts = { call_s = 30, stragglers_s = 5 }   # may be left out

    Raises
    ------
    InvalidArgument
        The file or a certificate cannot be read.
    """
    from ..transport.flight import FlightNetwork

    file = Path(path)
    config = read_config(file, FederationConfig)
    if config.analyst is None:
        raise InvalidArgument(f"{file} has no [analyst]", hint="name your purpose and certificate files there")
    folder, analyst = file.parent, config.analyst
    identity = Credentials.read(
        authority=folder / analyst.authority, certificate=folder / analyst.certificate, key=folder / analyst.key
    )
    identity.check()
    timeouts = analyst.timeouts
    network = FlightNetwork(
        identity,
        lambda: config.parties,
        call_s=timeouts.call_s,
        timeouts=Timeouts(keepalive_s=timeouts.keepalive_s),
    )
    caller = identity.name()
    return Federation(
        network,
        caller=caller,
        purpose=analyst.purpose,
        close=lambda: None,
        pinned_heads=PinnedHeads.of(caller, folder, f"{file.stem}."),
        timeouts=timeouts,
    )


def _by_name(given: Any, table: str) -> Mapping[str, Any]:
    """A party's tables. Of a mapping, lists are columns: no table is a list."""
    columns = list | np.ndarray | pa.Array | pa.ChunkedArray
    if isinstance(given, Mapping) and not any(isinstance(each, columns) for each in given.values()):
        return given
    return {table: given}


def _check_types(parties: object, policy: object, budget: object) -> None:
    """Raise UnsupportedUse where one is of another type than `embedded` takes."""
    rules, caps = (list(x.values()) if isinstance(x, Mapping) else [x] for x in (policy, budget))
    for name, given, types, wanted in (
        ("parties", [parties], Mapping | None, 'a mapping of party to tables, such as {"north": table}'),
        ("policy", rules, Policy | Grant | list | tuple | None, "ps.Policy(...), ps.Grant(...) or a list of these"),
        ("budget", caps, Budget | None, "ps.Budget(epsilon=3, exact=200), or one by party"),
    ):
        for each in given:
            if not isinstance(each, types):
                raise UnsupportedUse(WrongType(name=name, given=type(each).__name__, wanted=wanted))


def _for(given: T | Mapping[str, T] | None, party: str, default: T) -> T:
    if isinstance(given, Mapping):
        return given.get(party, default)
    return default if given is None else given

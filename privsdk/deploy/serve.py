"""Running one party as a server: party.toml in, a Flight server with its gate out."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from ..display.readable import LogFormatter
from ..errors import IdentityRefused
from ..party.budget.books import Books
from ..party.gate import Gate
from ..party.tables import Store
from ..protocol.deadlines import DEADLINES
from ..psi.oprf.ristretto import libsodium
from ..transport.flight import FlightNetwork
from ..transport.identities import Credentials, MemberIdentity
from ..transport.server import Server
from .config import FederationConfig, PartyConfig, read_config, reject_names, reject_titles
from .rules import check_budgets, check_policy

STOP_S = 5.0


def serve(path: Path) -> None:
    """Serve the party of this party.toml until SIGINT or SIGTERM; prints its address when it is ready."""
    log = logging.StreamHandler()
    log.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[log], level=logging.INFO)
    config = read_config(path, PartyConfig)
    folder = path.parent
    reject_names((config.name,))
    reject_titles(filter(None, (config.title,)))
    identity = Credentials.read(
        authority=folder / config.tls.authority,
        certificate=folder / config.tls.certificate,
        key=folder / config.tls.key,
    )
    if identity.name() != config.name:
        raise IdentityRefused(
            f"{config.tls.certificate} names {identity.name()}, and {path} is of {config.name}",
            hint="use the certificate of that party",
        )
    identity.check()

    def members() -> Mapping[str, str]:
        """The parties that the owner works with, and where they are; read anew each time."""
        return read_config(folder / config.federation, FederationConfig).parties

    datasets = {name: table.dataset or name for name, table in config.tables.items()}
    check_budgets(config.budgets, datasets.values(), where=f"in {path}")
    peers = FlightNetwork(identity, members, timeouts=config.timeouts)

    books = Books(
        config.name,
        folder / config.ledger,
        budgets=config.budgets,
        datasets=datasets,
    )
    places = {name: table.place(folder, f"{config.name}/{name}") for name, table in config.tables.items()}
    store = Store(config.name, places, {name: table.ranges for name, table in config.tables.items()})
    check_policy(config.policy, {name: store.schema(name).names for name in store.names()}, where=f"in {path}")
    _load_libraries()
    gate = Gate(
        config.name,
        store=store,
        policy=config.policy,
        books=books,
        dial=peers.dial,
        identity=MemberIdentity(identity),
        members=members,
        title=config.title,
        limits=config.limits,
        joins=config.joins,
        timeouts=config.timeouts,
    )
    server = Server(gate, config.name, config.listen, identity, limits=config.limits, timeouts=config.timeouts)
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: stop.set())
    print(f"{config.name} listens on {config.listen.rpartition(':')[0]}:{server.port}", flush=True)
    while not stop.wait(0.5):
        pass
    logging.getLogger(__name__).info("%s stops", config.name)
    DEADLINES.add(STOP_S, lambda: os._exit(0))  # whatever peers do; a charge stands from before a run is started
    gate.close()
    server.shutdown()


def _load_libraries() -> None:
    """Import what takes a second to import before serving, so that no run waits for it: an import cannot be stopped."""
    import dp_accounting.pld  # noqa: F401
    import duckdb  # noqa: F401
    import opendp.prelude  # noqa: F401
    import tenseal  # noqa: F401

    libsodium()

"""A party killed, frozen or cut off at any turn of an operation: it ends at everyone, is named, and nothing is left.

Real processes over TLS on loopback; what a network does to a connection a relay does (`proxy`), as a network namespace
would need root. Every message of every operation goes wrong in `conformance/test_every_turn.py`, in one process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from claims import Cases, Counts, lengthy
from cluster import Cluster
from proxy import Proxy
from waiting import HANGS_S, until

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.errors import ReadTimeout
from privsdk.party.budget.books import Books
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol import control
from privsdk.protocol.failpoints import FailPoint
from privsdk.protocol.timeouts import CallerTimeouts, Timeouts
from privsdk.transport.flight import FlightNetwork
from privsdk.transport.identities import Credentials

CLAIM = pytest.mark.claim("faults: a party killed, frozen or cut off ends a run at everyone, is named, leaves nothing")
VICTIM = "shop1"
BUDGET = ps.Budget(epsilon=100, delta=1e-6, exact=100_000)
WIRE = ("stall", "truncate", "double", "swap", "alter")


def table(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    keys = [f"k{n}" for n in range(seed * 10, seed * 10 + 300)]
    return pa.table({"key": keys, "x": rng.normal(size=300), "y": rng.random(300) < 0.5})


def fit(fed: ps.Federation, **how: Any) -> ps.Plan[Any]:
    return fl.fit(fl.Logistic(features={"x": (-4, 4)}), fed.tables("t"), label="y", rounds=3, fewest=3, **how)


OPERATIONS: dict[str, Callable[[ps.Federation], Any]] = {
    "psi.join": lambda fed: psi.join(fed["shop0"]["t"], fed[VICTIM]["t"], on="key"),
    "he.sum": lambda fed: he.sum(fed.tables("t"), "x"),
    "fl.fit": fit,
}
if os.environ.get("PRIVSDK_SOAK") == "1":
    OPERATIONS |= {
        "psi.join of three": lambda fed: psi.join(*fed.tables("t"), on="key"),
        "psi.cardinality": lambda fed: psi.cardinality(fed["shop0"]["t"], fed[VICTIM]["t"], on="key"),
        "he.histogram, masked": lambda fed: he.histogram(fed.tables("t"), "x", edges=[-4, 0, 4], aggregation="masked"),
        "he.covariance": lambda fed: he.covariance(fed.tables("t"), ["x", "y"]),
        "dp.sum": lambda fed: dp.sum(fed.tables("t"), "x", bounds=(-4, 4), epsilon=0.01),
        "fl.fit, encrypted": lambda fed: fit(fed, aggregation="encrypted", coordinator="notary"),
        "fl.fit, all to all": lambda fed: fit(fed, aggregation="all-to-all"),
    }


class Faulty:
    """Three owners and a key holder; everyone's way to the victim leads over a proxy."""

    def __init__(self, folder: Path) -> None:
        tables: dict[str, dict[str, pa.Table]] = {f"shop{n}": {"t": table(n)} for n in range(3)} | {"notary": {}}
        self.cluster = Cluster(
            folder,
            tables,
            budget=BUDGET,
            timeouts=CallerTimeouts(call_s=3, stragglers_s=2, keepalive_s=3),
            party_timeouts=Timeouts(connect_s=6, read_s=8, prepared_s=4, keepalive_s=3, linger_s=2),
        )
        self.cluster.__enter__()
        self._route()

    def _route(self) -> None:
        self.proxy = Proxy(self.cluster.addresses[VICTIM])
        self.cluster.addresses[VICTIM] = self.proxy.address
        self.cluster._write_federation()

    def restart(self, **environment: str) -> None:
        self.proxy.close()
        self.cluster.stop(VICTIM)
        self.cluster.start(VICTIM, **environment)
        self.cluster.await_address(VICTIM)
        self._route()

    def freeze(self) -> None:
        self.cluster._processes[VICTIM].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.cluster._processes[VICTIM].send_signal(signal.SIGCONT)

    def threads(self) -> dict[str, int]:
        return {name: psutil.Process(p._process.pid).num_threads() for name, p in self.cluster._processes.items()}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    made = Faulty(tmp_path_factory.mktemp("faulty"))
    yield made
    made.thaw()
    made.proxy.close()
    made.cluster.__exit__(None, None, None)


def ask(faulty: Faulty, operation: str) -> BaseException | None:
    """How the operation ended; that it does is half of the claim."""
    with ps.connect(faulty.cluster.federation) as fed:
        try:
            OPERATIONS[operation](fed).release(timeout_s=HANGS_S)
        except ps.PrivsdkError as error:
            return error
    return None


def nothing_is_left(faulty: Faulty, threads: dict[str, int]) -> None:
    def idle() -> bool:
        with ps.connect(faulty.cluster.federation) as fed:
            try:
                described = fed._describe()
                balances = [b for each in fed.budgets().values() for b in each]
            except ps.PrivsdkError:  # a connection that was harmed is made anew
                return False
        return all(d.running == 0 for d in described.values()) and all(b.reserved == 0 for b in balances)

    until(idle, "a run is still under way")
    until(lambda: all(now <= threads[name] + 8 for name, now in faulty.threads().items()), "threads are left")
    for name in ("shop0", "shop2", VICTIM):
        assert verify_ledger(faulty.cluster.folder / f"{name}.sqlite").first_bad == -1


def turns(faulty: Faulty, operation: str, number: int) -> list[int]:
    """Some chunks of an undisturbed run, evenly spread."""
    faulty.proxy.heal()
    assert ask(faulty, operation) is None
    passed = faulty.proxy.passed
    return sorted({max(1, passed * (n + 1) // (number + 1)) for n in range(number)})


def strike(faulty: Faulty, operation: str, turn: int, fault: str | Callable[[], None], cases: Cases) -> None:
    threads = faulty.threads()
    faulty.proxy.break_at(turn, fault)
    error = ask(faulty, operation)
    struck = faulty.proxy.struck
    if fault == faulty.freeze:
        faulty.thaw()
    elif struck and not isinstance(fault, str):
        until(lambda: faulty.cluster.ended(VICTIM) is not None)
    faulty.proxy.heal()
    if faulty.cluster.ended(VICTIM) is not None:
        faulty.restart()
        threads = threads | {VICTIM: faulty.threads()[VICTIM] + 30}
    if error is not None:
        assert struck, error
        assert VICTIM in str(error), error
    nothing_is_left(faulty, threads)
    cases(struck)


QUICK = {("psi.join", "stall"), ("he.sum", "alter"), ("he.sum", "killed"), ("he.sum", "frozen")}


def each(*faults: str) -> list[Any]:
    """Every operation with every fault, but for a few by `make claims` alone."""
    return [
        case
        for pair in product(OPERATIONS, faults)
        for case in ([pytest.param(*pair)] if pair in QUICK else lengthy(pair))
    ]


@CLAIM
@pytest.mark.parametrize(("operation", "fault"), each(*WIRE))
def test_cut_off(faulty: Faulty, operation: str, fault: str, cases: Cases, counts: Counts) -> None:
    for turn in turns(faulty, operation, counts(1, 3, 40)):
        strike(faulty, operation, turn, fault, cases)


@CLAIM
@pytest.mark.parametrize(("operation", "how"), each("killed", "frozen"))
def test_killed_or_frozen(faulty: Faulty, operation: str, how: str, cases: Cases, counts: Counts) -> None:
    for turn in turns(faulty, operation, counts(1, 3, 20)):
        act = faulty.freeze if how == "frozen" else faulty.cluster._processes[VICTIM].kill
        strike(faulty, operation, turn, act, cases)


@pytest.mark.claim("faults: a frozen party is lost to its caller within its keepalive")
def test_keepalive(faulty: Faulty, cases: Cases) -> None:
    folder, addresses = faulty.cluster.folder, faulty.cluster.addresses
    identity = Credentials.read(
        authority=folder / "ca.pem", certificate=folder / "analyst.pem", key=folder / "analyst.key"
    )
    network = FlightNetwork(identity, lambda: addresses, call_s=30, timeouts=Timeouts(keepalive_s=2))
    describe = control.Describe(purpose="workshop")
    network.call(VICTIM, describe, control.Description)  # which gRPC measures the connection by
    faulty.freeze()
    try:
        with pytest.raises(ReadTimeout, match=f"{VICTIM}: it did not answer in time"):  # not within the call's 30 s
            network.call(VICTIM, describe, control.Description)
    finally:
        faulty.thaw()
        network.close()
    cases()


def test_a_killed_process_leaves_no_run_under_way(faulty: Faulty) -> None:
    """Its run is charged for ever, and no longer shown as under way; before, one stayed after each kill."""
    path = faulty.cluster.folder / f"{VICTIM}.sqlite"
    faulty.restart(PRIVSDK_FAILPOINT=FailPoint.START_AFTER)
    assert VICTIM in str(ask(faulty, "he.sum"))
    until(lambda: faulty.cluster.ended(VICTIM) is not None)
    books = Books(VICTIM, path, budgets={"*": BUDGET}, datasets={"t": "t"})
    ledger = books._ledger
    (cut_off,) = ledger._database.read("SELECT count(*) FROM run WHERE state = 'started'")
    assert cut_off[0] >= 1
    assert (ledger.reserved("t"), ledger.held("t")) == (0, {})
    books.close()
    faulty.restart()
    nothing_is_left(faulty, dict.fromkeys(faulty.threads(), 100))

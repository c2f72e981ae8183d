"""Stopping: an interrupt, or the death of the notebook or of a party, ends a run everywhere."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import interrupted_child
import pyarrow as pa
import pytest
from claims import Cases, lengthy
from cluster import Cluster
from forked import Forked
from waiting import HANGS_S, until

import privsdk as ps
from privsdk import fl, psi
from privsdk.protocol.operation import operation_named, operation_names


@contextmanager
def child(cluster: Cluster, operation: str) -> Iterator[Forked]:
    log = cluster.folder / "notebook.log"
    process = Forked(interrupted_child.main, str(cluster.federation), operation, log=log)
    try:
        assert process.readline().strip() == "ready", log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def running(fed: ps.Federation) -> int:
    return sum(d.running for d in fed._describe().values())


ALIKE = ("he.mean", "he.count", "he.variance", "he.covariance", "dp.sum", "dp.mean", "dp.variance", "dp.histogram")
UNLIKE = [name for name in operation_names() if name not in ALIKE]


@pytest.mark.claim("SIGINT during each operation over Flight ends it at all parties; seconds it took")
@pytest.mark.parametrize("operation", [*UNLIKE, *lengthy(*ALIKE)])
def test_interrupt_ends_the_run_everywhere(cluster: Cluster, operation: str, cases: Cases) -> None:
    with child(cluster, operation) as process, ps.connect(cluster.federation) as fed:
        until(lambda: running(fed) > 0)
        process.send_signal(signal.SIGINT)
        took = until(lambda: running(fed) == 0 and process.poll() is not None)
        goes_in_rounds = operation_named(operation).stops
        said = "interrupted stopped by its caller after round " if goes_in_rounds else "interrupted"
        assert process.readline().strip().rstrip("0123456789") == said
        time.sleep(0.2)
        assert running(fed) == 0
    cases()
    cases.say(f"{operation} {took:.2f} s")


def test_death_of_the_notebook_ends_the_run(cluster: Cluster) -> None:
    with child(cluster, "fl.fit") as process, ps.connect(cluster.federation) as fed:
        until(lambda: running(fed) == 4)
        process.kill()
        until(lambda: running(fed) == 0)
        assert all(report.first_bad < 0 for report in fed.verify_audit().values())


def test_death_of_a_party_is_named(tmp_path: Path, small_tables: dict[str, dict[str, pa.Table]]) -> None:
    with Cluster(tmp_path, small_tables, budget=ps.Budget(exact=10_000)) as cluster:
        with ps.connect(cluster.federation) as fed:
            model = fl.Logistic(features={"x": (-3, 3)})
            run = fl.fit(model, fed.tables("sales"), label="y", rounds=5000, fewest=3).start()
            until(lambda: running(fed) == 4 and len(run.progress.curve) > 1)
            cluster.kill("shop1")
            with pytest.raises(ps.errors.PeerError, match="shop1"):
                run.result(timeout_s=HANGS_S)
            with pytest.raises(ps.errors.PeerGone, match="shop1: it cannot be reached"):
                fed["shop1"]
            cluster.start("shop1")
            cluster.await_address("shop1")
        with ps.connect(cluster.federation) as fed:
            assert 1 <= fed.budgets()["shop1"][0].exact_spent < 200  # its evaluation, and the rounds that it paid
            assert psi.join(fed["shop0"]["sales"], fed["shop1"]["sales"], on="key").release().value.size > 0


def test_cancelling_from_another_thread(cluster: Cluster) -> None:
    with ps.connect(cluster.federation) as fed:
        run = fl.fit(fl.Logistic(features={"x": (-3, 3)}), fed.tables("sales"), label="y", rounds=5000).start()

        def cancel() -> None:
            until(lambda: len(run.progress.curve) > 1)
            run.cancel()

        threading.Thread(target=cancel).start()
        with pytest.raises(ps.errors.Cancelled):
            run.result(timeout_s=HANGS_S)
        until(lambda: running(fed) == 0)

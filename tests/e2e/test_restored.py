"""A served party whose ledger file was put back from an older copy, over Flight."""

from __future__ import annotations

import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow as pa
import pytest
from claims import Cases
from cluster import ANALYST, Cluster
from forked import run_command

import privsdk as ps
from privsdk import dp, he
from privsdk.errors import LedgerBehind, LedgerChanged
from privsdk.party.ledger.verification import verify_ledger

CLAIM = pytest.mark.claim("restored: an older ledger file is found by the next request, refused until acknowledged")
BUDGET = ps.Budget(epsilon=1000, delta=1e-6, exact=10_000)


def ask(cluster: Cluster, caller: str = ANALYST, times: int = 1) -> None:
    """Noisy counts of shop0, by a notebook that is opened for them."""
    with ps.connect(cluster.federation_as(caller)) as fed:
        for _ in range(times):
            dp.count(fed["shop0"]["sales"], epsilon=0.01).release()


def exchange(cluster: Cluster, source: Path) -> None:
    cluster.stop("shop0")
    shutil.copy(source, cluster.folder / "shop0.sqlite")
    cluster.start("shop0")
    cluster.await_address("shop0")


def backup(cluster: Cluster, name: str) -> Path:
    cluster.stop("shop0")
    copy = Path(shutil.copy(cluster.folder / "shop0.sqlite", cluster.folder / name))
    cluster.start("shop0")
    cluster.await_address("shop0")
    return copy


def audit(cluster: Cluster, *arguments: str) -> CompletedProcess[str]:
    command, *rest = arguments
    ledger = str(cluster.folder / "shop0.sqlite")
    return run_command("audit", command, ledger, *rest, folder=cluster.folder)


@CLAIM
def test_found_refused_acknowledged_and_found_again(
    tmp_path: Path, small_tables: dict[str, dict[str, pa.Table]], cases: Cases
) -> None:
    with Cluster(tmp_path, small_tables, budget=BUDGET) as cluster:
        ask(cluster)
        old = backup(cluster, "old")
        ask(cluster, times=2)
        ask(cluster, "shop1")  # another caller, who sees the newest head
        exchange(cluster, old)
        ask(cluster, "shop2")  # who saw nothing of it, and lets the older file go on
        for caller in ("shop1", "shop2", ANALYST):  # from here on nobody is answered
            with pytest.raises(LedgerBehind, match="shop0's ledger has"):
                ask(cluster, caller)
            cases()
        with ps.connect(cluster.federation) as fed:  # a joint operation ends at all parties, and charges none
            before = fed.budgets()["shop1"]
            with pytest.raises(LedgerBehind, match="shop0"):
                he.sum(fed.tables("sales"), "x").release()
            assert fed.budgets()["shop1"] == before
        assert audit(cluster, "acknowledge", "--reason", "backup of Sunday").returncode == 0
        for caller in ("shop2", ANALYST, "shop1"):
            ask(cluster, caller)
            cases()
        new = backup(cluster, "new")
        ask(cluster)
        exchange(cluster, new)
        with pytest.raises(LedgerBehind):
            ask(cluster)
        cases()
        assert audit(cluster, "verify").returncode == 0
        assert verify_ledger(tmp_path / "shop0.sqlite").first_bad == -1
        assert (tmp_path / f"federation-{ANALYST}.{ANALYST}.heads.json").exists()


def test_a_ledger_made_anew_with_its_key(tmp_path: Path, small_tables: dict[str, dict[str, pa.Table]]) -> None:
    with Cluster(tmp_path, {"shop0": small_tables["shop0"]}, budget=BUDGET) as cluster:
        ask(cluster)
        cluster.stop("shop0")
        for file in ("shop0.sqlite", "shop0.ed25519"):
            (tmp_path / file).unlink()
        cluster.start("shop0")
        cluster.await_address("shop0")
        with ps.connect(cluster.federation_as(ANALYST)) as fed:
            assert "shop0" in repr(fed)
            for look in (lambda: fed["shop0"], lambda: fed.tables("sales"), fed.budgets):
                with pytest.raises(LedgerChanged, match="shop0 signs with another key than before") as error:
                    look()
                assert "fed.forget_head('shop0')" in error.value.hint
            fed.forget_head("shop0")
            dp.count(fed["shop0"]["sales"], epsilon=0.01).release()

"""A joint table at served parties that are stopped or killed and started again, taken up by a new notebook."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from claims import Cases
from cluster import Cluster
from forked import run_command

import privsdk as ps
from privsdk import psi
from privsdk.errors import InvalidArgument, StaleJoin
from privsdk.protocol.timeouts import Joins

CLAIM = pytest.mark.claim(
    "joint tables on disk: after a restart their caller's alone, for the owner's days, of the same rows, until revoked"
)


def spent(fed: ps.Federation) -> int:
    return sum(balances[0].exact_spent for balances in fed.budgets().values())


@CLAIM
def test_restarted_parties(tmp_path: Path, small_tables: dict[str, dict[str, pa.Table]], cases: Cases) -> None:
    path, served = tmp_path / "joint.json", {shop: small_tables[shop] for shop in ("shop0", "shop1")}
    with Cluster(tmp_path, served, joins=Joins(keep_days=7), budget=ps.Budget(exact=100)) as cluster:
        with ps.connect(cluster.federation) as fed:
            joint = psi.join(fed["shop0"]["sales"], fed["shop1"]["sales"], on="key").release().value
            joint.save(path)
            first = joint["shop0"].mean("x").release().value
            charged = spent(fed)
        cluster.stop("shop0")
        cluster.kill("shop1")
        for shop in served:
            cluster.start(shop)
            cluster.await_address(shop)
        with ps.connect(cluster.federation) as fed:
            again = psi.load(path, fed)
            assert again["shop0"].mean("x").release().value.equals(first)  # as it was answered: nothing is charged
            assert spent(fed) == charged
            assert again["shop1"].mean("x").release().value.num_rows == 1
            assert spent(fed) == charged + 1
        with ps.connect(cluster.federation_as("shop1")) as fed:  # another member with the file
            with pytest.raises(InvalidArgument, match="is of analyst for workshop"):
                psi.load(path, fed)
            path.write_bytes(path.read_bytes().replace(b'"analyst"', b'"shop1"'))
            with pytest.raises(StaleJoin, match="belongs to another caller, purpose or table"):
                psi.load(path, fed)["shop0"].mean("x").release()
            path.write_bytes(path.read_bytes().replace(b'"caller": "shop1"', b'"caller": "analyst"'))
        revoke = ("joins", "revoke", str(tmp_path / "shop1.sqlite"), "all", "--reason", "the study ended")
        assert run_command(*revoke, folder=tmp_path).returncode == 0
        pq.write_table(small_tables["shop0"]["sales"].slice(1), tmp_path / "shop0.sales.parquet")
        with ps.connect(cluster.federation) as fed:
            again = psi.load(path, fed)
            with pytest.raises(StaleJoin, match="shop1's owner has revoked this joint table: the study ended"):
                again["shop1"].count().release()
            with pytest.raises(StaleJoin, match="shop0/sales has changed since the join"):
                again["shop0"].count().release()
    cases()

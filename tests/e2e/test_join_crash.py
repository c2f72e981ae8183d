"""A party's server killed in the middle of a join over the network: the others name it, stop, and have it in the
ledger."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from cluster import Cluster
from waiting import until

import privsdk as ps
from privsdk import psi
from privsdk.errors import PeerError, PeerGone
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol import control
from privsdk.protocol.failpoints import FailPoint

SHOPS = ("shop0", "shop1", "shop2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    rng = np.random.default_rng(3)
    tables = {shop: {"sales": pa.table({"key": rng.permutation(6_000)[:3_000]})} for shop in SHOPS}
    with Cluster(tmp_path_factory.mktemp("parties"), tables) as running:
        yield running


# which message of shop1 is not sent: its Terms and Opening go to each other party, then
DIES: dict[str, tuple[tuple[str, ...], str, int, str]] = {
    "kkrt, before its choices": (SHOPS[1::-1], "kkrt", 3, "base transfers"),
    "three parties, before its store": (SHOPS, "auto", 7, "intersecting"),
}


@pytest.mark.claim("a party killed in the middle of a join is named, the run ends at all others and is charged there")
@pytest.mark.parametrize("case", DIES)
def test_death_in_the_middle_of_a_join(cluster: Cluster, case: str, cases: Cases) -> None:
    parties, protocol, message, phase = DIES[case]
    cluster.stop("shop1")
    cluster.start("shop1", PRIVSDK_FAILPOINT=f"{FailPoint.SEND_BEFORE}:{message}")
    cluster.await_address("shop1")
    with ps.connect(cluster.federation) as fed:
        before = {party: balances[0].exact_spent for party, balances in fed.budgets().items()}
        plan: Any = psi.join(*(fed[party]["sales"] for party in parties), on="key", protocol=protocol)
        with pytest.raises(PeerError, match="shop1") as error:
            plan.release(timeout_s=120)
        assert cluster.await_end("shop1") is not None
        survivors = [party for party in parties if party != "shop1"]
        for party in survivors:
            described = fed._link.call(party, control.Describe(purpose=fed.purpose), control.Description)
            assert described.balances[0].exact_spent == before[party] + 1
            ask = functools.partial(fed._link.call, party, control.Describe(purpose=fed.purpose), control.Description)
            until(lambda ask=ask: ask().running == 0)
            verdict = verify_ledger(cluster.folder / f"{party}.sqlite")
            assert verdict.first_bad == -1
    assert isinstance(error.value, PeerGone)
    # where the notebook's own call to shop1 broke first, the phase is that in which another lost it
    assert error.value.phase in (phase, "hashing keys", "")
    cluster.stop("shop1")
    cluster.start("shop1")
    cluster.await_address("shop1")
    with ps.connect(cluster.federation) as fed:  # after a restart it is spent there too
        assert fed.budgets()["shop1"][0].exact_spent == before["shop1"] + 1
        again = psi.join(*(fed[party]["sales"] for party in parties), on="key", protocol=protocol).release().value
        assert again.size is not None

    cases()

"""Who may talk to a party: only members of its federation, each only in its own name."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import Cluster
from pyarrow import flight

import privsdk as ps
from privsdk import he
from privsdk.client.tables import new_request
from privsdk.errors import IdentityRefused, PeerGone
from privsdk.protocol import control
from privsdk.transport.flight import FlightNetwork
from privsdk.transport.identities import Credentials, make_certificates

CLAIM = pytest.mark.claim("identity: no certificate, a foreign one, or one that names another party is refused")


def identity(folder: Path, name: str) -> Credentials:
    return Credentials.read(authority=folder / "ca.pem", certificate=folder / f"{name}.pem", key=folder / f"{name}.key")


@CLAIM
def test_without_certificate(cluster: Cluster) -> None:
    authority = (cluster.folder / "ca.pem").read_bytes()
    client = flight.FlightClient(cluster.addresses["notary"], tls_root_certs=authority, override_hostname="notary")
    with client, pytest.raises(flight.FlightUnavailableError):
        list(client.do_action(flight.Action("privsdk", control.encode_call(control.Describe()))))


@CLAIM
def test_foreign_certificate(cluster: Cluster, tmp_path: Path) -> None:
    make_certificates(tmp_path, ["analyst"])  # the right name, from another authority
    foreign = identity(tmp_path, "analyst")._replace(authority=(cluster.folder / "ca.pem").read_bytes())
    network = FlightNetwork(foreign, lambda: cluster.addresses)
    with pytest.raises(PeerGone, match="refused the connection"):
        network.call("notary", control.Describe(), control.Description)
    network.close()


@CLAIM
def test_certificate_of_another_member(cluster: Cluster) -> None:
    """shop1's certificate, and a request in the analyst's name."""
    network = FlightNetwork(identity(cluster.folder, "shop1"), lambda: cluster.addresses)
    with ps.connect(cluster.federation) as fed:
        request = he.sum(fed.tables("sales"), "x").request
        for call in (control.Prepare(request=request), control.Quote(requests=(request,))):
            with pytest.raises(IdentityRefused, match="shop1 sent a request in the name of analyst"):
                network.call("shop0", call, control.Prepared)
        assert fed.budgets()["shop0"][0].exact_spent == 0
    network.close()


@CLAIM
def test_another_callers_run_cannot_be_started_or_cancelled(cluster: Cluster) -> None:
    network = FlightNetwork(identity(cluster.folder, "shop1"), lambda: cluster.addresses)
    with ps.connect(cluster.federation) as fed:
        request = he.sum(fed.tables("sales"), "x").request
        prepared = fed._link.call("shop0", control.Prepare(request=request), control.Prepared)
        start = control.Start(run_id=request.run_id, nonces={"shop0": prepared.nonce}, heads={"shop0": prepared.head})
        with pytest.raises(ps.errors.UnknownName):
            network.call("shop0", start, control.Finished)
        network.call("shop0", control.Release(run_id=request.run_id), control.Done)
        assert fed.budgets()["shop0"][0].exact_spent == 1  # still reserved: only its caller gives it back
        fed._link.call("shop0", control.Release(run_id=request.run_id), control.Done)
        assert fed.budgets()["shop0"][0].exact_spent == 0
    network.close()


@CLAIM
def test_server_of_another_party(cluster: Cluster) -> None:
    """An address book that sends shop0's callers to shop1: the server is not who it should be."""
    network = FlightNetwork(identity(cluster.folder, "analyst"), lambda: {"shop0": cluster.addresses["shop1"]})
    with pytest.raises(PeerGone, match="another party's"):
        network.call("shop0", control.Describe(), control.Description)
    network.close()


@CLAIM
def test_a_stream_that_no_run_awaits(cluster: Cluster) -> None:
    """A member dials a party for a run that was never prepared there, and for one it is not part of."""
    network = FlightNetwork(identity(cluster.folder, "shop2"), lambda: cluster.addresses)
    with ps.connect(cluster.federation) as fed:
        request = new_request(
            fed,
            "dp.count",
            parties=("shop0",),
            operands={"shop0": fed["shop0"]["sales"].operand()},
            parameters={"statistic": "count", "epsilon": 1.0},
        )
        fed._link.call("shop0", control.Prepare(request=request), control.Prepared)
        for run_id in ("0000", request.run_id):
            with pytest.raises(PeerGone):
                listen(network, run_id)
    network.close()


def listen(network: FlightNetwork, run_id: str) -> None:
    """Open a stream to shop0 and wait for what it says; it may close it before it is quite open."""
    channel = network.dial("shop0", control.Hello(run_id=run_id, session=""))
    try:
        channel.receive(timeout_s=60)
    finally:
        channel.close()

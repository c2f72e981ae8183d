"""Partners: only members that the owner names take part, and none brings more keys than it may."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from claims import Cases
from cluster import Cluster
from hypothesis import given
from hypothesis import strategies as st

import privsdk as ps
from privsdk import psi
from privsdk.deploy.config import PartyConfig, read_config
from privsdk.errors import DataError, InvalidArgument, PolicyRefused, PrivsdkError
from privsdk.errors.refusals import NotGranted, NotPartners
from privsdk.governance.policy import Grant, KeyBounds
from privsdk.party.tables import Store
from privsdk.protocol import control
from privsdk.protocol.operation import Operand, Request, operation_names

PARTNERS = pytest.mark.claim("party: a request is refused that names a party which its owner does not")
FILES = pytest.mark.claim("tables: a file is served by its very name, and another in its place is noticed")
PHONES = np.arange(5000)


def phones(seed: int, number: int = 60) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({"phone": np.sort(rng.choice(PHONES, number, replace=False)), "debt": rng.integers(0, 99, number)})


def listed() -> pa.Table:
    """Every phone number that there is."""
    return pa.table({"phone": PHONES, "debt": np.zeros(len(PHONES), np.int64)})


@PARTNERS
def test_every_operation_is_refused_beside_a_stranger_before_anything_is_decided(cases: Cases) -> None:
    with ps.embedded({"north": phones(1), "south": phones(2), "mallory": listed()}, store=None, quiet=True) as fed:
        gate = fed._link._endpoints["north"]
        gate._members = lambda: ("north", "south")
        for operation in operation_names():
            for parties in (("north", "mallory"), ("mallory", "north"), ("north", "south", "mallory")):
                operands = {party: Operand(table="people", columns=("phone",)) for party in parties}
                request = Request(
                    run_id=f"{operation}{parties}",
                    operation=operation,
                    caller="mallory",
                    purpose="workshop",
                    parties=parties,
                    operands=operands,
                    parameters={},
                )
                for call in (control.Prepare(request=request), control.Quote(requests=(request,))):
                    with pytest.raises(PolicyRefused, match="north does not work with mallory") as refused:
                        gate.handle("mallory", call)
                    assert refused.value.detail == NotPartners(party="north", named=("mallory",))
                    cases()
        assert not gate._runs.running
        assert all(b.exact_spent == 0 for b in fed.budgets()["north"])


@PARTNERS
@pytest.mark.attack("a caller joins a table of all keys under its own certificate", "all 60 keys of 60", "none")
def test_a_callers_certificate_plays_no_party(tmp_path: Path, cases: Cases) -> None:
    """The caller serves a table of every phone number under its own certificate, and enters it in a federation file of
    its own. Its owner's does not name it."""
    tables = {name: {"people": phones(seed)} for seed, name in enumerate(("north", "south"))}
    with Cluster(tmp_path, {**tables, "mallory": {"people": listed()}}) as cluster:
        own = tmp_path / "north.federation.toml"
        own.write_bytes(
            msgspec.toml.encode({"parties": {n: a for n, a in cluster.addresses.items() if n != "mallory"}})
        )
        edited = (tmp_path / "north.toml").read_text().replace('"federation.toml"', f'"{own.name}"')
        (tmp_path / "north.toml").write_text(edited)
        assert read_config(tmp_path / "north.toml", PartyConfig).federation == own.name
        cluster.stop("north")
        cluster.start("north")
        cluster.await_address("north")
        with ps.connect(cluster.federation_as("mallory")) as fed:
            for order in (("mallory", "north"), ("north", "mallory")):
                with pytest.raises(PolicyRefused, match="not in its federation file"):
                    psi.join(*(fed[party]["people"] for party in order), on="phone").release()
                cases()
            joint = psi.join(fed["north"]["people"], fed["south"]["people"], on="phone").release()
            assert [b.exact_spent for b in fed.budgets()["north"]] == [1], "the refused ones cost nothing"
            assert joint.value.size is None or joint.value.size >= 0
        # named, it is a partner like any other
        shutil.copy(tmp_path / "federation.toml", own)
        with ps.connect(cluster.federation_as("mallory")) as fed:
            assert psi.join(fed["mallory"]["people"], fed["north"]["people"], on="phone").release().value.size == 60


def joined(policy: ps.Policy, north: pa.Table, south: pa.Table) -> psi.Joint:
    with ps.embedded({"north": north, "south": south}, policy={"north": policy}, store=None, quiet=True) as fed:
        return psi.join(fed["north"]["table"], fed["south"]["table"], on="phone").release().value


def allowing(**bounds: object) -> ps.Policy:
    return ps.Policy(operations=("*",), grants=(Grant(table="*", columns={"*": "join key"}, min_count=2, **bounds),))


def test_a_grant_holds_beside_the_partners_that_it_names() -> None:
    assert joined(allowing(partners="south"), phones(1), listed()).size == 60
    with pytest.raises(PolicyRefused, match="to analyst for workshop beside south") as refused:
        joined(allowing(partners=("east", "west")), phones(1), listed())
    detail = refused.value.detail
    assert isinstance(detail, NotGranted)
    assert detail.missing[0].partners == ("south",)
    assert "partners=('south',)" in detail.grants[0]
    assert 'partners = ["south"]' in detail.grants_toml[0]
    # what it prints, pasted, is enough
    pasted = eval(detail.grants[0], {"ps": ps})  # noqa: S307 - what the error prints
    assert joined(ps.Policy(operations=("*",), grants=(pasted,)), phones(1), listed()).size == 60


def test_partners_of_two_grants_are_not_partners_together() -> None:
    grants = tuple(Grant(table="*", columns={"*": "join key"}, partners=name) for name in ("south", "east"))
    tables = {"north": phones(1, 900), "south": phones(2, 900), "east": phones(3, 900)}
    policy = {"north": ps.Policy(operations=("*",), grants=grants)}
    with ps.embedded(tables, policy=policy, store=None, quiet=True) as fed:
        given = {name: fed[name]["table"] for name in tables}
        for other in ("south", "east"):
            psi.join(given["north"], given[other], on="phone").release()
        with pytest.raises(PolicyRefused, match="beside south, east"):
            psi.join(*given.values(), on="phone").release()


@pytest.mark.parametrize(
    ("bounds", "most"),
    [({"most_partner_keys": 59}, "59"), ({"most_keys_ratio": 0.98}, "58"), ({"most_keys_ratio": 83.0}, "4,980")],
)
@pytest.mark.claim("psi: a partner brings no more keys than each owner's grant allows")
@pytest.mark.attack("a partner enters all keys there are", "all 60 keys of 60", "none above the owner's bounds")
def test_a_partner_of_too_many_keys_is_refused_by_all_alike(bounds: dict[str, float], most: str) -> None:
    partner = listed() if "," in most else phones(2)
    with pytest.raises(DataError, match=f"north lets a partner bring {most}"):
        joined(allowing(**bounds), phones(1), partner)
    joined(allowing(most_partner_keys=5000, most_keys_ratio=84.0), phones(1), listed())


@pytest.mark.parametrize(
    "bounds", [{"most_partner_keys": 0}, {"most_keys_ratio": 0.0}, {"most_keys_ratio": float("nan")}]
)
def test_bounds_that_bound_nothing_sensible_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match="give numbers above 0"):
        allowing(**bounds)


@given(st.none() | st.integers(1, 100), st.none() | st.floats(0.01, 100), st.integers(0, 1000))
def test_key_bounds_are_the_closer_of_both(most: int | None, ratio: float | None, own: int) -> None:
    found = KeyBounds(most=most, ratio=ratio).of(own)
    bounds = [b for b in (most, None if ratio is None else ratio * own) if b is not None]
    if not bounds:
        assert found is None
    else:
        assert found is not None
        assert found <= min(bounds) < found + 1


def test_the_widest_of_several_grants_holds() -> None:
    grants = (*allowing(most_partner_keys=59).grants, *allowing(most_partner_keys=60).grants)
    assert joined(ps.Policy(operations=("*",), grants=grants), phones(1), phones(2)) is not None
    with pytest.raises(PrivsdkError, match="bring 60"):
        joined(ps.Policy(operations=("*",), grants=grants), phones(1), phones(2, 61))


@FILES
@pytest.mark.attack("a file beside one whose name is a pattern", "is served in its place", "is not")
def test_a_file_is_read_by_its_very_name(tmp_path: Path) -> None:
    """Names with the letters of a pattern, and folders that look like a partition."""

    folder = tmp_path / "dept=7"
    folder.mkdir()
    for name in ("sales[1].parquet", "r?.csv", "all*.csv", "{a,b}.csv", "plain.parquet", "a[!x]b.csv.gz"):
        table, path = pa.table({"x": [1, 2, 3]}), folder / name
        decoys = {"sales1.parquet", "rZ.csv", "all1.csv", "a.csv", "b.csv", "ayb.csv.gz"}
        for decoy in decoys:
            (folder / decoy).unlink(missing_ok=True)
            write(pa.table({"x": [777] * 5}), folder / decoy)
        write(table, path)
        store = Store("north", {"t": path})
        assert store.schema("t").names == ["x"]
        assert store.read("t", ("x",)).to_pydict() == {"x": [1, 2, 3]}


@FILES
@pytest.mark.attack("a file put in place of another with its size and time", "is taken for it", "is not")
def test_a_file_put_in_place_of_another_with_its_size_and_time_is_another(tmp_path: Path) -> None:

    path = tmp_path / "t.parquet"
    for replace in (False, True):
        write(pa.table({"x": [1] * 50}), path)
        store, before = Store("north", {"t": path}), path.stat()
        version, rows = store.version("t"), store.hashes("t", ("x",))[0]
        target = tmp_path / "other.parquet" if replace else path
        write(pa.table({"x": [2] * 50}), target)
        target.replace(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        assert store.version("t") != version
        assert store.hashes("t", ("x",))[0] != rows


def write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return
    text = "x\n" + "".join(f"{x}\n" for x in table["x"].to_pylist())
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())

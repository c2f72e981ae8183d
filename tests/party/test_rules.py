"""Names in an owner's rules that do not exist are refused when a party is opened, with the nearest that does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from people import people

import privsdk as ps
from privsdk.deploy.rules import check_budgets
from privsdk.errors import IdentityRefused, PolicyRefused, UnknownName
from privsdk.party.sources.connection import connected
from privsdk.transport.identities import Credentials, make_certificates


def opened(**options: Any) -> ps.Federation:
    parties = {"north": {"people": people()}, "south": {"other": people()}}
    return ps.embedded(parties, store=None, quiet=True, **options)


MISSPELT = {
    "operation": (ps.Policy(operations=("he.meen",)), "'he.meen'", "'he.mean'"),
    "column": (ps.Grant(table="people", columns={"idd": "join key"}), "'idd'", "'id'"),
    "table": (ps.Grant(table="poeple", columns={"id": "join key"}), "'poeple'", "'people'"),
    "column of any table": (ps.Grant(table="*", columns={"idd": "join key"}), "'idd'", "'id'"),
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_name_in_a_policy_is_refused_when_it_opens(name: str) -> None:
    policy, wrong, right = MISSPELT[name]
    with pytest.raises(UnknownName, match=wrong) as error:
        opened(policy=policy)
    assert f"did you mean {right}" in error.value.hint


def test_rules_may_name_what_one_of_the_parties_has() -> None:
    with opened(policy=[ps.Grant(table="other", columns={"id": "payload", "*": "aggregate", "rows": "aggregate"})]):
        pass
    with opened(policy={"north": ps.Grant(table="sales", columns={"turnover": "payload"})}):
        pass  # a table that others hold


def test_a_budget_of_no_dataset_is_refused() -> None:
    check_budgets(["*", "people"], ["people"], where="in party.toml")
    with pytest.raises(UnknownName, match="no dataset named 'peple'") as error:
        check_budgets(["peple"], ["people"], where="in party.toml")
    assert "did you mean 'people'" in error.value.hint


def test_a_refusal_names_the_purpose() -> None:
    grant = ps.Grant(table="people", columns={"*": ("HE operand", "aggregate")}, purpose=("research",), min_count=10)
    policy = ps.Policy(operations=("*",), grants=(grant,))
    parties = {"north": {"people": people()}}
    with ps.embedded(parties, store=None, quiet=True, policy=policy, purpose="marketing") as fed:
        with pytest.raises(PolicyRefused) as error:
            fed["north"]["people"].count().release()
        assert "granted to analyst only for research, not for marketing" in error.value.hint


def written(folder: Path, member: str, *, first: int, last: int) -> Credentials:
    """A member's credentials that are valid from and to so many days from now."""
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signing = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    own = x509.load_pem_x509_certificate((folder / f"{member}.pem").read_bytes())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(own.subject).issuer_name(authority.subject)
    builder = builder.public_key(own.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days=first)).not_valid_after(now + timedelta(days=last))
    for extension in own.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    made = builder.sign(signing, hashes.SHA256())  # type: ignore[arg-type]
    pem = made.public_bytes(serialization.Encoding.PEM)
    return Credentials((folder / "ca.pem").read_bytes(), pem, (folder / f"{member}.key").read_bytes())


def test_a_certificate_is_refused_as_what_it_is(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    make_certificates(ours, ["north", "south"])
    make_certificates(others, ["north"])
    right = written(ours, "north", first=-1, last=1)
    right.check()
    for wrong, words in (
        (written(ours, "north", first=-9, last=-1), "certificate of north expired at 20"),
        (written(ours, "north", first=1, last=9), "certificate of north is not valid before 20"),
        (right._replace(key=(ours / "south.key").read_bytes()), "is of another key than the key file"),
        (right._replace(authority=(others / "ca.pem").read_bytes()), "is of another authority"),
    ):
        with pytest.raises(IdentityRefused, match=words) as error:
            wrong.check()
        assert error.value.hint


def test_duckdb_draws_no_progress() -> None:
    with connected() as connection:
        shown = connection.sql("SELECT current_setting('enable_progress_bar') AS x").to_arrow_table()
    assert shown["x"].to_pylist() == [False]
    with pytest.raises(duckdb.ConnectionException):
        connection.sql("SELECT 1")

"""Files that the version before the modules moved wrote: ledgers, a model, a key, an encrypted column, a party.toml."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from claims import Cases

import privsdk as ps
from privsdk import fl, he
from privsdk.deploy.config import PartyConfig, read_config

CLAIM = "files of the version before open: ledgers with all that was spent, a model, a key, a column, a party.toml"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    with tarfile.open(Path(__file__).parent / "stored" / "before_the_move.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def expected(stored: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((stored / "expected.json").read_text())
    return read


@pytest.mark.claim(CLAIM)
def test_ledgers_open_and_nothing_is_forgotten(stored: Path, expected: dict[str, Any], cases: Cases) -> None:
    parties: dict[str, Any] = {name: {"people": pa.table({"age": range(60)})} for name in ("north", "south", "east")}
    with ps.embedded(
        {**parties, "keeper": {}},
        store=stored / "store",
        budget=ps.Budget(epsilon=3, exact=1000),
        caller="carol",
        purpose="research",
        quiet=True,
    ) as fed:
        spent = {p: [[b.epsilon_spent, b.exact_spent] for b in balances] for p, balances in fed.budgets().items()}
        assert spent == expected["budgets"]
        assert {p: verdict.first_bad for p, verdict in fed.verify_audit().items()} == dict.fromkeys(spent, -1)
        before = spent["north"][0][1]
        fed["north"]["people"].count().release()
        assert fed.budgets()["north"][0].exact_spent == before + 1
        cases(len(spent))


@pytest.mark.claim(CLAIM)
def test_a_model_opens(stored: Path, expected: dict[str, Any], cases: Cases) -> None:
    assert [float(w) for w in fl.load(stored / "model.arrow").weights] == expected["weights"]
    cases()


@pytest.mark.claim(CLAIM)
def test_a_key_opens_its_column(stored: Path, cases: Cases) -> None:
    key = he.SecretContext.load(stored / "anna.key", "correct horse")
    (column,) = he.columns(pq.read_table(stored / "column.parquet"), key.public).values()
    assert he.reveal(column, key).to_arrow().to_pylist() == [1, 2, -3]
    cases()


@pytest.mark.claim(CLAIM)
def test_a_party_toml_is_read(stored: Path, cases: Cases) -> None:
    assert read_config(stored / "party.toml", PartyConfig).policy.grants[0].max_epsilon == 0.5
    cases()

"""An audit as a table: its columns, that it can be verified again, and what a receipt says to it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import dp, psi
from privsdk.__main__ import main
from privsdk.client.audit import Receipt
from privsdk.errors import InvalidArgument, Refused, UnknownName
from privsdk.governance.chain import Row, verify
from privsdk.governance.export import SCHEMA, audit_table, read_audit_file, rows_of, write_audit
from privsdk.party.ledger.verification import read_ledger

IDS = pa.table({"id": [f"k{n}" for n in range(40)], "x": list(range(40))})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Receipt]:
    """North's ledger after a join, a count and a refusal, and the join's receipt."""
    folder = tmp_path_factory.mktemp("store")
    with ps.embedded(north=IDS, south=IDS, store=folder, quiet=True) as fed:
        joined = psi.join(fed["north"]["table"], fed["south"]["table"], on="id").release().receipt
        dp.count(fed["north"]["table"], epsilon=0.1).release()
        with pytest.raises(Refused):
            dp.count(fed["north"]["table"], epsilon=2).release()
    return folder, joined


@pytest.fixture
def exported(store: tuple[Path, Receipt], tmp_path: Path) -> pa.Table:
    assert main(["audit", "export", str(store[0] / "north.sqlite"), str(tmp_path / "audit.arrow")]) == 0
    return read_audit_file(tmp_path / "audit.arrow")


def test_the_columns(exported: pa.Table) -> None:
    assert exported.schema.names == SCHEMA.names
    events = ["opened", "owner", *["reserved", "started", "finished"] * 2, "refused"]
    assert exported["event"].to_pylist() == events
    assert exported["operation"].to_pylist() == [None, None, *["psi.join"] * 3, *["dp.count"] * 4]
    assert exported["caller"].to_pylist() == [None, None, *["analyst"] * 7]
    assert exported["tables"].to_pylist() == [[], *[["table"]] * 8]
    runs = exported["run"].to_pylist()
    assert (len(set(runs[2:5])), len(set(runs[5:8])), len(set(runs))) == (1, 1, 4)
    assert exported["at"].to_pylist() == sorted(exported["at"].to_pylist())
    assert all(
        msgspec.json.decode(detail)["event"] == event
        for detail, event in zip(exported["detail"].to_pylist(), events, strict=True)
    )


@pytest.mark.parametrize("name", ["audit.arrow", "audit.parquet"])
def test_the_chain_can_be_verified_again(store: tuple[Path, Receipt], tmp_path: Path, name: str) -> None:
    ledger = store[0] / "north.sqlite"
    assert main(["audit", "export", str(ledger), str(tmp_path / name)]) == 0
    table, (_, key, rows, _) = read_audit_file(tmp_path / name), read_ledger(ledger)
    assert rows_of(table) == rows
    assert verify(rows_of(table), key).first_bad == -1
    assert table.schema.metadata[b"privsdk.public_key"].decode() == key.hex()


@pytest.mark.parametrize("name", ["audit.arrow", "audit.parquet"])
def test_an_export_that_fails_midway_leaves_the_one_before(
    exported: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "exports" / name
    path.parent.mkdir()
    write_audit(exported[:2], path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InvalidArgument, match="cannot be written: No space left"):
        write_audit(exported, path)
    assert len(read_audit_file(path)) == 2
    assert list(path.parent.iterdir()) == [path]


def test_columns_that_say_something_else_than_the_details(exported: pa.Table) -> None:
    for name, value in (("caller", "somebody"), ("event", "opened"), ("at", "2020")):
        place = exported.schema.get_field_index(name)
        changed = exported.set_column(place, SCHEMA.field(name), pa.array([value] * len(exported)))
        with pytest.raises(InvalidArgument, match="columns that do not say what its details say"):
            rows_of(changed)
    for wrong in (exported.drop_columns("hash"), IDS):
        with pytest.raises(InvalidArgument, match="not an exported audit"):
            rows_of(wrong)


def test_a_receipt_lies_in_the_audit_it_is_of(store: tuple[Path, Receipt], exported: pa.Table) -> None:
    receipt = store[1]
    assert receipt.lies_in("north", exported)
    assert receipt.lies_in("north", exported[: receipt.heads["north"].rows])
    assert not receipt.lies_in("north", exported[: receipt.heads["north"].rows - 1])
    assert not receipt.lies_in("south", exported)
    with pytest.raises(UnknownName):
        receipt.lies_in("east", exported)
    rows = rows_of(exported)
    changed = [row if row.sequence != 3 else Row(3, row.body.replace(b"analyst", b"nobody!"), *row[2:]) for row in rows]
    assert not receipt.lies_in("north", audit_table(changed))
    head = receipt.heads["north"]
    elsewhere = msgspec.structs.replace(head, rows=head.rows - 1, hash=rows[head.rows - 2].hash.hex())
    assert not Receipt(run_id="r", heads={"north": elsewhere}).lies_in("north", exported), "a head that nobody signed"


def test_exports_that_cannot_be(
    store: tuple[Path, Receipt], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = store[0] / "north.sqlite"
    assert main(["audit", "export", str(ledger), str(tmp_path / "audit.csv")]) == 1
    assert "neither .arrow nor .parquet" in capsys.readouterr().err
    assert main(["audit", "export", str(ledger), str(tmp_path / "none" / "audit.arrow")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    for content in (b"", b"no table"):
        (tmp_path / "audit.arrow").write_bytes(content)
        with pytest.raises(InvalidArgument, match="cannot be read as an exported audit"):
            read_audit_file(tmp_path / "audit.arrow")
    with pytest.raises(InvalidArgument, match="audit row 3 is not what privsdk writes"):
        audit_table([Row(3, b"\xff\xfe", b"", b"")])

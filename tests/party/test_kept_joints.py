"""Joint tables that outlive their party's process: encrypted, for one caller, for a bounded time, revocable."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from waiting import until

import privsdk as ps
from privsdk import dp, psi
from privsdk.__main__ import main
from privsdk.errors import InvalidArgument, PolicyRefused, StaleJoin, UnknownName
from privsdk.party.joint_files import MAGIC, JointFiles, name_of
from privsdk.party.ledger import database
from privsdk.party.ledger.verification import read_ledger, verify_ledger

CLAIM = pytest.mark.claim(
    "joint tables on disk: after a restart their caller's alone, for the owner's days, of the same rows, until revoked"
)
PLACES = ("north", "south")
DAY = 1.0
SECOND = 1 / 86_400


def table(party: str, rows: int = 40, **more: Any) -> pa.Table:
    ids = [f"k{n}" for n in range(rows)] if party == "north" else [f"k{n}" for n in range(10, rows + 10)]
    return pa.table({"id": ids, "x": range(rows), "half": [n % 2 for n in range(rows)], **more})


def embedded(store: Path, *, days: float = DAY, caller: str = "ann", **more: Any) -> ps.Federation:
    tables: dict[str, Any] = {party: {"t": table(party), "u": table(party)} for party in PLACES} | more
    return ps.embedded(
        tables,
        store=store,
        policy=ps.Grant(table="t", columns={"half": "payload"}),
        budget=ps.Budget(exact=100),
        caller=caller,
        purpose="study",
        keep_joins_days=days,
        quiet=True,
    )


def joined(fed: ps.Federation) -> psi.Joint:
    joint: psi.Joint = psi.join(fed["north"]["t"], fed["south"]["t"], on="id").release().value
    return joint


def files(store: Path, party: str = "south") -> list[Path]:
    return sorted((store / f"{party}.joints").iterdir())


def labelled(joint: psi.Joint) -> list[tuple[str, int]]:
    """South's rows by north's column: both sides are read."""
    answer = joint["south"].count(by="north.half").release().value
    return sorted(zip(answer["north.half"].to_pylist(), answer["count"].to_pylist(), strict=True))


def asked(fed: ps.Federation) -> list[str]:
    """What south was charged for."""
    return [row.operation for row in fed.audit_log()["south"].rows if row.event == "reserved"]


def events(store: Path) -> list[Any]:
    ledger = read_ledger(store / "south.sqlite")
    found = [msgspec.json.decode(row.body) for row in ledger.rows]
    return [(each["event"], each.get("why")) for each in found if each["event"].startswith("joint")]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A joint table of a federation that was closed, and the file that says where it is."""
    with embedded(tmp_path) as fed:
        joined(fed).save(tmp_path / "joint.json")
    return tmp_path / "joint.json"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put the clock so many days from now."""

    def put(days: float) -> None:
        monkeypatch.setattr(database, "_clock", lambda: datetime.now(UTC) + timedelta(days=days))

    return put


@CLAIM
def test_a_joint_table_outlives_its_parties(tmp_path: Path, cases: Cases) -> None:
    path = tmp_path / "joint.json"
    with embedded(tmp_path) as fed:
        first = joined(fed)
        first.save(path)
        assert "kept on disk until" in str(first._card().facts)
        before, runs = labelled(first), asked(fed)
        assert runs.count("psi.join") == 1
    with embedded(tmp_path) as fed:
        again = psi.load(path, fed)
        assert str(again) == str(first)
        assert labelled(again) == before
        assert again["south"].unmatched.count().release().value["count"].to_pylist() == [10]
        assert asked(fed).count("psi.join") == 1  # it was not paid twice
    cases()


@CLAIM
def test_files_are_for_their_owner_alone_and_tell_nothing(saved: Path, cases: Cases) -> None:
    store = saved.parent
    record = msgspec.json.decode(saved.read_bytes())
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    for party in PLACES:
        (file,) = files(store, party)
        assert file.name == name_of(record["sides"][party]["alignment"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        content = file.read_bytes()
        for clear in (b"ann", b"study", b"until", record["sides"][party]["alignment"].encode(), bytes(32)):
            assert clear not in content
        kept = [row.body for row in read_ledger(store / f"{party}.sqlite").rows if b"joint kept" in row.body]
        assert all(record["sides"][party]["alignment"].encode() not in body for body in kept)
        cases()


@CLAIM
def test_a_damaged_file(saved: Path, cases: Cases) -> None:
    (file,) = files(saved.parent)
    content = file.read_bytes()
    harmed = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in (0, len(MAGIC) + 20)]
    harmed += [content[:-1] + bytes([content[-1] ^ 1]), content[:-1], content[:30], b"", MAGIC + b"\xff" * 200]
    with embedded(saved.parent) as fed:
        for each in harmed:
            file.write_bytes(each)
            with pytest.raises(StaleJoin, match="damaged"):
                psi.load(saved, fed)["south"].count().release()
            cases()
        file.write_bytes(content)
        psi.load(saved, fed)["south"].count().release()


@CLAIM
def test_a_file_under_anothers_name(tmp_path: Path, cases: Cases) -> None:
    with embedded(tmp_path) as fed:
        first, second = joined(fed), joined(fed)
        one, other = files(tmp_path)
        one.write_bytes(other.read_bytes())
        sides = [joint["south"] for joint in (first, second)]
        with pytest.raises(StaleJoin, match="damaged"):
            next(side for side in sides if name_of(side._alignments["south"]) == one.name).count().release()
    cases()


@CLAIM
def test_it_is_its_callers_alone(saved: Path, cases: Cases) -> None:
    for caller in ("bob", "ann2"):
        with embedded(saved.parent, caller=caller) as fed:
            with pytest.raises(InvalidArgument, match="is of ann for study, and this federation is opened by"):
                psi.load(saved, fed)
            record = msgspec.json.decode(saved.read_bytes()) | {"caller": caller}  # as one who found the file would
            forged = saved.with_name("forged.json")
            forged.write_bytes(msgspec.json.encode(record))
            with pytest.raises(StaleJoin, match="belongs to another caller, purpose or table"):
                psi.load(forged, fed)["south"].count().release()
            cases()
    record = msgspec.json.decode(saved.read_bytes())
    record["sides"]["south"]["table"] = "u"
    forged.write_bytes(msgspec.json.encode(record))
    with embedded(saved.parent) as fed:
        with pytest.raises(StaleJoin, match="belongs to another caller, purpose or table"):
            psi.load(forged, fed)["south"].count().release()
        fed.purpose = "marketing"
        with pytest.raises(InvalidArgument, match="opened by ann for marketing"):
            psi.load(saved, fed)
    cases()


@CLAIM
def test_it_ends_in_time(saved: Path, clock: Callable[[float], None], cases: Cases) -> None:
    store = saved.parent
    with embedded(store) as fed:
        size = files(store)[0].stat().st_size
        clock(0.9)
        psi.load(saved, fed)["south"].count().release()
        clock(1.1)  # of a party that was not told, such as one whose machine slept
        with pytest.raises(StaleJoin, match="for as long as its owner allows, and no longer"):
            psi.load(saved, fed)["south"].count(where={"x": (0, 20)}).release()
    with embedded(store) as fed:
        assert files(store)[0].stat().st_size < size  # the rows are gone
        clock(0.0)  # set back
        with pytest.raises(StaleJoin, match="and no longer"):
            psi.load(saved, fed)["south"].count(where={"x": (0, 20)}).release()
        clock(40.0)
    with embedded(store) as fed:
        assert files(store) == []
        with pytest.raises(StaleJoin, match="no longer has"):
            psi.load(saved, fed)["south"].count(where={"x": (0, 20)}).release()
    assert events(store) == [("joint kept", None), ("joint ended", "expired")]
    assert verify_ledger(store / "south.sqlite").first_bad == -1
    cases()


@CLAIM
def test_a_running_party_removes_it_in_time(tmp_path: Path, cases: Cases) -> None:
    with embedded(tmp_path, days=SECOND) as fed:
        joined(fed)
        until(lambda: events(tmp_path)[-1] == ("joint ended", "expired"))
    cases()


@CLAIM
def test_an_owner_who_allows_it_no_more(saved: Path, cases: Cases) -> None:
    size = files(saved.parent)[0].stat().st_size
    with embedded(saved.parent, days=0) as fed:
        assert files(saved.parent)[0].stat().st_size < size
        with pytest.raises(StaleJoin, match="and no longer"):
            psi.load(saved, fed)["south"].count().release()
        joint = joined(fed)  # in memory
        assert "kept in memory" in str(joint._card().facts)
    assert len(files(saved.parent)) == 1  # what says why
    cases()


@CLAIM
def test_other_rows(saved: Path, cases: Cases) -> None:
    store = saved.parent
    for other in (table("south", half2=range(40)), table("south").take([1, 0, *range(2, 40)]), table("south", 41)):
        with embedded(store) as fed:
            joined(fed).save(saved)
            psi.load(saved, fed)["south"].count().release()
        with embedded(store, south={"t": other}) as fed:
            for _ in range(2):
                with pytest.raises(StaleJoin, match="south/t has changed since the join"):
                    psi.load(saved, fed)["south"].count().release()
        with embedded(store) as fed:  # also where the old rows come back
            with pytest.raises(StaleJoin, match="south/t has changed since the join"):
                psi.load(saved, fed)["south"].count().release()
            assert psi.load(saved, fed)["north"].count().release().value["count"].to_pylist() == [30]
        cases()
    assert ("joint ended", "changed") in events(store)


@CLAIM
def test_a_revoked_one(saved: Path, capsys: pytest.CaptureFixture[str], cases: Cases) -> None:
    store, ledger = saved.parent, str(saved.with_name("south.sqlite"))
    with embedded(store) as fed:
        kept = joined(fed)
        joint = psi.load(saved, fed)
        joint["south"].count().release()
        with ps.Owner(ledger) as owner:  # while the party runs
            (name, _) = owner.joint_tables()["name"].to_pylist()
            with pytest.raises(InvalidArgument, match="needs a reason"):
                owner.revoke(name, reason=" ")
            with pytest.raises(UnknownName, match="no joint table named 'none'"):
                owner.revoke("none", reason="x")
        assert main(["joins", "list", ledger]) == 0
        assert f"{name}  t, of ann for study, until 20" in capsys.readouterr().out
        assert main(["joins", "revoke", ledger, name, "--reason", "the contract ended"]) == 0
        for _ in range(2):
            with pytest.raises(StaleJoin, match="owner has revoked this joint table: the contract ended"):
                joint["south"].count(where={"x": (0, 20)}).release()
        kept["south"].count().release()
        log = fed.audit_log()["south"].rows
        assert [row.why for row in log if row.event == "joint ended"] == ["revoked: the contract ended"]
        assert [row.tables for row in log if row.event == "joint kept"] == [("t",), ("t",)]
    assert main(["joins", "revoke", ledger, "all", "--reason", "x"]) == 0
    with embedded(store) as fed, pytest.raises(StaleJoin, match="revoked this joint table: the contract ended"):
        psi.load(saved, fed)["south"].count().release()
    with ps.Owner(ledger) as owner:
        assert owner.joint_tables().num_rows == 0
        assert set(owner.log().filter(pa.compute.field("event") == "joint ended")["caller"].to_pylist()) == {"ann"}
    cases()


@CLAIM
def test_another_ledgers_key_opens_nothing(saved: Path, tmp_path_factory: pytest.TempPathFactory, cases: Cases) -> None:
    other = tmp_path_factory.mktemp("other")
    with embedded(other) as fed:
        joined(fed)
        for party in PLACES:
            for file in files(saved.parent, party):
                (other / f"{party}.joints" / file.name).write_bytes(file.read_bytes())
        with pytest.raises(StaleJoin, match="damaged, or another key's"):
            psi.load(saved, fed)["south"].count().release()
    cases()


def test_what_a_crash_left_is_removed(saved: Path, clock: Callable[[float], None]) -> None:
    store = saved.parent
    draft = store / "south.joints" / f"{'a' * 32}.12345678.draft"
    damaged = store / "south.joints" / ("b" * 32)
    for file in (draft, damaged):
        file.write_bytes(b"?")
    with embedded(store):
        assert draft.exists()  # it may be written just now
        assert damaged.exists()
    clock(1.5)
    with embedded(store):
        assert not draft.exists()
        assert not damaged.exists()


def test_the_oldest_gives_way(tmp_path: Path) -> None:
    with embedded(tmp_path) as fed:
        for _ in range(3):
            joined(fed)
        gate = fed._link._endpoints["south"]  # type: ignore[attr-defined]
        held: JointFiles = gate._joints._files
        held.sweep(timedelta(days=1), 2)
        assert sum(head is not None and not head.ended for head in held.heads().values()) == 2
    assert events(tmp_path)[-1] == ("joint ended", "replaced")


def test_a_disk_that_is_full_keeps_it_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("privsdk.party.joint_files.atomic_write", full)
    with embedded(tmp_path) as fed:
        joint = joined(fed)
        assert "kept in memory" in str(joint._card().facts)
        joint["south"].count().release()


@pytest.mark.parametrize("days", [-1.0, 367.0, float("nan"), float("inf")])
def test_days_that_are_none(tmp_path: Path, days: float) -> None:
    with pytest.raises(InvalidArgument, match="joint tables are kept for"):
        embedded(tmp_path, days=days)


def test_a_store_in_memory_keeps_none() -> None:
    with pytest.raises(InvalidArgument, match="a folder, where joint tables are kept"):
        ps.embedded(north=table("north"), store=None, keep_joins_days=1, quiet=True)


def test_a_noisy_release_takes_up_a_join_and_knows_whose_it_was(saved: Path) -> None:
    with embedded(saved.parent) as fed:
        joint = psi.load(saved, fed)
        assert dp.count(joint["south"], epsilon=0.5).release().value.num_rows == 1
        record = msgspec.json.decode(saved.read_bytes())
        saved.write_bytes(msgspec.json.encode(record | {"join": "another"}))
        with pytest.raises(PolicyRefused, match="all its parties pay"):
            dp.count(psi.load(saved, fed)["south"], epsilon=0.5).release()

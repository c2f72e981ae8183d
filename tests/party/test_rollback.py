"""Restored and forked ledgers, embedded: found by what callers saw, refused until acknowledged, found again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import pytest
from claims import Cases
from forked import run_command
from house import House, prepare
from restoring import acknowledge, ask, backup, events, names, opened, restore, session

from privsdk import dp, psi
from privsdk.errors import InvalidArgument, LedgerBehind, ProtocolViolation
from privsdk.governance.chain import Head
from privsdk.party.ledger.database import Signer
from privsdk.party.ledger.rollback import RollbackDetection
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol import control

CLAIM = pytest.mark.claim("restored: an older ledger file is found by the next request, refused until acknowledged")
FORGED = pytest.mark.claim("forged heads lock no party out")


def refused(store: Path, caller: str = "analyst") -> LedgerBehind:
    with opened(store, caller) as fed, pytest.raises(LedgerBehind) as error:
        ask(fed)
    return error.value


def acknowledge_command(store: Path, reason: str = "disk replaced") -> CompletedProcess[str]:
    return run_command("audit", "acknowledge", str(store / "north.sqlite"), "--reason", reason, folder=store)


def shorter(store: Path) -> None:
    session(store, 2)
    backup(store)
    session(store, 2)
    restore(store)


def forked_at_equal_length(store: Path) -> None:
    shorter(store)
    forgetful(store, 2)


def forked_and_longer(store: Path) -> None:
    shorter(store)
    forgetful(store, 5)


def forgetful(store: Path, times: int) -> None:
    """Another caller, who has seen nothing, asks of the restored party."""
    session(store, times, caller="newcomer")


@CLAIM
@pytest.mark.parametrize("harm", [shorter, forked_at_equal_length, forked_and_longer])
def test_found_by_the_caller_who_saw_more(tmp_path: Path, harm: Callable[[Path], None], cases: Cases) -> None:
    """The notebook was restarted in between: what it saw is in its file."""
    harm(tmp_path)
    error = refused(tmp_path)
    assert error.party == "north"
    assert "put back from an older copy" in error.message
    assert "14" in error.message  # rows of the head that it saw: the opening, the budget and four counts of three rows
    assert "audit acknowledge" in error.hint
    cases()


@CLAIM
@pytest.mark.parametrize("harm", [shorter, forked_at_equal_length, forked_and_longer])
def test_once_found_nobody_is_answered_until_the_owner_acknowledges(
    tmp_path: Path, harm: Callable[[Path], None], cases: Cases
) -> None:
    harm(tmp_path)
    refused(tmp_path)
    for caller in ("newcomer", "analyst", "analyst", "third"):
        refused(tmp_path, caller)
        cases()
    assert names(tmp_path).count("behind") == 1, "a row for each head, not for each request"
    with opened(tmp_path) as fed:
        assert not dp.count(fed["north"]["table"], epsilon=0.01).preview().allowed
        assert "put back from an older copy" in repr(fed["north"])
    acknowledge(tmp_path / "north.sqlite", "the disk was replaced")
    for caller in ("analyst", "newcomer", "third", "analyst"):
        session(tmp_path, 1, caller)
        cases()
    assert verify_ledger(tmp_path / "north.sqlite").first_bad == -1
    (said,) = [event for event in events(tmp_path) if event["event"] == "acknowledged"]
    assert said["reason"] == "the disk was replaced"
    assert [head["rows"] for head in said["heads"]] == [14]


@CLAIM
def test_another_caller_who_saw_more_is_refused_first(tmp_path: Path, cases: Cases) -> None:
    session(tmp_path, 1)
    backup(tmp_path)
    session(tmp_path, 1, caller="other")
    restore(tmp_path)
    session(tmp_path, 1)  # of no harm to what this one saw
    refused(tmp_path, "other")
    refused(tmp_path)
    cases(2)


@CLAIM
def test_every_older_copy_is_found(tmp_path: Path, cases: Cases) -> None:
    """Whatever row the file is put back to, the notebook that saw one more finds it."""
    with opened(tmp_path / "grown") as fed:
        copies = []
        for n in range(10):
            copies.append(Path(shutil.copytree(tmp_path / "grown", tmp_path / str(n))))
            ask(fed)
    for copy in copies:
        for file in (tmp_path / "grown").glob("*.heads.json"):
            shutil.copy(file, copy)
        refused(copy)
        cases()


@CLAIM
def test_a_second_restore_is_found_again_and_lost_heads_pass(tmp_path: Path, cases: Cases) -> None:
    """To before and to after the acknowledgement, many times; heads of each lost branch go on to pass."""
    session(tmp_path, 4)
    cut_to = backup(tmp_path)
    session(tmp_path, 1, caller="early")  # a head of the first branch that is shown only at the end
    session(tmp_path, 6)
    restore(tmp_path)
    refused(tmp_path)
    acknowledge(tmp_path / "north.sqlite", "first")
    session(tmp_path, 1)
    after = shutil.copy(tmp_path / "north.sqlite", tmp_path / "after")
    for n in range(3):
        session(tmp_path, 1)  # still fewer rows than were lost at first
        shutil.copy(after if n < 2 else cut_to, tmp_path / "north.sqlite")
        refused(tmp_path)
        acknowledge(tmp_path / "north.sqlite", f"again {n}")
        session(tmp_path, 1)
        after = shutil.copy(tmp_path / "north.sqlite", tmp_path / "after")
        cases()
    session(tmp_path, 1, caller="early")
    with opened(tmp_path) as fed:
        (report,) = fed.verify_audit().values()
        assert (report.first_bad, report.head.branch) == (-1, 4)  # also where older acknowledgements were lost
        assert "losses acknowledged" in fed.verify_audit()._repr_html_()


@CLAIM
def test_a_longer_lost_chain_than_was_acknowledged_is_found(tmp_path: Path, cases: Cases) -> None:
    session(tmp_path, 1)
    backup(tmp_path)
    session(tmp_path, 2, caller="some")
    session(tmp_path, 2, caller="more")
    restore(tmp_path)
    refused(tmp_path, "some")
    acknowledge(tmp_path / "north.sqlite", "two counts")
    session(tmp_path, 1, caller="some")
    assert "17 that its key signed" in refused(tmp_path, "more").message
    refused(tmp_path, "some")
    acknowledge(tmp_path / "north.sqlite", "four counts")
    session(tmp_path, 1, caller="more")
    session(tmp_path, 1, caller="some")
    assert [len(event["heads"]) for event in events(tmp_path) if event["event"] == "acknowledged"] == [1, 1]
    cases(2)


def test_a_lineage_without_branches_would_miss_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong on purpose: every head is of branch 0, so those after the acknowledgement look like the lost ones."""
    whole = RollbackDetection.head

    def without_branch(self: RollbackDetection) -> Head:
        self._branch = 0
        return whole(self)

    follow = RollbackDetection._follow

    def forgets_branch(self: RollbackDetection) -> object:
        last = follow(self)
        self._branch = 0
        return last

    monkeypatch.setattr(RollbackDetection, "_follow", forgets_branch)
    monkeypatch.setattr(RollbackDetection, "head", without_branch)
    with pytest.raises(ProtocolViolation, match="took a request although it is behind"):  # which the caller then sees
        test_a_second_restore_is_found_again_and_lost_heads_pass(tmp_path, Cases())


@CLAIM
def test_acknowledged_from_another_process_while_the_party_runs(tmp_path: Path, cases: Cases) -> None:
    shorter(tmp_path)
    with opened(tmp_path) as fed:
        plan = dp.count(fed["north"]["table"], epsilon=0.01)
        for _ in range(3):
            with pytest.raises(LedgerBehind):
                plan.release()
        done = acknowledge_command(tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "acknowledged the loss of the chain that had 14 rows" in done.stdout
        assert plan.release().receipt.heads["north"].branch == 1
        again = acknowledge_command(tmp_path)
        assert again.returncode == 1
        assert "nothing to acknowledge" in again.stderr
    cases()


def test_an_acknowledgement_needs_a_reason_a_ledger_and_its_key(tmp_path: Path) -> None:
    shorter(tmp_path)
    refused(tmp_path)
    assert "with a reason" in acknowledge_command(tmp_path, " ").stderr
    (tmp_path / "north.ed25519").rename(tmp_path / "elsewhere")
    assert "signing key" in acknowledge_command(tmp_path).stderr
    (tmp_path / "north.sqlite").unlink()
    assert "cannot be read as a ledger" in acknowledge_command(tmp_path).stderr
    assert not (tmp_path / "north.sqlite").exists()


def test_a_file_exchanged_under_a_running_party_is_found(tmp_path: Path) -> None:
    with opened(tmp_path) as fed:
        ask(fed)
        kept = (tmp_path / "north.sqlite").read_bytes()
        ask(fed, 2)
        (tmp_path / "north.sqlite").write_bytes(kept)
        with pytest.raises(LedgerBehind):
            ask(fed)


def test_what_a_running_party_knows_goes_with_the_file_it_was_in(tmp_path: Path) -> None:
    shorter(tmp_path)
    with opened(tmp_path) as fed:
        with pytest.raises(LedgerBehind):
            ask(fed)
        acknowledge(tmp_path / "north.sqlite", "the disk was replaced")
        assert fed.verify_audit()["north"].head.branch == 1
        (tmp_path / "north.sqlite").write_bytes((tmp_path / "backup").read_bytes())
        assert fed.verify_audit()["north"].head.branch == 0
        with pytest.raises(LedgerBehind):
            ask(fed)


def test_a_store_that_goes_with_its_heads_is_not_found(tmp_path: Path) -> None:
    """What SECURITY.md says: embedded, the heads are beside the ledgers, and who puts back both is not noticed."""
    session(tmp_path / "store", 2)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    session(tmp_path / "store", 2)
    session(tmp_path / "copy", 1)


def test_processes_that_share_a_ledger_know_each_others_heads(tmp_path: Path) -> None:
    with opened(tmp_path) as first, opened(tmp_path) as second:
        for _ in range(3):
            ask(first)
            ask(second)
    assert "behind" not in names(tmp_path)


def heads(house: House) -> list[Head]:
    """True heads of south, at several lengths."""
    found = []
    for _ in range(4):
        found.append(house.gates["south"]._books.head())
        house.ask(prepare(house.request()))
    return found


def forgeries(house: House) -> list[Head]:
    """Heads that south never signed, made of true ones."""
    true, other = heads(house), Signer.fresh()
    replace = msgspec.structs.replace
    last = true[-1]
    return [
        replace(last, rows=last.rows + 1000),
        replace(last, rows=2**62),
        replace(last, rows=0),
        replace(last, branch=7),
        replace(last, hash="00" * 32),
        replace(last, hash=true[0].hash),
        replace(last, signature=true[0].signature),
        replace(last, signature="00" * 64),
        replace(last, signature="no hexadecimal"),
        replace(last, hash="no hexadecimal"),
        replace(last, signature=""),
        replace(last, public_key=other.public_key.hex()),
        replace(last, public_key=other.public_key.hex(), signature=other.sign(b"anything").hex()),
        replace(last, public_key=""),
        replace(last, signature=house.gates["south"]._books._ledger.head().signature.hex()),  # of the row itself
        replace(last, rows=last.rows + 5, signature=house.gates["south"]._books._ledger.head().signature.hex()),
        house.gates["north"]._books.head(),
    ]


@FORGED
def test_forged_heads_are_no_evidence(house: House, cases: Cases) -> None:
    for forged in forgeries(house):
        before = house.gates["south"]._books.head().rows
        for call in (
            control.Prepare(request=house.request(), seen=forged),
            control.Quote(requests=(house.request(),), seen=forged),
        ):
            with pytest.raises(InvalidArgument, match="not one that south's present key signed"):
                house.ask(call)
        assert house.gates["south"]._books.head().rows == before, "a forged head left a row"
        house.ask(prepare(house.request()))
        cases()


@FORGED
def test_true_heads_in_any_order_pass(house: House, cases: Cases) -> None:
    for head in reversed(heads(house)):
        house.ask(control.Prepare(request=house.request(), seen=head))
        cases()


def test_heads_that_sign_only_the_hash_would_lock_a_party_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong on purpose: without the number of rows in what is signed, a true hash with a false number is evidence."""
    monkeypatch.setattr("privsdk.governance.chain.head_statement", lambda rows, branch, digest: digest)
    monkeypatch.setattr("privsdk.party.ledger.rollback.head_statement", lambda rows, branch, digest: digest)
    with pytest.raises(LedgerBehind):
        test_forged_heads_are_no_evidence(house, Cases())


def test_callers_who_show_one_loss_at_once_leave_one_row(tmp_path: Path) -> None:
    shorter(tmp_path)
    with opened(tmp_path) as fed:
        plans = [dp.count(fed["north"]["table"], epsilon=0.01) for _ in range(16)]

        def attempt(plan: object) -> bool:
            with pytest.raises(LedgerBehind):
                plan.release()  # type: ignore[attr-defined]
            return True

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(attempt, plans))
    assert names(tmp_path).count("behind") == 1


@pytest.mark.claim("anchors: parties that work together hold each other's signed heads in their chains")
def test_a_joint_run_writes_the_peers_heads_into_each_chain(house: House, cases: Cases) -> None:
    receipt = psi.join(house.fed["north"]["t"], house.fed["south"]["t"], on="id").release().receipt
    assert set(receipt.heads) == {"north", "south"}
    for party, peer in (("north", "south"), ("south", "north")):
        bodies = [msgspec.json.decode(row.body) for row in house.gates[party]._books._ledger.snapshot().rows]
        (started,) = [body for body in bodies if body["event"] == "started"]
        assert list(started["heads"]) == [peer]
        head = msgspec.convert(started["heads"][peer], Head)
        assert head.is_signed()
        row = house.gates[peer]._books._ledger.row(head.rows)
        assert row is not None
        assert row.hash.hex() == head.hash
        assert receipt.heads[peer].rows >= head.rows
        cases()


@pytest.mark.parametrize("harm", ["missing", "stranger", "unsigned", "older number"])
def test_a_start_without_every_partys_signed_head_starts_nothing(house: House, harm: str) -> None:
    request = house.request()
    nonces = {party: house.ask(prepare(request), party=party).nonce for party in ("north", "south")}
    start = house.start(request, nonces)
    north = start.heads["north"]
    wrong = {
        "missing": {"south": start.heads["south"]},
        "stranger": {**start.heads, "east": north},
        "unsigned": {**start.heads, "north": msgspec.structs.replace(north, hash="00" * 32)},
        "older number": {**start.heads, "north": msgspec.structs.replace(north, rows=north.rows - 1)},
    }
    with pytest.raises(ProtocolViolation, match="head"):
        house.ask(msgspec.structs.replace(start, heads=wrong[harm]))
    assert house.spent() == 0

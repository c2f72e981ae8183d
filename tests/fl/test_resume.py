"""A named training goes on after an interruption, bit for bit on one machine; nothing leaves uncharged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts
from cluster import Cluster
from forked import Forked
from resumed_child import train, train_connected
from troubled import BUDGET, CLIENTS, LEADER, POLICY, at_ready, dies, embedded, goes_wrong, plan, tables
from waiting import until

import privsdk as ps
from privsdk import fl
from privsdk.errors import Cancelled, DataError, InvalidArgument, PrivsdkError
from privsdk.governance.prices import answers
from privsdk.protocol.failpoints import FailPoint

SIGKILL = -9
ROUNDS = 8
POINTS = [
    point
    for point in FailPoint
    if point.startswith(("ledger.pay", "ledger.start", "ledger.finish", "checkpoint", "wire.send"))
]
EMBEDDED = [
    (FailPoint.PAY_AFTER, 11),
    (FailPoint.CHECKPOINT_INSIDE, 9),
    (FailPoint.CHECKPOINT_AFTER, 7),
    (FailPoint.SEND_AFTER, 60),
]
SERVERS = [(LEADER, FailPoint.CHECKPOINT_INSIDE, 3), ("bru", FailPoint.PAY_AFTER, 4), ("bru", FailPoint.SEND_AFTER, 9)]
CLAIM = pytest.mark.claim(
    "fl: after a kill of a client, the coordinator or the notebook a named training ends with the undisturbed model"
)


@pytest.fixture(scope="module")
def undisturbed() -> bytes:
    with embedded() as fed:
        weights: bytes = plan(fed, rounds=ROUNDS).release().value.weights.tobytes()
    return weights


def paid(result: ps.Result[fl.Fitted], party: str) -> int:
    return sum(debit.charge.uses for debit in result.spent[party])  # type: ignore[union-attr]


def test_a_training_that_was_stopped_goes_on(tmp_path: Path, undisturbed: bytes) -> None:
    with embedded(store=tmp_path) as fed:
        run = plan(fed, rounds=ROUNDS, name="digits").start()
        run.stop()
        first = run.result().value
        assert first.ended.startswith("stopped by its caller after round ")
    with embedded(store=tmp_path) as fed:  # as after a restart of every party
        result = plan(fed, rounds=ROUNDS, name="digits").release()
        assert result.value.resumed == first.history.num_rows
        assert result.value.weights.tobytes() == undisturbed
        assert result.value.history.column("round").to_pylist() == list(range(1, ROUNDS + 1))
        assert paid(result, "ams") == answers(8 + 5 * (ROUNDS - result.value.resumed))  # as a training of those rounds
        assert result.value.history.column("seconds").null_count == result.value.resumed
        again = plan(fed, rounds=ROUNDS, name="digits").release()  # it is finished: one evaluation is paid
        assert again.value.weights.tobytes() == undisturbed
        assert paid(again, "ams") == 1
        assert again.value.resumed == ROUNDS


@pytest.mark.parametrize("aggregation", ["clear", "encrypted"])
def test_a_client_that_failed_is_in_again(monkeypatch: pytest.MonkeyPatch, aggregation: str) -> None:
    with embedded() as fed:
        whole = plan(fed, aggregation=aggregation).release().value
        goes_wrong(monkeypatch, {"cdg": at_ready(4, dies)})
        with pytest.raises(PrivsdkError):
            plan(fed, aggregation=aggregation, fewest=4, name="n").release()
        monkeypatch.undo()
        resumed = plan(fed, aggregation=aggregation, fewest=4, name="n").release()
        assert resumed.value.resumed == 3
        assert resumed.value.weights.tobytes() == whole.weights.tobytes()
        assert paid(resumed, "cdg") == (answers(8 + 5 * 3) if aggregation == "clear" else 1)


def test_a_cancelled_training_says_how_to_go_on() -> None:
    with embedded() as fed:
        for name, hint in (("n", "fit again as before under the name 'n'"), ("", "give a name= to go on")):
            run = plan(fed, rounds=3000, name=name).start()
            until(lambda run=run: bool(run.progress.curve))
            run.cancel()
            with pytest.raises(Cancelled) as error:
                run.result(timeout_s=120)
            assert hint in error.value.hint
        run = plan(fed, rounds=3000, name="n").start()
        run.stop()
        partial = run.result(timeout_s=120).value
        assert partial.history.num_rows >= partial.resumed > 0  # what there was when it was cancelled
        assert np.isfinite(partial.weights).all()


def test_a_used_name_is_of_one_question_over_one_content() -> None:
    with embedded() as fed:
        plan(fed, name="n").release()
        spent = fed.budgets()["ams"][0].exact_spent
        for other in ({"rounds": 7}, {"seed": 1}, {"learning_rate": 0.5}):
            with pytest.raises(InvalidArgument, match="knows the name 'n' from another question of analyst"):
                plan(fed, name="n", **other).release()
        plan(fed, name="m", seed=1).release()
        assert fed.budgets()["ams"][0].exact_spent == 2 * spent


def test_a_table_that_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    with embedded(store=tmp_path) as fed:
        plan(fed, name="n").release()
    changed = tables()
    column = changed["bru"]["t"].column("x").to_pylist()
    changed["bru"]["t"] = changed["bru"]["t"].set_column(0, "x", pa.array([column[0] + 1, *column[1:]]))
    fed = ps.embedded(changed, store=tmp_path, policy=POLICY, budget=BUDGET, quiet=True)
    with fed, pytest.raises(InvalidArgument, match="bru's table has changed since 'n' was begun"):
        plan(fed, name="n").release()


def test_a_damaged_state_is_found(tmp_path: Path) -> None:
    with embedded(store=tmp_path) as fed:
        plan(fed, name="n").release()
        for file in (tmp_path / f"{LEADER}.checkpoints").iterdir():
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(data)
        with pytest.raises(DataError, match=f"{LEADER}'s state of n is damaged"):
            plan(fed, name="n").release()


def charged(store: Path, party: str) -> int:
    """Model rounds that a party's ledger says were paid for, those that added nothing to the price too."""
    with closing(sqlite3.connect(store / f"{party}.sqlite")) as db:
        ((rounds,),) = db.execute("""SELECT count(*) FROM audit WHERE CAST(body AS TEXT) LIKE '%"event":"paid"%'""")
    return int(rounds)


def left(log: Path) -> dict[str, int]:
    """Rounds whose updates left each client, as its process wrote down before each went."""
    lines = log.read_text().split() if log.exists() else []
    return {party: lines.count(party) for party in CLIENTS}


@CLAIM
def test_the_notebook_killed_at_every_fail_point(
    tmp_path: Path, undisturbed: bytes, cases: Cases, counts: Counts
) -> None:
    """Embedded: with it die all parties. Each time somewhere else, until a child comes to the end."""
    every = [(point, hit) for point in POINTS for hit in (3, 4, 9, 17, 26, 31)]
    for point, hit in counts(EMBEDDED[:2], EMBEDDED, every):
        folder = tmp_path / f"{point}-{hit}"
        folder.mkdir()
        died = child(folder, f"{point}:{hit}")
        assert died in (0, SIGKILL)
        for party in CLIENTS:
            assert left(folder / "log")[party] <= charged(folder / "store", party)
        assert child(folder, "") == 0
        assert (folder / "model").read_bytes() == undisturbed, (point, hit)
        for party in CLIENTS:
            assert left(folder / "log")[party] <= charged(folder / "store", party)
        cases()


def child(folder: Path, failpoint: str) -> int | None:
    process = Forked(train, folder, ROUNDS, log=folder / "stderr", PRIVSDK_FAILPOINT=failpoint)
    code = process.wait(timeout=600)
    assert code in (0, SIGKILL), (folder / "stderr").read_text()
    return code


@CLAIM
def test_servers_killed_over_the_network(tmp_path: Path, undisturbed: bytes, cases: Cases, counts: Counts) -> None:
    every = [
        (party, point, hit)
        for party in ("bru", LEADER)
        for point in POINTS
        for hit in (2, 5, 8)
        if party == LEADER or not point.startswith("checkpoint")
    ]
    kills = counts(SERVERS[:2], SERVERS, every)
    with Cluster(tmp_path, tables(), policy=POLICY, budget=BUDGET) as cluster:
        for number, (party, point, hit) in enumerate(kills):
            cluster.stop(party)
            cluster.start(party, PRIVSDK_FAILPOINT=f"{point}:{hit}")
            cluster.await_address(party)
            with ps.connect(cluster.federation) as fed:
                wanted: dict[str, Any] = {"rounds": ROUNDS, "fewest": 4, "name": f"n{number}", "deadline_s": 30.0}
                try:
                    plan(fed, **wanted).release(timeout_s=120)
                except PrivsdkError:
                    assert cluster.await_end(party) == SIGKILL
            cluster.stop(party)
            cluster.start(party)
            cluster.await_address(party)
            with ps.connect(cluster.federation) as fed:
                assert plan(fed, **wanted).release(timeout_s=120).value.weights.tobytes() == undisturbed, (party, point)
            cases()


@CLAIM
def test_the_notebook_killed_over_the_network(tmp_path: Path, undisturbed: bytes, cases: Cases) -> None:
    with Cluster(tmp_path, tables(), policy=POLICY, budget=BUDGET) as cluster:
        process = Forked(train_connected, cluster.federation, 2000, log=tmp_path / "notebook.log")
        with ps.connect(cluster.federation) as fed:
            until(lambda: fed.budgets()["ams"][0].exact_spent >= 10)
            process.kill()
            process.wait()
            until(lambda: not any(d.running for d in fed._describe().values()))
            # all in every round: whom the kill reaches first is not left out of the round that the others still hold
            run = plan(fed, rounds=2000, name="n", fewest=len(CLIENTS)).start()
            run.stop()
            partial = run.result(timeout_s=120).value
            assert partial.resumed >= 8
            whole = plan(fed, rounds=partial.history.num_rows).release().value
            assert whole.weights.tobytes() == partial.weights.tobytes()
    assert msgspec.json.encode(partial.history.column("loss").to_pylist()) == msgspec.json.encode(
        whole.history.column("loss").to_pylist()
    )
    cases()

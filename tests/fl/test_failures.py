"""Clients that die, stall, diverge or send what does not fit: each is named with round and cause, the others go on."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from claims import Cases, lengthy
from cluster import Cluster
from troubled import (
    BUDGET,
    CLIENTS,
    LEADER,
    POLICY,
    Blocked,
    Trouble,
    at_ready,
    at_update,
    dies,
    embedded,
    garbage,
    goes_wrong,
    not_a_number,
    of_another_round,
    plan,
    silent,
    tables,
    too_short,
)
from waiting import until

import privsdk as ps
from privsdk.errors import Cancelled, DataError, InternalError, PeerError, PeerGone
from privsdk.governance.charges import Exact
from privsdk.governance.prices import answers
from privsdk.protocol.failpoints import FailPoint
from privsdk.protocol.roles import during
from privsdk.protocol.timeouts import CallerTimeouts, Timeouts

SIGKILL = -9
CLAIM = pytest.mark.claim("fl: a client that dies, stalls, diverges or sends garbage is named, and training goes on")
TROUBLES: dict[str, tuple[Callable[[], Trouble], str]] = {
    "dies when it is ready": (lambda: at_ready(3, dies), r"RuntimeError in troubled\.py"),
    "dies with its update": (lambda: at_update(3, dies), r"RuntimeError in troubled\.py"),
    "is not ready": (lambda: at_ready(3, silent), "no message came from bru"),
    "sends no update": (lambda: at_update(3, silent), "no message came from bru"),
    "sends NaN": (lambda: at_update(3, not_a_number), "bru sent an update that does not fit round 3, or is not finite"),
    "sends another shape": (lambda: at_update(3, too_short), "does not fit round 3"),
    "sends another round's": (lambda: at_update(3, of_another_round), "does not fit round 3"),
    "sends garbage": (lambda: at_update(3, garbage), r"not a valid fl\.averages\.Said"),
    "says that it is ready for another round": (
        lambda: at_ready(3, lambda ready: type(ready)(number=ready.number + 1)),
        "bru is ready for round 4 in round 3",
    ),
}
BEFOREHAND = 8  # figures: the number of training rows, and an evaluation's seven
ROUND = 5  # three weights, a loss and its weight; in the clear about one party alone


@CLAIM
@pytest.mark.parametrize("how", TROUBLES)
def test_a_client_that_goes_wrong_is_named_with_round_and_cause(
    monkeypatch: pytest.MonkeyPatch, how: str, cases: Cases
) -> None:
    trouble, why = TROUBLES[how]
    goes_wrong(monkeypatch, {"bru": trouble()})
    with embedded() as fed:
        result = plan(fed, deadline_s=5.0 if why.startswith("no message") else 60.0).release()
        fitted = result.value
        assert fitted.lost.column("party").to_pylist() == ["bru"]
        assert fitted.lost.column("round").to_pylist() == [3]
        (told,) = fitted.lost.column("why").to_pylist()
        assert re.search(why, told)
        assert "1234" not in told
        assert fitted.history.column("clients").to_pylist() == [4, 4, 3, 3, 3, 3]
        assert set(fitted.evaluation.column("party").to_pylist()) == set(CLIENTS) - {"bru"}
        assert (fitted.ended, fitted.resumed) == ("", 0)
        # it says what it paid: three rounds and the evaluation it did not make; so do the books
        for party, rounds in (("bru", 3), ("ams", 6)):
            paid = [d.charge.uses for d in result.spent[party]]  # type: ignore[union-attr]
            assert sum(paid) == fed.budgets()[party][0].exact_spent == answers(BEFOREHAND + rounds * ROUND)
    cases()


@CLAIM
def test_a_client_that_blocks_is_left_behind(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    blocked = Blocked()
    goes_wrong(monkeypatch, {"dub": at_ready(2, blocked)})
    with embedded() as fed:
        fed.timeouts = CallerTimeouts(stragglers_s=1.0)
        try:
            fitted = plan(fed, deadline_s=5.0).release(timeout_s=120).value
        finally:
            blocked.let_go.set()
        assert fitted.lost.to_pylist()[0] | {"why": ""} == {"party": "dub", "round": 2, "why": ""}
        assert fitted.history.column("clients").to_pylist() == [4, 3, 3, 3, 3, 3]
        until(lambda: all(d.running == 0 for d in fed._describe().values()))
    cases()


def test_nobody_waits_for_a_client_that_fails_before_its_first_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens its stream to say so: the coordinator would wait for that as long as a connection may take."""
    monkeypatch.setattr("privsdk.party.gate.Timeouts", lambda: Timeouts(connect_s=1e6))
    goes_wrong(monkeypatch, {"bru": lambda number, message: dies(message)})
    with embedded() as fed:
        fitted = plan(fed, aggregation="masked").release(timeout_s=120).value
        assert fitted.lost.select(["party", "round"]).to_pylist() == [{"party": "bru", "round": 0}]


def test_several_go_wrong_until_too_few_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    troubles = {"ams": at_update(2, not_a_number), "dub": at_ready(4, dies)}
    goes_wrong(monkeypatch, troubles)
    with embedded(policy=msgspec.structs.replace(POLICY, min_parties=1)) as fed:
        lost = plan(fed, fewest=2).release().value.lost.to_pylist()
        assert [(row["party"], row["round"]) for row in lost] == [("ams", 2), ("dub", 4)]
        with pytest.raises(InternalError, match=r"RuntimeError in troubled\.py, line \d+") as error:
            plan(fed, fewest=3).release()
        assert (error.value.party, error.value.phase) == ("dub", "round 4, local training")
        what = f"{LEADER}: 2 clients are left in round 4, and 3 are asked for (ams: "
        assert what in error.value.message
        assert "dub: dub ended the session (internal)" in error.value.message
        assert "1234" not in str(error.value)


def test_under_encryption_a_lost_client_ends_the_run_with_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_wrong(monkeypatch, {"cdg": at_ready(2, dies)})
    with embedded() as fed:
        with pytest.raises(InternalError, match=r"RuntimeError in troubled\.py") as error:
            plan(fed, aggregation="encrypted").release()
        assert (error.value.party, error.value.phase) == ("cdg", "round 2, local training")
    blocked = Blocked()
    goes_wrong(monkeypatch, {"cdg": at_ready(2, blocked)})
    with embedded() as fed:
        try:
            run = plan(fed, aggregation="encrypted", deadline_s=5.0).start()
            until(lambda: fed._describe()["cdg"].running == 1)
            until(lambda: fed._describe()[LEADER].running == 0)
            blocked.let_go.set()
            with pytest.raises(PeerGone, match=r"3 clients are left in round 2.*cdg: no message came from cdg") as late:
                run.result(timeout_s=120)
        finally:
            blocked.let_go.set()
        assert (late.value.party, late.value.phase) == (LEADER, "round 2")


def test_training_that_diverges_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded() as fed:
        with pytest.raises(DataError, match="training diverged") as error:
            plan(fed, aggregation="encrypted", learning_rate=1e6).release()
        assert error.value.party in CLIENTS
        assert error.value.phase.startswith("round 1")


@pytest.mark.claim("fl: a training ends with the last model that was paid, where the budget of a client ends")
@pytest.mark.parametrize(("aggregation", "held"), [("clear", 1), ("encrypted", 4)])
def test_a_budget_that_ends_on_the_way(aggregation: str, held: int, cases: Cases) -> None:
    """The model is that of as many rounds; nobody is charged for a later one, but who paid before it was called off."""
    with embedded() as fed:
        three = plan(fed, aggregation=aggregation, rounds=held).release().value
    budgets = dict.fromkeys((*CLIENTS, LEADER), BUDGET) | {"cdg": ps.Budget(exact=1)}
    with embedded(budget=budgets) as fed:
        result = plan(fed, aggregation=aggregation).release()
        fitted = result.value
        assert fitted.ended == f"the budget of cdg ended before round {held + 1}"
        assert "ended early" in repr(fitted)
        assert fitted.weights.tobytes() == three.weights.tobytes()
        assert fitted.history.drop(["seconds", "bytes_sent", "bytes_received"]).equals(
            three.history.drop(["seconds", "bytes_sent", "bytes_received"])
        )
        assert fitted.lost.num_rows == 0
        assert fitted.evaluation.num_rows == 4
        for party in CLIENTS:
            charged = fed.budgets()[party][0].exact_spent
            assert charged == (1 if party == "cdg" else 2)
            uses = [d.charge.uses for d in result.spent[party] if isinstance(d.charge, Exact)]
            assert sum(uses) == charged
    cases()


def test_an_owner_who_freezes_its_data_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def freeze(message: object) -> object:
        with ps.Owner(tmp_path / "bru.sqlite") as owner:
            owner.freeze("t", reason="a question")
        return message

    goes_wrong(monkeypatch, {"ams": at_update(2, freeze)})  # type: ignore[arg-type]
    with embedded(store=tmp_path) as fed:
        fitted = plan(fed).release().value
        assert fitted.ended == "the budget of bru ended before round 3"
        assert fitted.history.num_rows == 2


def test_phases_inside_a_phase_are_told_with_it() -> None:
    from privsdk.protocol.roles import checkpoint

    (step,) = during("round 3", checkpoint("adding", 1, 2))
    assert step.progress is not None
    assert tuple(step.progress) == ("round 3, adding", 1, 2, None)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    waits = CallerTimeouts(call_s=5.0, stragglers_s=1.0)  # for the last word of a process that is stopped
    folder = tmp_path_factory.mktemp("troubled")
    with Cluster(folder, tables(), policy=POLICY, budget=BUDGET, timeouts=waits) as running:
        yield running


def restart(cluster: Cluster, name: str, **environment: str) -> None:
    cluster.stop(name)
    cluster.start(name, **environment)
    cluster.await_address(name)


@CLAIM
@pytest.mark.parametrize("point", [*lengthy(FailPoint.PAY_BEFORE), FailPoint.PAY_INSIDE, FailPoint.PAY_AFTER])
def test_a_killed_client_over_the_network(cluster: Cluster, point: FailPoint, cases: Cases) -> None:
    restart(cluster, "bru", PRIVSDK_FAILPOINT=f"{point}:2")
    with ps.connect(cluster.federation) as fed:
        before = fed.budgets()
        result = plan(fed, deadline_s=60.0).release(timeout_s=120)
        assert cluster.await_end("bru") == SIGKILL
        assert [(row["party"], row["round"]) for row in result.value.lost.to_pylist()] == [("bru", 2)]
        assert result.value.history.column("clients").to_pylist() == [4, 3, 3, 3, 3, 3]
        assert [d.charge.uses for d in result.spent["bru"]] == [
            answers(BEFOREHAND + 6 * ROUND)
        ]  # it cannot say: the most
    restart(cluster, "bru")
    with ps.connect(cluster.federation) as fed:
        charged = fed.budgets()["bru"][0].exact_spent - before["bru"][0].exact_spent
        assert charged == answers(BEFOREHAND + (2 if point is FailPoint.PAY_AFTER else 1) * ROUND)
    cases()


@CLAIM
def test_a_stopped_process_over_the_network(cluster: Cluster, cases: Cases) -> None:
    process = cluster._processes["dub"]
    with ps.connect(cluster.federation) as fed:
        run = plan(fed, rounds=80, deadline_s=5.0).start()
        until(lambda: bool(run.progress.curve))
        process.send_signal(signal.SIGSTOP)
        try:
            fitted = run.result(timeout_s=300).value
        finally:
            process.send_signal(signal.SIGCONT)
        (lost,) = fitted.lost.to_pylist()
        assert lost["party"] == "dub"
        assert 1 <= lost["round"] <= 80
        assert fitted.history.num_rows == 80
    with ps.connect(cluster.federation) as fed:
        until(lambda: all(d.running == 0 for d in fed._describe().values()))
    cases()


@pytest.mark.claim("faults: a run with a frozen party is cancelled without waiting for that party")
def test_a_run_with_a_frozen_party_is_cancelled(cluster: Cluster, cases: Cases) -> None:
    process = cluster._processes["dub"]
    with ps.connect(cluster.federation) as fed:
        run = plan(fed, rounds=5000, deadline_s=100.0).start()
        until(lambda: bool(run.progress.curve))
        process.send_signal(signal.SIGSTOP)
        try:
            run.cancel()
            with pytest.raises(Cancelled):
                run.result(timeout_s=15)  # well before a call to the frozen party is given up
            assert run.state == "cancelled"
        finally:
            process.send_signal(signal.SIGCONT)
    with ps.connect(cluster.federation) as fed:
        until(lambda: all(d.running == 0 for d in fed._describe().values()))
    cases()


def test_a_coordinator_that_dies_is_named(cluster: Cluster) -> None:
    restart(cluster, LEADER, PRIVSDK_FAILPOINT=f"{FailPoint.SEND_BEFORE}:30")
    with ps.connect(cluster.federation) as fed:
        with pytest.raises(PeerError, match=LEADER) as error:
            plan(fed, rounds=50).release(timeout_s=120)
        assert error.value.phase.startswith("round ")
        assert error.value.run_id
    restart(cluster, LEADER)

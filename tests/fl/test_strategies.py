"""Each strategy equals its paper's algorithm, written anew in float64, through the real roles and either averages."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import numpy as np
import papers
import pyarrow as pa
import pytest
from claims import Cases
from federating import Held, Run, course_of, each, federate, grid, here, skewed

from privsdk.crypto.sums.base import UNITS, Contribution, PlainSum
from privsdk.errors import InvalidArgument, PeerGone, ProtocolViolation
from privsdk.fl import FedAdam, FedAvg, FedBuff, FedProx, FedYogi, Median, Scaffold, TrimmedMean
from privsdk.fl.averages import VALUES, ClientUpdate, Each
from privsdk.fl.fedavg import LocalInput
from privsdk.fl.loops.course import ClientInput, Course, Round, TrainingResult, TrainingStatistics
from privsdk.fl.models.network import Output, Rows
from privsdk.fl.models.training import Pull
from privsdk.fl.parameters import Strategies
from privsdk.protocol.roles import Role, ask, gather, tell
from privsdk.testing import together

pytestmark = pytest.mark.usefixtures("_last_model")

EXACT = pytest.mark.claim(
    "exactness: each fl strategy equals its paper's algorithm to float rounding (float64 reference)"
)
SIZES = [12, 30, 7, 21, 16]
FEATURES = 3
AVERAGES = {"each": each(), "grid": grid}

SETTINGS: dict[str, dict[str, Any]] = {
    "full batches, everyone": {"steps": 5},
    "mini-batches, everyone": {"epochs": 2, "batch_size": 8},
    "full batches, three of five": {"steps": 5, "participation": 0.6},
    "mini-batches, two of five": {"epochs": 2, "batch_size": 8, "participation": 0.4},
}


def told(rows: list[Rows], output: Output) -> list[papers.Client]:
    return [
        papers.Client(
            np.column_stack([r.x.astype(float), np.ones(len(r))]), r.y.astype(float), output is Output.SIGMOID, []
        )
        for r in rows
    ]


def setting_of(course: Course) -> papers.Setting:
    s = course.schedule
    return papers.Setting(s.learning_rate, s.steps, s.epochs, s.batch_size, course.seed)


def numbers(run: Run) -> list[list[int]]:
    return [[int(name[1:]) for name in names] for names in run.chosen()]


def away(found: Any, wanted: Any, allowed: float) -> float:
    """How far apart they are, in what rounding may do; beyond 1 it is not rounding."""
    return float(np.linalg.norm(found - wanted) / allowed)


Reference = Callable[[list[papers.Client], list[list[int]], papers.Setting], Any]
SYNCHRONOUS: dict[str, tuple[Strategies, Reference]] = {
    "FedAvg": (FedAvg(), lambda c, chosen, s: papers.fedavg(c, chosen, s)[0]),
    "FedProx": (FedProx(mu=0.7), lambda c, chosen, s: papers.fedavg(c, chosen, s, mu=0.7)[0]),
    "FedProx(0)": (FedProx(mu=0.0), lambda c, chosen, s: papers.fedavg(c, chosen, s)[0]),
    "Scaffold": (Scaffold(), lambda c, chosen, s: papers.scaffold(c, chosen, s)[0]),
    "Scaffold(0.7)": (Scaffold(eta_g=0.7), lambda c, chosen, s: papers.scaffold(c, chosen, s, 0.7)[0]),
    "FedAdam": (FedAdam(eta=0.05), lambda c, chosen, s: papers.fedopt(c, chosen, s, "adam", 0.05, 0.9, 0.99, 1e-3)),
    "FedYogi": (
        FedYogi(eta=0.1, beta1=0.5, beta2=0.8, tau=0.01),
        lambda c, chosen, s: papers.fedopt(c, chosen, s, "yogi", 0.1, 0.5, 0.8, 0.01),
    ),
    "Median": (Median(), lambda c, chosen, s: papers.robust(c, chosen, s, papers.middle)),
    "TrimmedMean(0.2)": (
        TrimmedMean(beta=0.2),
        lambda c, chosen, s: papers.robust(c, chosen, s, papers.without_extremes(0.2)),
    ),
    "TrimmedMean(0.4)": (
        TrimmedMean(beta=0.4),
        lambda c, chosen, s: papers.robust(c, chosen, s, papers.without_extremes(0.4)),
    ),
}


@EXACT
@pytest.mark.parametrize("name", SYNCHRONOUS)
@pytest.mark.rounding
def test_a_strategy_equals_its_paper(name: str, cases: Cases) -> None:
    strategy, reference = SYNCHRONOUS[name]
    furthest = 0.0
    for setting, how, output in product(SETTINGS, AVERAGES, (Output.IDENTITY, Output.SIGMOID)):
        if strategy.each and how != "each":
            continue
        clients = skewed(3, SIZES, FEATURES, output=output)
        course = course_of(strategy, FEATURES, output=output, rounds=8, fewest=2, **SETTINGS[setting])
        run = federate(clients, course, AVERAGES[how])
        theirs = told(clients, output)
        wanted = reference(theirs, numbers(run), setting_of(course))
        found = away(run.trained.weights, wanted, papers.rounding(theirs, setting_of(course), wanted))
        assert found < 1, (setting, how, output)
        assert len(run.weights) == len(clients)
        assert all(weights.tolist() == run.trained.weights.tolist() for weights in run.weights.values())
        furthest = max(furthest, found)
        cases()
    cases.say(f"{name}: {furthest:.2%} of the bound")


@EXACT
@pytest.mark.parametrize("participation", [1.0, 0.4])
@pytest.mark.rounding
def test_the_servers_control_variate_stays_the_mean_of_the_clients(
    participation: float, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[Any] = []
    step = Scaffold.step

    def watched(self: Scaffold, *given: Any) -> Any:
        states.append(step(self, *given))
        return states[-1]

    monkeypatch.setattr(Scaffold, "step", watched)
    clients = skewed(4, SIZES, FEATURES)
    course = course_of(Scaffold(), FEATURES, rounds=12, fewest=2, participation=participation)
    run = federate(clients, course, each())
    theirs, s = told(clients, Output.IDENTITY), setting_of(course)
    x, c, c_i = papers.scaffold(theirs, numbers(run), s)
    # c is a mean of (x - y_i) / (K eta_l), which nearly cancel: it is as exact as x is, and not by its own size
    assert away(states[-1]["c"], c, papers.rounding(theirs, s, x) / (s.steps * s.rate)) < 1
    assert np.mean(c_i, axis=0) == pytest.approx(c, abs=1e-12)  # as algorithm 1 has it, whoever was drawn
    cases()


@pytest.mark.rounding
def test_a_lost_clients_last_control_variate_stays_in_the_mean() -> None:
    clients = skewed(4, SIZES, FEATURES)
    course = course_of(Scaffold(), FEATURES, rounds=10)
    run = federate(clients, course, each(), leaving={"p3": 4})
    assert run.trained.lost["p3"][0] == 4
    chosen = [[0, 1, 2, 3, 4]] * 3 + [[0, 1, 2, 4]] * 7  # as if it were never drawn again, of N = 5
    theirs = told(clients, Output.IDENTITY)
    x, _, _ = papers.scaffold(theirs, chosen, setting_of(course))
    assert away(run.trained.weights, x, papers.rounding(theirs, setting_of(course), x)) < 1


@EXACT
@pytest.mark.parametrize(("size", "eta_g"), [(1, 1.0), (2, 1.0), (3, 0.6), (7, 1.0)])
@pytest.mark.parametrize("slow", [{}, {"p1": 15}, {"p0": 30, "p3": 10}])
@pytest.mark.rounding
def test_fedbuff_equals_its_paper_in_the_order_in_which_updates_came(
    size: int, eta_g: float, slow: dict[str, int], cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[int] = []
    first = type(each()(0)).first

    def watched(self: Any, names: Any, length: int) -> Role[Any]:
        arrived = yield from first(self, names, length)
        order.extend(int(name[1:]) for name in arrived.updates)
        return arrived

    monkeypatch.setattr(type(each()(0)), "first", watched)
    clients = skewed(6, [12, 30, 7, 21], FEATURES)
    course = course_of(FedBuff(K=size, eta_g=eta_g), FEATURES, rounds=9, epochs=1, batch_size=8)
    run = federate(clients, course, each(), slow=slow)
    theirs = told(clients, Output.IDENTITY)
    wanted, staleness = papers.fedbuff(theirs, order, setting_of(course), size, eta_g)
    assert len(order) == 9 * size
    assert away(run.trained.weights, wanted, papers.rounding(theirs, setting_of(course), wanted)) < 1
    assert [told["staleness"] for told in run.trained.rounds] == pytest.approx(staleness)
    assert max(staleness) > 0 or size == 7
    assert all(weights.tolist() == run.trained.weights.tolist() for weights in run.weights.values())
    again = federate(clients, course, each(), slow=slow)
    assert again.trained.weights.tolist() == run.trained.weights.tolist()  # in one thread the order is always the same
    for name, turns in slow.items():
        fastest = max(order.count(i) for i in range(4))
        assert order.count(int(name[1:])) < fastest, f"{turns} turns more, and as many updates"
    cases()


def test_fedbuff_goes_on_without_a_lost_client_and_names_it() -> None:
    clients = skewed(6, [12, 30, 7], FEATURES)
    course = course_of(FedBuff(K=2), FEATURES, rounds=6, fewest=2)
    run = federate(clients, course, each(), leaving={"p1": 3})
    assert set(run.trained.lost) == {"p1"}
    assert len(run.trained.rounds) == 6
    assert run.weights["p1"] is None
    with pytest.raises(PeerGone, match=r"2 clients are left in step \d, and 3 are asked for \(p1: "):
        federate(clients, course._replace(fewest=3), each(), leaving={"p1": 3})


def test_fedbuff_hears_out_who_still_trains_at_the_end() -> None:
    clients = skewed(6, [12, 30, 7], FEATURES)
    course = course_of(FedBuff(K=2), FEATURES, rounds=3)
    run = federate(clients, course, each(), slow={"p2": 50})
    assert run.trained.lost == {}
    assert run.weights["p2"].tolist() == run.trained.weights.tolist()
    stalled = federate(clients, course, each(), leaving={"p2": 1})
    assert set(stalled.trained.lost) == {"p2"}


@pytest.mark.parametrize("made", [lambda u: u[:-1], lambda u: u[:0]], ids=["too short", "empty"])
def test_fedbuff_names_a_client_whose_update_does_not_fit_and_goes_on(made: Callable[[Any], Any]) -> None:
    clients = skewed(6, [12, 30, 7], FEATURES)
    course = course_of(FedBuff(K=2), FEATURES, rounds=3)
    run = federate(clients, course, each(), poisoned={"p1": made})
    assert set(run.trained.lost) == {"p1"}
    assert isinstance(run.trained.lost["p1"][1], ProtocolViolation)
    assert "update 1" in run.trained.lost["p1"][1].message
    assert run.weights["p1"] is None
    assert run.weights["p0"].tolist() == run.trained.weights.tolist()


def test_fedbuffs_client_sends_no_more_updates_than_are_paid_for() -> None:
    rows = skewed(6, [12], FEATURES)[0]
    algorithm = FedBuff(K=3)
    course = course_of(algorithm, FEATURES, rounds=2)

    def asking(more: int) -> Role[int]:
        yield from gather(["p0"], Contribution)
        yield from tell("p0", TrainingStatistics(first=0, table=pa.table([pa.array([12])], schema=UNITS)))
        model = pa.table([pa.array(np.zeros(4, np.float32))], schema=VALUES)
        for _ in range(more):
            yield from ask("p0", Round(number=0, parties=("p0",), last=False, table=model), ClientUpdate)
        yield from tell("p0", Round(number=2, parties=("p0",), last=True, table=model))
        return more

    def asked() -> Role[Any]:
        given = ClientInput(
            prepared=Held(rows),
            me="p0",
            clients=("p0",),
            coordinator="k",
            sum_=PlainSum(coordinator="k", within_s=1),
            averages=Each(coordinator="k", within_s=1),
            train=here,
        )
        return algorithm.loop.client(course, given)

    assert together({"k": asking(6), "p0": asked()})["p0"].tolist() == [0.0] * 4
    with pytest.raises(ProtocolViolation, match="more than the 6 updates of all steps together"):
        together({"k": asking(7), "p0": asked()})


def test_a_loop_that_takes_updates_one_by_one_refuses_a_sum() -> None:
    with pytest.raises(InvalidArgument, match="one by one"):
        federate(skewed(6, [12, 30], FEATURES), course_of(FedBuff(K=2), FEATURES, rounds=2), grid)


def test_fedbuff_ends_where_nobody_sends_anything_in_time() -> None:
    clients = skewed(6, [12, 30], FEATURES)
    course = course_of(FedBuff(K=2), FEATURES, rounds=3)
    with pytest.raises(PeerGone, match=r"no client sent an update in time \(waited for p0, p1\)"):
        federate(clients, course, each(), stalled={"p0", "p1"})


@pytest.mark.parametrize("strategy", [FedBuff(K=2), FedAvg(), Scaffold()])
def test_a_client_may_coordinate(strategy: Strategies) -> None:
    clients = skewed(6, [12, 30, 7], FEATURES)
    course = course_of(strategy, FEATURES, rounds=9)
    hosted = federate(clients, course, each(host="p1"), host="p1")
    ends = list(hosted.weights.values())
    assert all(end.tolist() == hosted.trained.weights.tolist() for end in ends)
    shares = [set(told["update_bytes"]) for told in hosted.trained.rounds]
    assert set.union(*shares) == {"p0", "p1", "p2"}  # with FedBuff nobody's updates wait behind its own
    if isinstance(strategy, FedBuff):
        counted = [sum(name in share for share in shares) for name in ("p0", "p1", "p2")]
        assert max(counted) - min(counted) <= 2
    else:
        apart = federate(clients, course, each())
        assert apart.trained.weights.tolist() == hosted.trained.weights.tolist()


@pytest.mark.parametrize("participation", [0.2, 0.5, 0.79])
@pytest.mark.parametrize("fewest", [1, 3])
def test_clients_are_drawn_by_the_public_seed(participation: float, fewest: int) -> None:
    clients = skewed(8, [6] * 7, 2)

    def drawn(seed: int) -> list[list[str]]:
        course = course_of(FedAvg(), 2, rounds=12, participation=participation, fewest=fewest, seed=seed, steps=1)
        return federate(clients, course, grid).chosen()

    chosen = drawn(5)
    assert {len(names) for names in chosen} == {max(fewest, round(participation * 7))}
    assert chosen == drawn(5)
    assert chosen != drawn(6)
    assert len({name for names in chosen for name in names}) > len(chosen[0])
    for number, names in enumerate(chosen):  # anybody can draw them
        rng = np.random.default_rng([5, 1 << 32, number])
        wanted = sorted(rng.choice(7, len(names), replace=False))
        assert names == [f"p{i}" for i in wanted]


def test_rounds_of_fewer_than_asked_for_end_the_run_also_where_clients_are_drawn() -> None:
    clients = skewed(8, [6] * 5, 2)
    course = course_of(FedAvg(), 2, rounds=6, participation=0.4, fewest=2)
    leaving = federate(clients, course, each()).chosen()[0][0]
    with pytest.raises(PeerGone, match="1 clients are left in round 1, and 2 are asked for"):
        federate(clients, course, each(), leaving={leaving: 1})


BAD: list[Callable[[], Any]] = [
    lambda: FedProx(mu=-0.1),
    lambda: FedProx(mu=float("nan")),
    lambda: FedProx(mu=float("inf")),
    lambda: Scaffold(eta_g=0),
    lambda: Scaffold(eta_g=float("nan")),
    lambda: FedAdam(eta=0),
    lambda: FedAdam(beta1=1),
    lambda: FedAdam(beta2=-0.1),
    lambda: FedAdam(tau=0),
    lambda: FedYogi(tau=float("nan")),
    lambda: FedYogi(beta2=1.0),
    lambda: TrimmedMean(beta=0),
    lambda: TrimmedMean(beta=0.5),
    lambda: TrimmedMean(beta=float("nan")),
    lambda: FedBuff(K=0),
    lambda: FedBuff(eta_g=0),
]


@pytest.mark.parametrize("made", BAD)
def test_parameters_out_of_range_are_refused(made: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        made()
    assert raised.value.hint


@pytest.mark.parametrize("strategy", [strategy for strategy, _ in SYNCHRONOUS.values()] + [FedBuff(K=3)])
def test_strategies_travel_in_requests(strategy: Strategies) -> None:
    assert msgspec.convert(msgspec.to_builtins(strategy), type=Strategies) == strategy


def test_a_control_variate_of_another_size_is_refused() -> None:
    def train(pull: Pull) -> Role[Any]:
        raise AssertionError("trains without a control variate")

    start = np.zeros(4, np.float32)
    role = Scaffold().local(LocalInput(start, start[:3], train, 5, 0.1, start[:0]))
    with pytest.raises(ProtocolViolation, match="no control variate"):
        next(role)


def test_of_few_clients_at_least_one_or_two_remain() -> None:
    trimmed = TrimmedMean(beta=0.49)
    assert [trimmed.trimmed(m) for m in (1, 2, 3, 4, 5, 10)] == [0, 0, 1, 1, 2, 4]
    assert TrimmedMean(beta=0.07).trimmed(100) == 7
    assert TrimmedMean(beta=0.3).trimmed(10) == 3
    assert TrimmedMean(beta=0.25).trimmed(10) == 3


def test_a_run_that_ends_tells_its_rounds() -> None:
    run: TrainingResult = federate(skewed(8, [6, 6], 2), course_of(FedBuff(K=1), 2, rounds=2), each()).trained
    assert [told["round"] for told in run.rounds] == [1, 2]
    assert [told["clients"] for told in run.rounds] == [1, 1]
    assert [told["rows"] for told in run.rounds] == [6, 6]

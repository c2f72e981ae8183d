"""What private trainings cost: known figures, rounds and instalments, mechanisms' own deltas, forecasts, and fl.fit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from claims import Cases, Counts, lengthy
from private_training import table

import privsdk as ps
from privsdk import fl
from privsdk.errors import BudgetExceeded, InvalidArgument, PolicyRefused
from privsdk.fl.models.training import Schedule
from privsdk.fl.operation import Fit
from privsdk.fl.privacy.charges import Forecast, charge_of, check_unit, times, unit_of
from privsdk.fl.privacy.charges import epsilon as forecast_epsilon
from privsdk.fl.privacy.levels import PartyLevel, RecordLevel
from privsdk.fl.privacy.party_level import NoiseShares
from privsdk.governance.charges import Charge, DiscreteLaplace, Exact, Gaussian, ZeroConcentrated
from privsdk.governance.policy import Disclosure, Grant, Policy
from privsdk.party.budget.accounting import Account, renyi_epsilon
from privsdk.party.budget.caps import _scaled
from privsdk.protocol.operation import operation_of

MODEL = fl.Logistic(features={"a": (-1, 1), "b": (-1, 1)})
RECORDS = RecordLevel(clip=1.0, noise_multiplier=2.0, sampling_rate=0.05)
PARTIES = PartyLevel(clip=0.5, noise_multiplier=8.0)
DELTA = 1e-6


@pytest.mark.parametrize(
    ("sigma", "epochs", "rounds", "renyi", "losses"),
    [(1.12, 60, 158, 2.52, 2.31), *lengthy((0.6, 30, 79, 8.78, 7.69), (1.2, 10, 33, 0.93, 0.79))],
)
@pytest.mark.claim(
    "DP-SGD of MNIST (60,000 rows, batch 256, delta 1e-5) in rounds of fl.fit: 2.52/2.31, 8.78/7.69, 0.93/0.79"
)
def test_mnist(sigma: float, epochs: int, rounds: int, renyi: float, losses: float, cases: Cases) -> None:
    steps = epochs * 60_000 // 256 // rounds
    assert steps * rounds == epochs * 60_000 // 256
    schedule = Schedule(steps=steps, batch_size=256, learning_rate=0.1)
    privacy = RecordLevel(clip=1.0, noise_multiplier=sigma, sampling_rate=256 / 60_000)
    each = charge_of(privacy, schedule, size=26_010, parts=1, clients=1, fewest=1)
    assert round(renyi_epsilon({each: rounds}, 1e-5), 2) == renyi
    for account in (Account({each: rounds}), Account({times(each, rounds): 1})):  # in instalments, and at once
        assert round(account.epsilon(1e-5), 2) == losses
        cases()
    assert forecast_epsilon(times(each, rounds), 1e-5) >= account.epsilon(1e-5)


def test_a_whole_training_costs_its_rounds() -> None:
    schedule = Schedule(steps=7, batch_size=32, learning_rate=0.1)
    for privacy in (RECORDS, PARTIES):
        each = charge_of(privacy, schedule, size=500, parts=2, clients=4, fewest=4)
        assert Account({each: 12}).epsilon(DELTA) == pytest.approx(Account({times(each, 12): 1}).epsilon(DELTA), 1e-6)
        assert each.delta > 0
        assert times(each, 12).delta == pytest.approx(12 * each.delta, rel=1e-9, abs=0)
        account = Account({})
        for _ in range(12):
            account = account.plus({each: 1})
            assert account.within(100.0, DELTA)
        assert account.epsilon(DELTA) == pytest.approx(Account({each: 12}).epsilon(DELTA), 1e-6)


# A mechanism's own delta


def test_charges_without_an_own_delta_are_written_as_before() -> None:
    stored = [
        b'{"type":"gaussian","noise_multiplier":1.5,"sampling_rate":1.0,"steps":1}',
        b'{"type":"gaussian","noise_multiplier":1.5,"sampling_rate":0.25,"steps":3}',
        b'{"type":"zcdp","rho":0.5}',
    ]
    made: list[Charge] = [
        Gaussian(noise_multiplier=1.5),
        Gaussian(noise_multiplier=1.5, sampling_rate=0.25, steps=3),
        ZeroConcentrated(rho=0.5),
    ]
    for body, charge in zip(stored, made, strict=True):
        read = msgspec.json.decode(body, type=Charge)
        assert read == charge
        assert hash(read) == hash(charge)
        assert msgspec.json.encode(read) == msgspec.json.encode(charge) == body
        own = msgspec.structs.replace(charge, delta=2.0**-60)
        assert msgspec.json.decode(msgspec.json.encode(own), type=Charge) == own != charge


@pytest.mark.claim("accounts: a mechanism's own delta is taken from that of the budget, once for each time it was used")
@pytest.mark.parametrize(
    "charge",
    [
        Gaussian(noise_multiplier=5.0, delta=2e-8),
        Gaussian(noise_multiplier=3.0, sampling_rate=0.01, steps=4, delta=2e-8),
        ZeroConcentrated(rho=0.01, delta=2e-8),
    ],
)
def test_own_deltas(charge: Charge, cases: Cases, counts: Counts) -> None:
    bare = msgspec.structs.replace(charge, delta=0.0)
    for count in counts((5,), (1, 5, 30), (1, 5, 30)):
        found = Account({charge: count}).epsilon(DELTA)
        assert found == pytest.approx(Account({bare: count}).epsilon(DELTA - count * 2e-8), rel=1e-9)
        assert found > Account({bare: count}).epsilon(DELTA)
        cases()
        for account in (Account({charge: count}), Account({}).plus({charge: count})):  # before and after it is asked
            assert account.within(found * 1.0001, DELTA)
            assert not account.within(found * 0.999, DELTA)
    spent = Account({charge: 50})
    assert spent.epsilon(DELTA) == math.inf
    assert not spent.within(1e6, DELTA)
    assert not Account({charge: 50}).within(1e6, DELTA)
    fits = Account({}).times(Counter({charge: 1}), 1e6, DELTA, 1000)
    assert fits == 49
    mixed = Account({charge: 3, DiscreteLaplace(scale=10, sensitivity=1): 2})
    plain = Account({bare: 3, DiscreteLaplace(scale=10, sensitivity=1): 2})
    assert mixed.epsilon(DELTA) == pytest.approx(plain.epsilon(DELTA - 6e-8), rel=1e-9)


def test_a_smaller_request_keeps_the_own_delta() -> None:
    tally: Counter[Charge] = Counter({Gaussian(noise_multiplier=2.0, steps=3, delta=1e-9): 1})
    tally[ZeroConcentrated(rho=1.0, delta=1e-10)] += 2
    assert set(_scaled(tally, 0.5)) == {
        Gaussian(noise_multiplier=4.0, steps=3, delta=1e-9),
        ZeroConcentrated(rho=0.25, delta=1e-10),
    }


@pytest.mark.parametrize("delta", [-1e-9, 1.0, math.nan])
def test_own_deltas_that_are_none_are_refused(delta: float) -> None:
    with pytest.raises(InvalidArgument):
        Gaussian(noise_multiplier=1.0, delta=delta)
    with pytest.raises(InvalidArgument):
        ZeroConcentrated(rho=1.0, delta=delta)


# Forecasts


@pytest.mark.claim("previews of trainings: their epsilon is dp-accounting's by RDP or at most 15% above, never below")
def test_forecasts_against_dp_accounting(cases: Cases) -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        charge: Charge = Gaussian(
            noise_multiplier=float(rng.uniform(0.5, 8)),
            sampling_rate=float(rng.choice([1.0, 10 ** rng.uniform(-3.5, -0.3)])),
            steps=int(10 ** rng.uniform(0, 3.5)),
        )
        if rng.random() < 0.3:
            charge = ZeroConcentrated(rho=float(10 ** rng.uniform(-4, 1)))
        ours, theirs = forecast_epsilon(charge, DELTA), renyi_epsilon({charge: 1}, DELTA)
        assert theirs * (1 - 1e-9) <= ours
        assert ours <= theirs * 1.15 or theirs > 20  # far off it is looser, where neither says anything
        cases()
    spent = Gaussian(noise_multiplier=1.0, delta=1e-6)
    assert forecast_epsilon(spent, DELTA) == math.inf


def test_a_forecast_is_against_rounds_noise_and_rate() -> None:
    schedule = Schedule(steps=5, batch_size=32, learning_rate=0.1)
    forecast = Forecast(RECORDS, 40, lambda p: charge_of(p, schedule, size=10, parts=1, clients=3, fewest=2))
    rows = forecast.table(DELTA).to_pylist()
    assert {row["rounds"] for row in rows} == {10, 20, 40}
    assert {row["noise_multiplier"] for row in rows} == {1.0, 2.0, 4.0}
    assert {row["sampling_rate"] for row in rows} == {0.025, 0.05, 0.1}
    epsilons = {(r["rounds"], r["noise_multiplier"], r["sampling_rate"]): r["epsilon"] for r in rows}
    assert epsilons[10, 2.0, 0.05] < epsilons[20, 2.0, 0.05] < epsilons[40, 2.0, 0.05]
    assert epsilons[40, 4.0, 0.05] < epsilons[40, 2.0, 0.05] < epsilons[40, 1.0, 0.05]
    assert epsilons[40, 2.0, 0.025] < epsilons[40, 2.0, 0.05] < epsilons[40, 2.0, 0.1]
    whole = times(charge_of(RECORDS, schedule, size=10, parts=1, clients=3, fewest=2), 40)
    assert epsilons[40, 2.0, 0.05] >= Account({whole: 1}).epsilon(DELTA)
    rounds = Forecast(PARTIES, 3, lambda p: charge_of(p, schedule, size=10, parts=1, clients=3, fewest=2))
    assert rounds.table(DELTA).column_names == ["rounds", "noise_multiplier", "epsilon"]


def test_what_is_off_the_grid_is_left_out_of_a_forecast() -> None:
    schedule = Schedule(steps=1, learning_rate=0.1)
    smallest = next(
        z
        for z in 2.0 ** np.arange(-30, 0, 0.25)
        if _possible(PartyLevel(clip=1.0, noise_multiplier=float(z)), clients=3, fewest=3, length=3)
    )
    privacy = PartyLevel(clip=1.0, noise_multiplier=float(smallest))
    forecast = Forecast(privacy, 4, lambda p: charge_of(p, schedule, size=3, parts=1, clients=3, fewest=3))
    assert min(forecast.table(DELTA).column("noise_multiplier").to_pylist()) == smallest


def _possible(privacy: PartyLevel, *, clients: int, fewest: int, length: int) -> bool:
    try:
        NoiseShares(privacy, clients=clients, fewest=fewest, length=length)
    except InvalidArgument:
        return False
    return True


# fl.fit


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    tables = {name: {"people": table(np.random.default_rng(i), 300)} for i, name in enumerate("abc")}
    with ps.embedded({**tables, "helper": {}}, store=None, quiet=True, budget=ps.Budget(epsilon=8.0)) as opened:
        yield opened


@pytest.mark.claim("fl.fit: a private training is charged what its plan says, and tells no losses, rows or evaluations")
@pytest.mark.parametrize("privacy", [PARTIES, RECORDS], ids=["party", "record"])
def test_private_trainings(fed: ps.Federation, privacy: PartyLevel | RecordLevel, cases: Cases) -> None:
    size = 20 if isinstance(privacy, RecordLevel) else None
    plan = fl.fit(MODEL, fed.tables("people"), label="label", rounds=3, local_steps=4, batch_size=size, privacy=privacy)
    (debit,) = plan.price["a"]
    (each,) = operation_of(plan.request).per_round(1)["a"]
    assert times(each.charge, 3) == debit.charge  # type: ignore[arg-type]
    epsilon = Account({debit.charge: 1}).epsilon(DELTA)
    preview = plan.preview()
    assert preview.forecast is not None
    assert max(r["epsilon"] for r in preview.forecast.to_pylist() if r["rounds"] == 3) > epsilon * (1 - 1e-9)
    assert "epsilon at delta 1e-06, at most" in repr(preview)
    result = plan.release()
    fitted = result.value
    assert result.spent == dict.fromkeys("abc", (each,) * 3)
    for party in "abc":
        (balance,) = fed.budgets()[party]
        assert balance.epsilon_spent == pytest.approx(epsilon)
        assert balance.exact_spent == 0
        cases()
    assert fitted.history["loss"].to_pylist() == [None] * 3
    assert "rows" not in fitted.history.column_names
    assert fitted.evaluation["accuracy"].to_pylist() == fitted.evaluation["rows"].to_pylist() == [None] * 3
    assert np.isfinite(fitted.weights).all()
    assert fitted.weights.any()
    assert "3 rounds" in repr(fitted)


def test_two_trainings_have_other_noise(fed: ps.Federation) -> None:
    weights = [
        fl.fit(MODEL, fed.tables("people"), label="label", rounds=1, privacy=PARTIES).release().value.weights
        for _ in range(2)
    ]
    assert not np.any(weights[0] == weights[1])


def test_a_training_beyond_the_budget_is_refused(fed: ps.Federation) -> None:
    privacy = PartyLevel(clip=1.0, noise_multiplier=0.5)
    with pytest.raises(BudgetExceeded):
        fl.fit(MODEL, fed.tables("people"), label="label", rounds=30, privacy=privacy).release()
    assert all(balance.epsilon_spent == 0 for (balance,) in (fed.budgets()[party] for party in "abc"))


def test_record_level_in_the_clear_needs_the_grant_of_updates(fed: ps.Federation) -> None:
    plan = fl.fit(
        MODEL, fed.tables("people"), label="label", local_steps=2, batch_size=20, aggregation="clear", privacy=RECORDS
    )
    with pytest.raises(PolicyRefused, match="model update"):
        plan.release()


def test_units_are_ids() -> None:
    """One row of each id at record level, all of them at party level: in both the dataset's own id."""
    people = table(np.random.default_rng(1), 300)
    budget = ps.Budget(epsilon=8.0, unit=ps.Unit(id="id", rows=2))
    tables = {name: {"people": people} for name in "abc"}
    with ps.embedded({**tables, "helper": {}}, store=None, quiet=True, budget=budget) as fed:
        handles = fed.tables("people")
        records = fl.fit(MODEL, handles, label="label", rounds=1, local_steps=2, batch_size=20, privacy=RECORDS)
        assert records.request.operands["a"].unit == ps.Unit(id="id", rows=1)
        parties = fl.fit(MODEL, handles, label="label", rounds=1, privacy=PARTIES)
        assert parties.request.operands["a"].unit.rows > 300
        records.release()
        parties.release()
        several = msgspec.structs.replace(records.request.operands["a"], unit=ps.Unit(id="id", rows=2))
        wrong = msgspec.structs.replace(records.request, operands={**records.request.operands, "a": several})
        with pytest.raises(InvalidArgument, match=r"a/people: 2 rows of one id would be sampled independently"):
            operation_of(wrong)


def test_units() -> None:
    assert unit_of(RECORDS, ps.Unit()) == unit_of(PARTIES, ps.Unit()) == ps.Unit()
    check_unit(PARTIES, ps.Unit(id="id", rows=5), where="a/people")
    with pytest.raises(InvalidArgument):
        check_unit(RECORDS, ps.Unit(id="id", rows=5), where="a/people")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"privacy": PARTIES, "aggregation": "clear"}, "only a share of what hides it"),
        ({"privacy": RECORDS, "local_epochs": 2, "batch_size": 20}, "counts steps on batches of a public size"),
        ({"privacy": RECORDS, "local_steps": 2}, "counts steps on batches of a public size"),
        ({"privacy": PartyLevel(clip=1.0, noise_multiplier=1.0, collusion=3)}, "no noise of others would be left"),
        ({"privacy": RECORDS, "batch_size": 1 << 17}, "batches of 131,072 rows"),
    ],
)
def test_what_breaks_the_guarantee_is_refused(fed: ps.Federation, options: dict[str, object], match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        fl.fit(MODEL, fed.tables("people"), label="label", **options)  # type: ignore[arg-type]


def test_encrypted_rounds_are_charged_for_all_clients_in_them(fed: ps.Federation) -> None:
    """A lost client ends an encrypted run, so the noise of all is there whatever `fewest` says."""
    plans = [
        fl.fit(
            MODEL,
            fed.tables("people"),
            label="label",
            rounds=1,
            fewest=fewest,
            aggregation="encrypted",
            privacy=PARTIES,
        )
        for fewest in (1, 3)
    ]
    assert plans[0].price == plans[1].price
    charge = Fit.parse(plans[0].request).round_charge(PARTIES)
    assert charge == NoiseShares(PARTIES, clients=3, fewest=3, length=3).charge


def test_without_privacy_a_round_costs_what_it_adds(fed: ps.Federation) -> None:
    plan = fl.fit(MODEL, fed.tables("people"), label="label", rounds=2)
    operation, debits = operation_of(plan.request), plan.price["a"]
    rounds = [operation.per_round(number).get("a", ()) for number in (1, 2)]
    assert operation.paid({"a": 2})["a"] == (*operation.reserved()["a"], *rounds[0], *rounds[1])
    assert [sum(d.charge.uses for d in paid if isinstance(d.charge, Exact)) for paid in rounds] == [0, 1]
    assert [str(debit.charge) for debit in debits] == ["2 exact disclosures (model rounds, one evaluation)"]
    assert isinstance(plan.price["a"][0].charge, Exact)
    assert plan.preview().forecast is None


def test_a_record_level_training_hides_how_few_rows_there_are() -> None:
    """At fewer than its minimum count a party refuses exact trainings; here the noise hides them."""
    tables = {name: {"people": table(np.random.default_rng(1), n)} for name, n in (("a", 2), ("b", 200), ("c", 200))}
    grant = Grant(table="people", columns={"*": (Disclosure.TRAINING_FEATURE, Disclosure.TRAINING_LABEL)})
    policy = Policy(operations=("fl.fit",), grants=(grant,), min_parties=2)
    with ps.embedded({**tables, "helper": {}}, store=None, quiet=True, policy=policy) as fed:
        options = {"label": "label", "rounds": 1, "local_steps": 2}
        weights = fl.fit(MODEL, fed.tables("people"), batch_size=20, privacy=RECORDS, **options).release().value.weights  # type: ignore[arg-type]
        assert weights.any()
        with pytest.raises(ps.errors.DataError, match="too few complete rows"):
            fl.fit(MODEL, fed.tables("people"), **options).release()  # type: ignore[arg-type]

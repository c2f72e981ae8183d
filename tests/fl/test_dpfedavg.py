"""Party-level privacy: bounded updates, noise in shares, and what a round then tells; wrong noise is found out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import opendp.prelude as dp
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from private_training import LOGISTIC, random_rows, train
from rounding import roundoff
from scipy.stats import chi2, chi2_contingency, norm

from privsdk.crypto.gaussian import discrete_gaussian, width
from privsdk.crypto.sums.base import Integers, PlainSum, Sum
from privsdk.errors import InvalidArgument
from privsdk.fl.averages import LARGEST, Update
from privsdk.fl.models.training import Schedule, Task, descend
from privsdk.fl.privacy.levels import PartyLevel
from privsdk.fl.privacy.party_level import FEWEST_STEPS, NoiseShares, NoisyOnGrid
from privsdk.testing import SeededEntropy, Sent

LEAST_P = 1e-4  # with fixed entropy a pass is a pass for ever


def shares(
    noise: float = 1.0, *, clients: int = 5, fewest: int = 4, collusion: int = 1, length: int = 3
) -> NoiseShares:
    privacy = PartyLevel(clip=0.5, noise_multiplier=noise, collusion=collusion)
    return NoiseShares(privacy, clients=clients, fewest=fewest, length=length)


def test_a_norm_that_floats_round_down_to_the_clip_is_found_in_integers() -> None:
    grid = shares()
    grid.clip_units, grid.unit = 1 << 27, 2.0**-27
    vector = np.array([1.0, 2.0**-27], np.float32)
    assert float(np.linalg.norm(vector.astype(np.float64) / grid.unit)) == grid.clip_units  # and a unit beside it
    units = grid.clipped(vector)
    assert sum(int(unit) ** 2 for unit in units) <= 1 << 54
    assert units[0] == pytest.approx(1 << 27, rel=1e-7)


entries = st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=40)


@pytest.mark.claim("DP-FedAvg: no update, however large, leaves a client with a norm above the clip, in integers")
@given(vector=entries, clip=st.floats(1e-6, 1e6), noise=st.floats(0.01, 50), clients=st.integers(2, 500))
def test_no_norm_is_above_the_clip(vector: list[float], clip: float, noise: float, clients: int) -> None:
    grid = NoiseShares(
        PartyLevel(clip=clip, noise_multiplier=noise), clients=clients, fewest=clients, length=len(vector)
    )
    units = grid.clipped(np.array(vector, np.float32))
    assert sum(int(unit) ** 2 for unit in units) <= grid.clip_units**2
    assert grid.unit * grid.clip_units == pytest.approx(clip)


@given(st.lists(st.floats(-0.09375, 0.09375, width=32), min_size=1, max_size=20))
def test_what_is_short_goes_in_as_it_is_but_for_less_than_a_unit(vector: list[float]) -> None:
    grid = shares()
    reals = np.array(vector, np.float32).astype(np.float64) / grid.unit
    units = grid.clipped(np.array(vector, np.float32))
    assert (np.abs(units) <= np.abs(reals)).all()
    assert (np.abs(reals - units) < 1).all()


def test_a_long_update_keeps_its_direction() -> None:
    grid = shares()
    units = grid.clipped(np.array([30.0, -40.0], np.float32))
    assert units / grid.clip_units == pytest.approx([0.6, -0.8], abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_not_finite_counts_as_zero(bad: float) -> None:
    assert not shares().clipped(np.array([1.0, bad], np.float32)).any()


@given(
    noise=st.floats(0.01, 50),
    clients=st.integers(2, 1000),
    data=st.data(),
)
def test_no_total_can_leave_its_bound(noise: float, clients: int, data: st.DataObject) -> None:
    """The cut is so far out that it is never met: beyond 13.31 standard deviations."""
    fewest = data.draw(st.integers(2, clients))
    grid = NoiseShares(PartyLevel(clip=1.0, noise_multiplier=noise), clients=clients, fewest=fewest, length=1)
    assert clients * grid.bound <= LARGEST
    assert grid.bound - grid.clip_units >= 13.31 * width(grid.sigma)
    assert grid.sigma >= FEWEST_STEPS
    assert grid.sigma / grid.clip_units * math.sqrt(fewest - 1) == pytest.approx(noise)


def test_the_cut_is_made() -> None:
    grid = shares()
    grid.bound = grid.clip_units + 1000
    assert np.abs(grid.noise(1000, SeededEntropy(b"cut"))).max() == 1000


@pytest.mark.claim(
    "DP-FedAvg: a round is charged for the noise of the fewest survivors less the colluders, replacing all"
)
@pytest.mark.parametrize(("clients", "fewest", "collusion"), [(2, 2, 1), (5, 5, 0), (10, 6, 2), (1000, 501, 100)])
@pytest.mark.parametrize("noise", [0.5, 1.0, 8.0])
def test_the_charge(clients: int, fewest: int, collusion: int, noise: float, cases: Cases) -> None:
    grid = shares(noise, clients=clients, fewest=fewest, collusion=collusion, length=235_000)
    guaranteed = (fewest - collusion) * (grid.sigma * grid.unit) ** 2  # of that many shares, and no other
    assert grid.charge.rho == pytest.approx((2 * 0.5) ** 2 / (2 * guaranteed), rel=1e-12)
    assert grid.charge.rho == pytest.approx(2 / noise**2, rel=1e-12)
    assert 0 < grid.charge.delta < 1e-10
    cases()


def test_a_sum_of_few_steps_costs_more_than_one_gaussian() -> None:
    """The theorem's second term, at widths where it can be seen."""
    grid = shares(length=10)
    grid.sigma, grid.clip_units = 0.6, 2
    tau = 10 * sum(math.exp(-2 * math.pi**2 * 0.36 * j / (j + 1)) for j in (1, 2))
    ratio = 4 / (math.sqrt(3) * 0.6)
    expected = min(ratio**2 + tau * 5, (ratio + tau * math.sqrt(10)) ** 2) / 2
    assert grid.charge.rho == pytest.approx(expected)
    assert grid.charge.rho > ratio**2 / 2 * 1.001


def law(deviation: float, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(norm.cdf((edges + 0.5) / deviation))


def fit(samples: Integers, deviation: float) -> float:
    """The p-value of the chi-square test against the discrete Gaussian of this width, at thousands of units a normal
    law to 2^-20."""
    edges = np.floor(np.arange(-3.5, 3.6, 0.5) * deviation)
    expected = np.diff(law(deviation, edges), prepend=0.0, append=1.0) * len(samples)
    observed = np.bincount(np.searchsorted(edges, samples), minlength=len(edges) + 1)
    return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


def noises(grid: NoiseShares, count: int, size: int) -> Integers:
    return sum(
        (grid.noise(size, SeededEntropy(f"{count} {i}".encode())) for i in range(count)), np.zeros(size, np.int64)
    )


@pytest.mark.claim("DP-FedAvg: the noise of any m - c parties together is the discrete Gaussian that is charged")
@pytest.mark.parametrize(("clients", "fewest", "collusion"), [(3, 3, 1), (5, 4, 1), (12, 10, 3)])
def test_shares_add_up(clients: int, fewest: int, collusion: int, cases: Cases, soak: bool) -> None:
    size = 2_000_000 if soak else 200_000
    grid = shares(1.3, clients=clients, fewest=fewest, collusion=collusion)
    total = noises(grid, fewest - collusion, size)
    guaranteed = 1.3 * grid.clip_units
    drawn = width(grid.sigma) * math.sqrt(fewest - collusion)
    assert guaranteed <= drawn <= guaranteed * 1.005
    assert fit(total, drawn) > LEAST_P
    assert abs(total.var() / drawn**2 - 1) < 5 * math.sqrt(2 / size)
    counts = np.bincount(total & 15, minlength=16)
    assert chi2.sf(((counts - size / 16) ** 2 / (size / 16)).sum(), 15) > LEAST_P
    cases(size)


@pytest.mark.claim("DP-FedAvg: the noise of a sum is OpenDP's discrete Gaussian")
def test_the_sum_is_that_of_opendp(cases: Cases, soak: bool) -> None:
    size = 300_000 if soak else 30_000
    grid = shares(clients=5, fewest=4)
    total = noises(grid, 3, size)
    deviation = width(grid.sigma) * math.sqrt(3)
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
    theirs = np.array(dp.m.make_gaussian(*space, scale=deviation)([0] * size))
    edges = np.floor(np.arange(-3.0, 3.1, 0.5) * deviation)
    found = [np.bincount(np.searchsorted(edges, each), minlength=len(edges) + 1) for each in (theirs, total)]
    assert chi2_contingency(np.array(found)).pvalue > 1e-6  # their randomness cannot be fixed
    cases(size)


def one_without(grid: NoiseShares) -> Integers:
    return noises(grid, 2, 100_000)


def shares_of_all(grid: NoiseShares) -> Integers:
    """Variances of sigma^2 / n instead of sigma^2 / (m - c)."""
    other = shares(clients=5, fewest=5, collusion=0)
    other.sigma = grid.sigma * math.sqrt(3 / 5)
    return noises(other, 3, 100_000)


def the_same(grid: NoiseShares) -> Integers:
    """All parties by one seed: a larger variance, and whoever knows its own knows the others'."""
    return 3 * grid.noise(100_000, SeededEntropy(b""))


def too_coarse(grid: NoiseShares) -> Integers:
    step = int(grid.sigma)
    return step * np.rint(noises(grid, 3, 100_000) / step).astype(np.int64)


@pytest.mark.parametrize("wrong", [one_without, shares_of_all, the_same, too_coarse])
def test_the_check_finds_wrong_noise(wrong: Callable[[NoiseShares], Integers]) -> None:
    grid = shares(clients=5, fewest=4)
    deviation = width(grid.sigma) * math.sqrt(3)
    assert fit(noises(grid, 3, 100_000), deviation) > LEAST_P
    assert fit(wrong(grid), deviation) < 1e-12


def noisy(grid: NoiseShares) -> Callable[[str, Sum], NoisyOnGrid]:
    return lambda name, sum_: NoisyOnGrid(sum_, grid, SeededEntropy(name.encode()))


def contributed(transcript: list[Sent]) -> dict[str, Integers]:
    """What each client sent into the sum of the first round."""
    tables = {s.sender: s.table for s in transcript if s.tag.endswith("Contribution") and b"round 1" in s.header}
    return {name: table.column("units").to_numpy() for name, table in tables.items() if table is not None}


@pytest.mark.rounding
def test_a_round_is_the_mean_of_clipped_updates_and_noise() -> None:
    """Without the noise of the same entropy, what each client sent is its update on the grid, or one of norm `clip`."""
    parties = [random_rows(np.random.default_rng(i), 30) for i in range(4)]
    grid = shares(0.01, clients=4, fewest=4)
    schedule = Schedule(steps=2, learning_rate=0.7)
    transcript: list[Sent] = []
    trained = train(parties, schedule, averages=noisy(grid), transcript=transcript)
    total = np.zeros(LOGISTIC.size, np.int64)
    for name, rows in zip(("p0", "p1", "p2", "p3"), parties, strict=True):
        start = np.zeros(LOGISTIC.size, np.float32)
        weights = descend(Task(LOGISTIC, start, rows, schedule, np.random.default_rng()), start, [None, None])
        sent = contributed(transcript)[name]
        assert np.array_equal(sent - grid.noise(len(sent), SeededEntropy(name.encode())), grid.clipped(weights))
        total += sent
    assert trained.weights == pytest.approx(total * grid.unit / 4, rel=roundoff(4))
    assert trained.rounds == [{"round": 1, "clients": 4, "loss": None}]


@pytest.mark.rounding
def test_the_mean_is_over_those_that_are_left() -> None:
    parties = [random_rows(np.random.default_rng(i), 30) for i in range(4)]
    grid = shares(0.01, clients=4, fewest=3)
    schedule = Schedule(steps=1, learning_rate=0.7)
    transcript: list[Sent] = []
    trained = train(parties, schedule, averages=noisy(grid), lost=["p2"], transcript=transcript)
    sent = contributed(transcript)
    assert set(sent) == {"p0", "p1", "p3"}
    assert trained.weights == pytest.approx(sum(sent.values()) * grid.unit / 3, rel=roundoff(4))
    assert {party: number for party, (number, _) in trained.lost.items()} == {"p2": 1}


def test_what_is_sent_tells_neither_loss_nor_rows() -> None:
    """Of two trainings over other rows, other numbers of them and other losses, the messages before the noisy sum are
    the same and the later ones of one size."""
    grid = shares(clients=3, fewest=3)
    runs = []
    for seed, count in ((1, 20), (2, 333)):
        transcript: list[Sent] = []
        parties = [random_rows(np.random.default_rng([seed, i]), count) for i in range(3)]
        train(parties, Schedule(epochs=1, learning_rate=0.7), averages=noisy(grid), transcript=transcript)
        runs.append(transcript)
    for one, other in zip(*runs, strict=True):
        assert (one.sender, one.receiver, one.tag, one.size) == (other.sender, other.receiver, other.tag, other.size)
        if b"round" not in one.header and one.tag.endswith(("Facts", "Contribution")):
            assert one.table is not None
            assert one.table.equals(other.table)


def test_each_call_draws_noise_anew() -> None:
    grid, entropy = shares(), SeededEntropy(b"once")
    assert not np.array_equal(grid.noise(50, entropy), grid.noise(50, entropy))


def test_training_that_diverges_ends_no_run() -> None:
    grid = shares(clients=2, fewest=2)
    update = Update(np.array([math.nan, 1.0], np.float32), math.nan, math.nan)
    role = NoisyOnGrid(PlainSum(coordinator="c", within_s=1.0), grid, SeededEntropy(b"")).contribute(
        "r", ("a",), update
    )
    step = next(role)
    assert len(step.send["c"].table) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("fewest", "collusion"), [(2, 2), (3, 7), (1, 1)])
def test_colluders_who_leave_no_noise_are_refused(fewest: int, collusion: int) -> None:
    with pytest.raises(InvalidArgument, match="no noise of others would be left"):
        shares(clients=9, fewest=fewest, collusion=collusion)


@pytest.mark.parametrize(("noise", "match"), [(1e-9, "4 grid steps"), (1e7, "1,024 grid steps")])
def test_noise_off_the_grid_is_refused(noise: float, match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        shares(noise)


@pytest.mark.parametrize(
    "wrong", [{"clip": 0.0}, {"clip": math.inf}, {"noise_multiplier": 0.0}, {"noise_multiplier": math.nan}]
)
def test_values_without_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        PartyLevel(**{"clip": 1.0, "noise_multiplier": 1.0, **wrong})
    with pytest.raises(InvalidArgument):
        PartyLevel(clip=1.0, noise_multiplier=1.0, collusion=-1)


def test_samples_are_as_wide_as_a_share() -> None:
    grid = shares()
    again = discrete_gaussian(grid.sigma, 100, SeededEntropy(b"p0"))
    assert np.array_equal(grid.noise(100, SeededEntropy(b"p0")), again)

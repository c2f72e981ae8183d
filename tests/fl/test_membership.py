"""Auditing private trainings by guessing: what an attacker achieves is a lower bound on epsilon, and stays below the
claim; with a tenth of the noise it does not.

A canary is a row, or a party's update, that the attacker chose; the score is how far the model moved where only the
canary moves it. With FPR and TPR the shares of guesses "present" without and with the canary, (epsilon, delta)-privacy
has TPR <= e^epsilon FPR + delta. Clopper-Pearson bounds of both, each at 97.5%, on other runs than those that chose the
threshold, bound epsilon from below at 95%: M. Jagielski, J. Ullman, A. Oprea, "Auditing Differentially Private Machine
Learning", NeurIPS 2020, section 3.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, Counts
from scipy.stats import beta

from privsdk.fl.models.network import Network, Output, Rows
from privsdk.fl.models.training import Schedule, Task
from privsdk.fl.privacy.levels import PartyLevel, RecordLevel
from privsdk.fl.privacy.party_level import NoiseShares
from privsdk.fl.privacy.record_level import NoisySteps, charge
from privsdk.governance.charges import Charge, ZeroConcentrated
from privsdk.party.budget.accounting import Account
from privsdk.testing import SeededEntropy

DELTA = 1e-5
NETWORK = Network((2, 1), Output.SIGMOID)
Scores = npt.NDArray[np.float64]


def claimed(price: Charge, rounds: int = 1) -> float:
    return Account({price: rounds}).epsilon(DELTA)


def bound(true: int, false: int, runs: int) -> float:
    """From so many true and false guesses in as many runs each, at 95%."""
    least = beta.ppf(0.025, true, runs - true + 1) if true else 0.0
    most = beta.ppf(0.975, false + 1, runs - false) if false < runs else 1.0
    return math.log((least - DELTA) / most) if least > DELTA else 0.0


def audited(without: Scores, present: Scores) -> float:
    """A lower bound on epsilon: the threshold and side from the first halves, the bound from the others."""
    half = len(without) // 2

    def guessed(threshold: float, side: int, runs: slice) -> float:
        sides = (present, without) if side > 0 else (without, present)
        true, false = (int((side * each[runs] >= side * threshold).sum()) for each in sides)
        return bound(true, false, half)

    tried = np.quantile(np.concatenate([without[:half], present[:half]]), np.linspace(0.001, 0.999, 400))
    _, threshold, side = max((guessed(t, s, slice(half)), t, s) for t in tried for s in (1, -1))
    return max(0.0, guessed(threshold, side, slice(half, 2 * half)))


@pytest.mark.parametrize("gap", [0.5, 1.0, 3.0])
def test_the_audit_is_a_lower_bound_of_what_is_known(gap: float) -> None:
    """Of a Gaussian mechanism of that gap, near its true epsilon and not above."""
    rng = np.random.default_rng(1)
    found = audited(rng.standard_normal(100_000), gap + rng.standard_normal(100_000))
    epsilon = claimed(ZeroConcentrated(rho=gap**2 / 2))
    assert 0.25 * epsilon < found < epsilon


def test_the_audit_finds_nothing_in_noise() -> None:
    rng = np.random.default_rng(2)
    assert audited(rng.standard_normal(2000), rng.standard_normal(2000)) < 0.2


def canary(present: bool) -> Rows:
    """Rows without the second feature; the canary has nothing else, and a gradient above every clip."""
    x = np.column_stack([np.linspace(-1, 1, 20), np.zeros(20)]).astype(np.float32)
    y = (x[:, 0] > 0.1).astype(np.float32)
    if present:
        x, y = np.vstack([x, np.float32([[0, 1000]])]), np.append(y, np.float32(1))
    return Rows(x=x, y=y)


def trained(privacy: RecordLevel, present: bool, steps: int, runs: int) -> Scores:
    """The second weight after each of so many trainings."""
    schedule = Schedule(steps=steps, batch_size=1, learning_rate=1e-4)  # so that steps are alike
    start = np.zeros(NETWORK.size, np.float32)
    task = Task(NETWORK, start, canary(present), schedule, np.random.default_rng(0))
    scores = []
    for run in range(runs):
        steps_ = NoisySteps(privacy, batch_size=1, entropy=SeededEntropy(f"{present} {run}".encode()))
        scores.append(float(steps_.descend(task, start, steps)[1]))
    return np.array(scores)


@pytest.mark.claim("DP-SGD: what a canary audit proves stays below the claimed epsilon; with a tenth of the noise not")
@pytest.mark.attack("membership of a row, by who chose all others and sees every step's model")
@pytest.mark.parametrize(("noise", "rate", "steps"), [(2.5, 1.0, 3), (1.5, 0.5, 3)])
def test_membership_of_a_row(noise: float, rate: float, steps: int, cases: Cases, counts: Counts) -> None:
    runs = counts(700, 700, 20_000)
    privacy = RecordLevel(clip=1.0, noise_multiplier=noise, sampling_rate=rate)
    epsilon = claimed(charge(privacy, batch_size=1, length=NETWORK.size, steps=steps))
    found = audited(trained(privacy, False, steps, runs), trained(privacy, True, steps, runs))
    assert 0.1 < found < epsilon
    tenth = RecordLevel(clip=1.0, noise_multiplier=noise / 10, sampling_rate=rate)
    wrong = audited(trained(tenth, False, steps, runs), trained(tenth, True, steps, runs))
    assert wrong > epsilon
    cases(4 * runs)
    cases.say(f"epsilon {epsilon:.2f} claimed, {found:.2f} proven, {wrong:.2f} with a tenth of the noise")
    cases.gains(f"epsilon {found:.1f}", before=f"epsilon {wrong:.1f} with a tenth of the noise", bound=f"{epsilon:.1f}")


def sums(grid: NoiseShares, direction: float, runs: int, shares: int, scale: float = 1.0) -> Scores:
    """What an attacker sees of a party that moved as far as it may, colluders' noise taken off."""
    moved = int(grid.clipped(np.array([direction * 1e6], np.float32))[0])
    entropy = SeededEntropy(f"{direction}".encode())
    noise = sum(grid.noise(runs, entropy) for _ in range(shares))
    return (moved + scale * noise) / grid.clip_units


@pytest.mark.claim("DP-FedAvg: colluders who know a party's two possible updates prove less than the claimed epsilon")
@pytest.mark.attack("which of two updates a party sent, by all colluders who know both")
def test_membership_of_a_party(cases: Cases, counts: Counts) -> None:
    runs = counts(400_000, 400_000, 4_000_000)
    grid = NoiseShares(PartyLevel(clip=1.0, noise_multiplier=2.0), clients=4, fewest=4, length=1)
    price, honest = grid.charge, grid.honest
    found = audited(sums(grid, -1, runs, honest), sums(grid, 1, runs, honest))
    assert 0.3 * claimed(price) < found < claimed(price)
    assert found > claimed(ZeroConcentrated(rho=price.rho / 4))  # what comparing with an update of zero would charge
    tenth = audited(sums(grid, -1, runs, honest, 0.1), sums(grid, 1, runs, honest, 0.1))
    assert tenth > claimed(price)
    cases(4 * runs)
    cases.say(f"epsilon {claimed(price):.2f} claimed, {found:.2f} proven, {tenth:.2f} with a tenth of the noise")
    before = f"epsilon {tenth:.1f} with a tenth of the noise"
    cases.gains(f"epsilon {found:.1f}", before=before, bound=f"{claimed(price):.1f}")

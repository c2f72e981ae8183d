"""Shown decryptions of CKKS give the key away; flooded ones do not, whatever is done with a thousand of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from claims import Cases
from key_recovery import (
    DEGREE,
    SCALE,
    Slots,
    Victim,
    Words,
    solve,
    solve_from_real_parts,
    ternary,
    votes,
)

from privsdk.he import flooding
from privsdk.he.flooding import flooded, sigma_for
from privsdk.he.gaussians import discrete_gaussian
from privsdk.testing import SeededEntropy

SUMMANDS = 10
REVEALS = 1000


class Shown(NamedTuple):
    """A sum under encryption, what it decrypts to and what it should."""

    ciphertext: Any
    decrypted: Slots
    exact: Slots


def sums(victim: Victim, count: int, seed: int) -> list[Shown]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        vectors = list(rng.uniform(-1, 1, (SUMMANDS, DEGREE // 2)) + 1j * rng.uniform(-1, 1, (SUMMANDS, DEGREE // 2)))
        ciphertext = victim.sum_of(vectors)
        exact = sum(victim.encoded_and_decoded(vector) for vector in vectors)  # what an attacker who knows all knows
        found.append(Shown(ciphertext, victim.decrypt(ciphertext), np.asarray(exact)))
    return found


@pytest.mark.claim("the key-recovery attack succeeds on raw decryptions and fails on 1,000 flooded ones")
def test_raw_decryptions_give_the_key_away(cases: Cases, soak: bool) -> None:
    for seed in range(20 if soak else 3):
        victim = Victim()
        first, second = sums(victim, 2, seed)
        real_parts = [first.decrypted.real, second.decrypted.real]
        for candidate in (
            *solve(victim, first.ciphertext, [first.decrypted]),
            solve_from_real_parts(victim, [first.ciphertext, second.ciphertext], real_parts),
        ):
            plausible, right = like_a_key(victim, candidate), same(candidate, victim.key)
            assert plausible == 1, "the attacker could not tell that it has the key"
            assert right
            cases()


def same(candidate: Words, key: Words) -> bool:
    """Whether they are equal. Called outside of `assert`, which would print both where it fails."""
    return bool(np.array_equal(candidate, key))


def like_a_key(victim: Victim, candidate: Words) -> float:
    """The share of coefficients that are -1, 0 or 1."""
    return float(ternary(candidate, victim.modulus).mean())


def averaged(shown: Shown, reveals: list[Slots], spread: float) -> list[Slots]:
    """Guesses from many reveals of one ciphertext: by their mean, and by the likeliest error given the mean.

    The attacker knows every plaintext, so each reveal tells e + noise; the noise being independent and Gaussian, the
    mean holds all that the reveals tell (it is a sufficient statistic). For an error with normal coefficients of
    standard deviation `spread` - the attacker is told the true one - the likeliest is the mean's, shrunk.
    """
    mean = np.mean(reveals, axis=0)
    away = flooding._coefficients(mean - shown.exact)
    share = spread**2 / max(float(np.mean(away**2)), spread**2)
    return [mean, shown.exact + flooding._slots(share * away)]


def error_of(shown: Shown) -> float:
    """The smallest true bound on the root mean square of this error: the noise is as small as the proof allows."""
    return float(np.sqrt(np.mean(np.abs(shown.decrypted - shown.exact) ** 2)))


@pytest.mark.claim("the key-recovery attack succeeds on raw decryptions and fails on 1,000 flooded ones")
@pytest.mark.parametrize("ciphertexts", [1, 20])
def test_flooded_decryptions_do_not(ciphertexts: int, cases: Cases, soak: bool) -> None:
    """1,000 reveals of one ciphertext, or of twenty under one key (in the long run 1,000 of 1,000).

    No combination can do better: the divergence between all that is seen and what could be made up without the key is
    at most 2^-30 / 24 in sum, however the reveals are spread (module `flooding`). The estimates here show it: the mean
    of a thousand is still thousands of errors away, and what it says of the error is lost in that.
    """
    ciphertexts = REVEALS if soak and ciphertexts > 1 else ciphertexts
    victim, entropy = Victim(), SeededEntropy(bytes([ciphertexts % 256]))
    everything, candidates = sums(victim, ciphertexts, 7), []
    error = max(map(error_of, everything))
    for shown in everything:
        reveals = [
            flooded(shown.decrypted, bound=15.0, error=error, reveals=REVEALS, entropy=entropy)
            for _ in range(REVEALS // ciphertexts)
        ]
        guesses = [*reveals, *averaged(shown, reveals, error / math.sqrt(DEGREE))]
        for candidate in solve(victim, shown.ciphertext, guesses):
            plausible, right = like_a_key(victim, candidate), same(candidate, victim.key)
            assert not right
            assert plausible < 0.01
            candidates.append(candidate)
            cases()
        true = flooding._coefficients(shown.decrypted - shown.exact)
        away = flooding._coefficients(guesses[-2] - shown.exact)
        assert abs(np.corrcoef(true, away)[0, 1]) < 6 / math.sqrt(DEGREE)
        assert away.std() > 0.9 * sigma_for(error, reveals=REVEALS) / math.sqrt(len(reveals)) > 1e5 * true.std()
    matching = float((votes(candidates, victim.modulus) == victim.key).mean())
    assert abs(matching - 1 / 3) < 0.04, "a third of a ternary key is guessed by chance"


def test_averaging_beats_noise_that_is_too_small() -> None:
    """The same attacker against noise of two of SEAL's units wins: so that it fails above means something."""
    victim, entropy = Victim(), SeededEntropy(b"weak")
    (shown,) = sums(victim, 1, 5)
    coefficients = flooding._coefficients(shown.decrypted)
    reveals = [flooding._slots(coefficients + discrete_gaussian(2.0, DEGREE, entropy) / SCALE) for _ in range(REVEALS)]
    mean, likeliest = averaged(shown, reveals, error_of(shown) / math.sqrt(DEGREE))
    found = [
        same(candidate, victim.key) for candidate in solve(victim, shown.ciphertext, [reveals[0], mean, likeliest])
    ]
    assert found == [False, True, True]

"""Shown decryptions of CKKS give the key away; flooded ones do not, whatever is done with a thousand of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from claims import Cases, Counts
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
from polynomials import Integers, coefficients_of, decrypted

from privsdk import he
from privsdk.crypto.gaussian import discrete_gaussian
from privsdk.crypto.seal.flooding import _slots, flooded, sigma_for
from privsdk.errors import PolicyRefused
from privsdk.testing import SeededEntropy

SUMMANDS = 10
REVEALS = 1000


class Shown(NamedTuple):
    """A sum under encryption, what it decrypts to, also as integers, and what it should."""

    column: he.Column
    ciphertext: bytes
    decrypted: Slots
    integers: Integers
    exact: Slots


@pytest.fixture
def reveals(counts: Counts) -> int:
    return counts(250, REVEALS, REVEALS)


def sums(victim: Victim, count: int, seed: int) -> list[Shown]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        column, exact = victim.sum_of(list(rng.uniform(-1, 1, (SUMMANDS, DEGREE))))
        (row,) = column.rows()
        integers = decrypted(row, column.meta.estimate, victim.context)
        found.append(Shown(column, bytes(row), victim.decrypt(row), integers, exact))
    return found


@pytest.mark.claim("the key-recovery attack succeeds on raw decryptions and fails on 1,000 flooded ones")
def test_raw_decryptions_give_the_key_away(cases: Cases, soak: bool) -> None:
    for seed in range(20 if soak else 3):
        victim = Victim(REVEALS)
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
    away = coefficients_of(mean - shown.exact)
    share = spread**2 / max(float(np.mean(away**2)), spread**2)
    return [mean, shown.exact + _slots(share * away, 1.0)]


def error_of(shown: Shown) -> float:
    """The smallest true bound on the root mean square of this error: the noise is as small as the proof allows."""
    return float(np.sqrt(np.mean(np.abs(_slots(shown.integers, SCALE) - shown.exact) ** 2)))


def attack(victim: Victim, shown: Shown, reveals: list[Slots], tried: int, error: float, cases: Cases) -> list[Words]:
    """Every attack on the reveals of one ciphertext, which was flooded for this error; none finds the key."""
    guesses = [*averaged(shown, reveals, error_of(shown) / math.sqrt(DEGREE)), *reveals[:tried]]
    candidates = solve(victim, shown.ciphertext, guesses)
    for candidate in candidates:
        plausible, right = like_a_key(victim, candidate), same(candidate, victim.key)
        assert not right
        assert plausible < 0.01
        cases()
    true = coefficients_of(_slots(shown.integers, SCALE) - shown.exact)
    away = coefficients_of(guesses[0] - shown.exact)
    assert abs(np.corrcoef(true, away)[0, 1]) < 6 / math.sqrt(DEGREE)
    assert away.std() > 0.9 * sigma_for(error, reveals=victim.reveals) / math.sqrt(len(reveals)) > 1e5 * true.std()
    return candidates


def by_chance(victim: Victim, candidates: list[Words]) -> bool:
    """Whether all candidates together know no more of a ternary key than a guess does: a third of it."""
    matching = float((votes(candidates, victim.modulus) == victim.key).mean())
    return abs(matching - 1 / 3) < 0.04


@pytest.mark.claim("the key-recovery attack succeeds on raw decryptions and fails on 1,000 flooded ones")
def test_revealed_columns_do_not(reveals: int, cases: Cases, counts: Counts) -> None:
    """All reveals that a key has, of ten ciphertexts (1,000 with the claims, of twenty; in the long run of 1,000)."""
    ciphertexts = counts(10, 20, REVEALS)
    each = reveals // ciphertexts
    victim, entropy, candidates = Victim(reveals), SeededEntropy(b"revealed"), []
    for shown in sums(victim, ciphertexts, 7):
        values = [np.asarray(he.reveal(shown.column, victim.context, entropy=entropy).values) for _ in range(each)]
        seen = [both[: DEGREE // 2] + 1j * both[DEGREE // 2 :] for both in values]
        candidates += attack(victim, shown, seen, counts(2, each, each), shown.column.meta.estimate.noise, cases)
    assert by_chance(victim, candidates)
    assert victim.context.uses == len(victim.context.records) == reveals
    with pytest.raises(PolicyRefused, match=f"this key has revealed {reveals:,} ciphertexts of the {reveals:,} it may"):
        he.reveal(shown.column, victim.context)


@pytest.mark.claim("the key-recovery attack succeeds on raw decryptions and fails on 1,000 flooded ones")
def test_the_least_noise_that_the_proof_allows_suffices(reveals: int, cases: Cases, counts: Counts) -> None:
    """All reveals of one ciphertext, flooded for the error that it has rather than for a bound.

    No combination can do better: the divergence between all that is seen and what could be made up without the key is
    at most 2^-30 / 24 in sum, however the reveals are spread (module `flooding`). The estimates here show it: the mean
    of a thousand is still thousands of errors away, and what it says of the error is lost in that.
    """
    victim, entropy = Victim(reveals), SeededEntropy(b"least")
    (shown,) = sums(victim, 1, 7)
    error = error_of(shown)
    settings = {"scale": SCALE, "bound": 15.0, "error": error, "reveals": reveals, "entropy": entropy}
    seen = [flooded(shown.integers, **settings) for _ in range(reveals)]
    candidates = attack(victim, shown, seen, counts(12, 200, REVEALS), error, cases)
    assert by_chance(victim, candidates)


def test_averaging_beats_noise_that_is_too_small() -> None:
    """The same attacker against noise of two of SEAL's units wins: so that it fails above means something."""
    victim, entropy = Victim(REVEALS), SeededEntropy(b"weak")
    (shown,) = sums(victim, 1, 5)
    reveals = [_slots(shown.integers + discrete_gaussian(2.0, DEGREE, entropy), SCALE) for _ in range(REVEALS)]
    mean, likeliest = averaged(shown, reveals, error_of(shown) / math.sqrt(DEGREE))
    found = [
        same(candidate, victim.key) for candidate in solve(victim, shown.ciphertext, [reveals[0], mean, likeliest])
    ]
    assert found == [False, True, True]

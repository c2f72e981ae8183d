"""Encrypted sums through the whole protocol: exact ones equal Python's integers, CKKS ones stay within their bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from claims import Cases, Counts
from tenseal import sealapi

from privsdk.crypto.seal.keys import SecretContext
from privsdk.crypto.seal.parallel import added
from privsdk.crypto.seal.presets import PLAIN_PRIMES
from privsdk.crypto.seal.schemes import MAX_PARTIES, PRIMES, ApproximateScheme, ExactScheme, limbs_for
from privsdk.crypto.sums.base import integers
from privsdk.crypto.sums.encrypted import EncryptedSum, Scheme
from privsdk.errors import InvalidArgument
from privsdk.protocol.roles import Role
from privsdk.testing import together

Rounds = list[list[Sequence[Any]]]  # for each round, every party's vector


def add(scheme: Scheme, rounds: Rounds) -> list[list[Any]]:
    """The totals of every round, by the full protocol under one key."""
    names = tuple(f"p{i}" for i in range(len(rounds[0])))

    def holder() -> Role[list[list[Any]]]:
        sum_ = EncryptedSum(me="k", clients=names, coordinator="k", scheme=scheme)
        yield from sum_.set_up()
        totals = []
        for number, _ in enumerate(rounds):
            found = yield from sum_.collect(f"round {number}", names, scheme.length, 1)
            totals.append(found.sums.tolist())
        return totals

    def contributor(index: int) -> Role[None]:
        sum_ = EncryptedSum(me=names[index], clients=names, coordinator="k", scheme=scheme)
        yield from sum_.set_up()
        for number, vectors in enumerate(rounds):
            mine = integers(vectors[index]) if isinstance(scheme, ExactScheme) else np.array(vectors[index])
            yield from sum_.contribute(f"round {number}", names, mine, 1)

    roles = {name: contributor(index) for index, name in enumerate(names)}
    totals: list[list[Any]] = together({**roles, "k": holder()})["k"]
    return totals


def worst_cases(parties: int, length: int, bound: Any, rng: np.random.Generator) -> Rounds:
    signs = [(-1) ** np.arange(i, i + length) for i in range(parties)]
    return [
        [[bound] * length] * parties,
        [[-bound] * length] * parties,
        [[bound * int(sign) for sign in signs[i]] for i in range(parties)],
        [[bound * (-1) ** i] * length for i in range(parties)],
        [[bound if i == 0 else 0 for _ in range(length)] for i in range(parties)],
        [[_within(bound, rng) for _ in range(length)] for _ in range(parties)],
    ]


def _within(bound: Any, rng: np.random.Generator) -> Any:
    if isinstance(bound, float):
        return bound * rng.uniform(-1, 1)
    return int.from_bytes(rng.bytes(24), "little") % (2 * bound + 1) - bound


def largest_bound(parties: int, limbs: int) -> int:
    """The largest bound of a party that this many limbs can carry."""
    return (math.prod(PRIMES[:limbs]) - 2) // (2 * parties)


SHAPES = [(1, 1, 1), (1, 5000, 2), (2, 4096, 1), (2, 4097, 4), (3, 17, 3), (5, 5000, 1), (12, 2, 4), (12, 300, 2)]


@pytest.mark.claim("he: exact sums are exact on worst-case inputs")
@pytest.mark.parametrize(("parties", "length", "limbs"), SHAPES)
def test_exact_sums_equal_pythons(parties: int, length: int, limbs: int, cases: Cases) -> None:
    bound = largest_bound(parties, limbs)
    scheme = ExactScheme(parties=parties, length=length, max_units=bound)
    assert scheme.limbs == limbs
    rounds = worst_cases(parties, length, bound, np.random.default_rng([parties, length, limbs]))
    for vectors, totals in zip(rounds, add(scheme, rounds), strict=True):
        assert totals == [sum(entries) for entries in zip(*vectors, strict=True)]
        cases(length)


@pytest.mark.parametrize("parties", [1, 2, 12, MAX_PARTIES])
def test_limbs_are_as_few_as_suffice(parties: int) -> None:
    for limbs in range(1, len(PRIMES)):
        bound = largest_bound(parties, limbs)
        assert 2 * parties * bound + 1 < math.prod(PRIMES[:limbs])
        assert limbs_for(parties, bound) == limbs
        assert limbs_for(parties, bound + 1) == limbs + 1
    with pytest.raises(InvalidArgument, match="more than an encrypted sum can hold"):
        limbs_for(parties, largest_bound(parties, len(PRIMES)) + 1)


@pytest.mark.parametrize("degree", PLAIN_PRIMES)
def test_primes_are_what_packing_needs(degree: int) -> None:
    primes = PLAIN_PRIMES[degree]
    assert len(set(primes)) == len(primes) == 8
    for prime in primes:
        assert prime % (2 * degree) == 1
        assert prime.bit_length() == 30
        assert all(prime % divisor for divisor in range(2, math.isqrt(prime) + 1))
    assert sorted(primes) == sorted(modulus.value() for modulus in sealapi.PlainModulus.Batching(degree, [30] * 8))


def reals(parties: int, length: int, rng: np.random.Generator) -> Rounds:
    tiny = [[[value] * length] * parties for value in (1e-300, 5e-324, -2.5e-310)]
    mixed = [[[1.0, 1e-300, -1.0, 5e-324, 0.0][j % 5] for j in range(length)]] * parties
    return [*worst_cases(parties, length, 1.0, rng), *tiny, mixed]


@pytest.mark.claim("he: CKKS sums stay within the stated bound")
def test_ckks_sums_stay_within_the_bound(cases: Cases, counts: Counts) -> None:
    rng = np.random.default_rng(5)
    largest = 0.0
    sizes = [(1, 16, 1.0), (2, 3, 2.0**40), (12, 16, 1e-290), (12, 16, 3.7e300)]
    for parties, length, scale in sizes * counts(1, 2, 20):
        bounds = tuple(scale * factor for factor in rng.uniform(0.01, 1, length).tolist())
        scheme = ApproximateScheme(parties=parties, length=length, bounds=bounds)
        rounds = [
            [[math.copysign(min(abs(v * b), b), v) for v, b in zip(vector, bounds, strict=True)] for vector in vectors]
            for vectors in reals(parties, length, rng)
        ]
        for vectors, totals in zip(rounds, add(scheme, rounds), strict=True):
            for entry, total in enumerate(totals):
                error = abs(Fraction(total) - sum(Fraction(vector[entry]) for vector in vectors))
                assert error <= scheme.error_bound(entry)
                largest = max(largest, float(error / Fraction(scheme.error_bound(entry))))
                cases()
    cases.say(f"largest error {largest:.1%} of the bound")


@pytest.mark.parametrize("entry", [2**63 - 1, 2**63, 2**64 - 1, 2**64])
@pytest.mark.parametrize("other", [-1, 0, 2**63])
def test_integers_around_the_largest_of_a_machine_word_stay_exact(entry: int, other: int) -> None:
    """NumPy would make floats or unsigned words of them."""
    scheme = ExactScheme(parties=1, length=2, max_units=2**70)
    (totals,) = add(scheme, [[[entry, other]]])
    assert totals == [entry, other]


@pytest.mark.parametrize(
    ("scheme", "vector"),
    [
        (ExactScheme(parties=2, length=2, max_units=2**70), [2.0**63, 0.0]),
        (ExactScheme(parties=2, length=2, max_units=2**70), [2.5, 2**63]),
        (ExactScheme(parties=2, length=2, max_units=10), [11, 0]),
        (ExactScheme(parties=2, length=2, max_units=10), [-11, 0]),
        (ExactScheme(parties=2, length=2, max_units=10), [1]),
        (ApproximateScheme(parties=2, length=2, bounds=(1.0, 2.0)), [1.5, 0.0]),
        (ApproximateScheme(parties=2, length=2, bounds=(1.0, 2.0)), [0.5]),
    ],
)
def test_a_vector_outside_the_scheme_is_never_encrypted(scheme: Scheme, vector: list[Any]) -> None:
    with pytest.raises(InvalidArgument):
        scheme.units(vector)


def test_a_total_that_wraps_is_a_modular_one() -> None:
    scheme = ExactScheme(parties=2, length=1, max_units=2**40, modular=True)
    key, modulus = SecretContext.new(scheme.preset), scheme.preset.modulus
    rows = added(key.public, [scheme.encrypt(key.public, scheme.units([modulus - 3]))] * 2)
    assert scheme.totals(scheme.decrypt(key, rows)) == [-6]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ExactScheme(parties=0, length=1, max_units=1),
        lambda: ExactScheme(parties=MAX_PARTIES + 1, length=1, max_units=1),
        lambda: ExactScheme(parties=1, length=0, max_units=1),
        lambda: ExactScheme(parties=1, length=1, max_units=1, limbs=2),
        lambda: ApproximateScheme(parties=1, length=2, bounds=(1.0,)),
        lambda: ApproximateScheme(parties=1, length=1, bounds=(math.inf,)),
    ],
)
def test_unusable_schemes_are_refused(make: Any) -> None:
    with pytest.raises(InvalidArgument):
        make()

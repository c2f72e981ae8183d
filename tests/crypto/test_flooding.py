"""Flooded decryptions: slots are SEAL's, the sensitivity and the errors are within what the proof says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, Counts
from polynomials import Integers, Slots, coefficients_of
from rounding import roundoff
from scipy.stats import chi2, norm

from privsdk.crypto.gaussian import width
from privsdk.crypto.seal import flooding
from privsdk.crypto.seal.flooding import DEGREES, MOST_SECURITY, error_after, flooded, sigma_for
from privsdk.crypto.seal.presets import MAX_REVEALS
from privsdk.crypto.seal.ring import Parameters, ring
from privsdk.errors import InvalidArgument, ProtocolViolation
from privsdk.protocol.roles import SystemEntropy
from privsdk.testing import SeededEntropy

DEGREE = 4096


def uniform(degree: int, seed: int, bound: float = 1.0) -> Slots:
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * math.pi, degree // 2)
    return np.asarray(bound * np.sqrt(rng.uniform(0, 1, degree // 2)) * np.exp(1j * angles))


def rms(slots: Slots) -> float:
    return float(np.sqrt(np.mean(np.abs(slots) ** 2)))


def integers(coefficients: npt.NDArray[np.float64]) -> Integers:
    """Towards zero, so that no norm grows; Python's, as a decryption's are."""
    return np.array([int(c) for c in coefficients], dtype=object)


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 512.0])
@pytest.mark.rounding
def test_slots_are_those_of_seal(size: float) -> None:
    """The order, the signs, and that coefficients are the whole plaintext: what SEAL decodes comes from them."""
    of = ring(Parameters(scheme="ckks", degree=DEGREE, data=(60,), special=49))
    for seed in range(3):
        plain = of.encode(uniform(DEGREE, seed, size).tolist(), scale=2.0**40)
        coefficients = of.coefficients(plain, 1)
        slots = flooding._slots(coefficients, 2.0**40)
        assert rms(slots - of.decode(plain)) <= flooding._share(DEGREE) * rms(slots)
        assert rms(slots - uniform(DEGREE, seed, size)) <= math.sqrt(DEGREE) / 2 / 2.0**40


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.rounding
def test_the_transform_is_an_isometry(degree: int) -> None:
    slots = uniform(degree, 1)
    coefficients = coefficients_of(slots)
    allowed = roundoff(10 * degree.bit_length(), np.float64)  # there and back, five roundings in each of log2(N) stages
    assert np.linalg.norm(coefficients) == pytest.approx(rms(slots), rel=roundoff(degree, np.float64))
    assert np.abs(flooding._slots(coefficients, 1.0) - slots).max() < allowed * np.abs(slots).max()
    k, root = 5, np.exp(1j * np.pi * flooding._positions(degree) * 2 / degree + 1j * np.pi / degree)
    assert (
        np.abs(flooding._slots(8 * np.eye(1, degree, k, dtype=int)[0], 8.0) - root**k).max() < k * 2 * np.pi * allowed
    )
    assert np.linalg.norm(coefficients_of(slots.real.astype(complex))) <= np.linalg.norm(coefficients)


@pytest.mark.parametrize("security", [1, 30, MOST_SECURITY])
@pytest.mark.parametrize("reveals", [1, 100, MAX_REVEALS])
def test_the_divergence_of_all_reveals_is_as_derived(reveals: int, security: int) -> None:
    sigma = sigma_for(0.7, reveals=reveals, security=security)
    assert reveals * 0.7**2 / (2 * sigma**2) == pytest.approx(2.0**-security / 24)
    for least in (2.0**-100, 2.0**-128):  # the header's consequence for guessing a key
        p = 2.0**-39
        assert security != 30 or p * math.log(p / least) - p > 2.0**-security / 24


class Same:
    """Entropy that repeats itself, so that a difference shows what the noise is added to."""

    def draw(self, size: int) -> bytes:
        return bytes(size)


def apart(one: Integers, other: Integers, **settings: Any) -> float:
    """How far the noise is told to hide these two from each other: in l2 norm, as integers."""
    shown = [flooded(coefficients, entropy=Same(), reveals=1, security=1, **settings) for coefficients in (one, other)]
    return rms(shown[1] - shown[0]) * float(settings["scale"])


SCALES = [
    (1.0, 1e-3, 2.0**40),
    (10.0, 1e-9, 2.0**50),
    (512.0, 3e-10, 2.0**33),
    (1e-3, 1e-18, 2.0**57),
    (1.0, 1e-9, 2.0**300),
]


@pytest.mark.claim("he: errors in a CKKS decryption move what is flooded by no more than the sensitivity")
@pytest.mark.parametrize("degree", [DEGREES[0], DEGREES[-1]])
@pytest.mark.parametrize(("bound", "error", "scale"), SCALES)
def test_sensitivity(degree: int, bound: float, error: float, scale: float, cases: Cases, counts: Counts) -> None:
    grid, sensitivity = flooding._grid(error, degree, scale)
    assert grid == 1 or sensitivity <= error * scale * (1 + 1 / 64)
    assert grid & (grid - 1) == 0
    assert 128 * math.sqrt(degree) * grid > error * scale
    exact = integers(coefficients_of(uniform(degree, 2, bound)) * scale)
    for seed in range(counts(10, 20, 20)):
        rng = np.random.default_rng(seed)
        moved = np.zeros(degree // 2, dtype=complex)
        moved[: degree // 2 >> seed % 10] = 1.0  # in all slots, or as much in a few
        moved *= np.exp(2j * np.pi * rng.uniform(size=degree // 2))
        away = integers(coefficients_of(moved) * (error * scale / rms(moved)))
        found = apart(exact, exact + away, bound=bound, error=error, scale=scale)
        assert found <= sensitivity * (1 + 1e-9)
        assert found >= 0.9 * error * scale or grid == 1
        cases()


@pytest.mark.claim("he: errors in a CKKS decryption move what is flooded by no more than the sensitivity")
@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("grid", [1, 1 << 10, 1 << 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_sensitivity_is_reached(degree: int, grid: int, sign: int, cases: Cases) -> None:
    """Coefficients just below where they are rounded up, and an error that is just above a multiple of the grid."""
    exact = np.array([sign * grid * (i + 5) + (grid // 2 - 1 if sign > 0 else -(grid // 2)) for i in range(degree)])
    away = np.full(degree, sign * (64 * grid + 1), dtype=object)
    error, scale = math.sqrt(degree) * (64 * grid + 1), 1.0
    assert flooding._grid(error, degree, scale)[0] == grid
    sensitivity = flooding._grid(error, degree, scale)[1]
    found = apart(exact, exact + away, bound=float(grid) * degree**2, error=error, scale=scale)
    assert found <= sensitivity * (1 + 1e-9)
    assert found >= sensitivity * (1 - 1e-4) or grid == 1
    cases()


def test_noise_is_added_to_the_rounded_coefficients() -> None:
    settings = {"bound": 1.0, "error": 1e-6, "reveals": 10, "scale": 2.0**50}
    grid, sensitivity = flooding._grid(1e-6, DEGREE, 2.0**50)
    assert grid > 1
    units = integers(coefficients_of(uniform(DEGREE, 3)) * 2.0**50)
    zero, one = (
        coefficients_of(flooded(coefficients, entropy=Same(), **settings)) * 2.0**50 / grid
        for coefficients in (units * 0, units)
    )
    assert np.abs(one - zero - np.rint((units / grid).astype(float))).max() < 1e-3
    assert np.abs(zero - np.rint(zero)).max() < 1e-3
    assert abs(zero.std() / width(sigma_for(sensitivity, reveals=10) / grid) - 1) < 5 / math.sqrt(2 * DEGREE)


def test_the_noise_is_new_each_time() -> None:
    call = {"bound": 1.0, "error": 1e-6, "reveals": 10, "scale": 2.0**40, "entropy": SystemEntropy()}
    units = integers(coefficients_of(uniform(DEGREE, 3)) * 2.0**40)
    one, other = flooded(units, **call), flooded(units, **call)
    noise = [coefficients_of(shown - uniform(DEGREE, 3)) for shown in (one, other)]
    assert abs(np.corrcoef(*noise)[0, 1]) < 6 / math.sqrt(DEGREE)


@pytest.mark.claim("he: flooded decryptions stay within the stated bound")
@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize(
    ("bound", "error", "reveals", "scale"),
    [(1.0, 1e-12, 1, 2.0**55), (512.0, 3e-10, 1024, 2.0**45), (1.0, 1e-3, 64, 2.0**300), (1.0, 1e-30, 1, 2.0**40)],
)
def test_error_after(
    degree: int, bound: float, error: float, reveals: int, scale: float, cases: Cases, soak: bool
) -> None:
    limit = error_after(error, degree, scale=scale, bound=bound, reveals=reveals)
    units = integers(coefficients_of(uniform(degree, 4, bound)) * scale)
    exact, largest = flooding._slots(units, scale), 0.0
    entropy = SeededEntropy(f"{degree}{bound}{scale}".encode())
    spread, count = 0.0, 200 if soak else 10
    for seed in range(count):
        phases = np.exp(2j * np.pi * np.random.default_rng(seed).uniform(size=degree // 2))
        decrypted = units + integers(coefficients_of(phases) * error * scale)
        shown = flooded(decrypted, bound=bound, error=error, reveals=reveals, scale=scale, entropy=entropy)
        away = shown - exact
        largest = max(largest, float(np.abs(away).max()) / limit)
        spread += float(np.mean(np.abs(away) ** 2)) / count
        cases(degree // 2)
    assert 0.35 < largest <= 1
    cases.say(f"largest error {largest:.2f} of the bound")
    grid, sensitivity = flooding._grid(error, degree, scale)
    sigma = width(sigma_for(sensitivity, reveals=reveals) / grid) * grid / scale
    assert abs(spread / (sigma**2 * degree) - 1) < 6 / math.sqrt(count * degree)


@pytest.mark.parametrize("degree", DEGREES)
def test_the_bound_fails_as_rarely_as_stated(degree: int) -> None:
    """The normal law's tail in the radius that `error_after` takes, by its exact formula for two dimensions."""
    scale = 2.0**50
    grid, sensitivity = flooding._grid(1e-6, degree, scale)
    whole = error_after(1e-6, degree, scale=scale, bound=0.0, reveals=1)
    noise = whole - math.sqrt(degree / 2) * sensitivity / scale
    sigma = grid * width(sigma_for(sensitivity, reveals=1) / grid) / scale
    radius = noise / (sigma * math.sqrt(degree / 2))
    assert degree / 2 * chi2.sf(radius**2, 2) < 2.0**-40
    directed = 16 * degree / 2 * norm.sf(radius * math.cos(math.pi / 16)) * 2
    assert directed < 2.0**-40
    assert degree / 2 * chi2.sf((0.85 * radius) ** 2, 2) > 2.0**-40


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize(
    ("bound", "error", "scale"),
    [(1e9, 1e-12, 2.0**28), (1e-9, 1e9, 1.0), (1.0, 1e-300, 2.0**40), (1.0, 1.0, 2.0**60), (1.0, 2.0**-9, 2.0**870)],
)
def test_integers_never_overflow(degree: int, bound: float, error: float, scale: float) -> None:
    """As wide as 881 bits and beyond, and where NumPy's of 64 bits are given."""
    grid, sensitivity = flooding._grid(error, degree, scale)
    assert sigma_for(sensitivity, reveals=MAX_REVEALS, security=MOST_SECURITY) / grid < 2.0**50
    units = integers(np.eye(1, degree)[0] * bound) * int(scale)
    one: Any = np.array(1, dtype=object)
    given = [units, -units] + ([units.astype(np.int64)] if abs(units).max() < 1 << 62 else [])
    for coefficients in given:
        for security in (1, MOST_SECURITY):
            settings: dict[str, Any] = {"scale": scale, "bound": bound, "reveals": MAX_REVEALS, "security": security}
            shown = flooded(coefficients, error=error, entropy=SystemEntropy(), **settings)
            limit = error_after(error, degree, **settings)
            assert np.abs(shown - flooding._slots(coefficients, scale)).max() <= limit
            same = [flooded(of, error=error, entropy=Same(), **settings) for of in (coefficients, coefficients * one)]
            assert np.array_equal(*same)


@pytest.mark.parametrize("value", [1.1, -2j, 1e300 + 1e300j, 2.0**60])
def test_decryptions_beyond_their_bound_are_refused(value: complex) -> None:
    slots = uniform(DEGREE, 5)
    slots[7] = value
    units = integers(coefficients_of(slots) * 2.0**20)
    with pytest.raises(ProtocolViolation, match="beyond its declared bound"):
        flooded(units, bound=1.0, error=1e-4, scale=2.0**20, reveals=1, entropy=SystemEntropy())


@pytest.mark.parametrize("degree", DEGREES)
def test_decryptions_at_their_bound_are_not(degree: int) -> None:
    """All of an error's norm may be in one slot (and its conjugate)."""
    slots = uniform(degree, 5)
    slots[7] = 1.0
    units = integers(coefficients_of(slots) * 2.0**40)
    error = np.zeros(degree // 2, complex)
    error[7] = 0.999e-4 * math.sqrt(degree / 2)
    away = integers(coefficients_of(error) * 2.0**40)
    settings: dict[str, Any] = {"bound": 1.0, "scale": 2.0**40, "reveals": 1, "entropy": SystemEntropy()}
    flooded(units + away, error=1e-4, **settings)
    with pytest.raises(ProtocolViolation, match="beyond its declared bound"):
        flooded(units + away, error=0.99e-4, **settings)


UNITS = integers(coefficients_of(uniform(DEGREE, 6)) * 2.0**40)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"coefficients": UNITS[:-1]}, "a whole decryption has one of"),
        ({"coefficients": UNITS.reshape(2, -1)}, "a whole decryption has one of"),
        ({"coefficients": UNITS[:2048]}, "a whole decryption has one of"),
        ({"error": 0.0}, "a positive one is needed"),
        ({"error": -1.0}, "a positive one is needed"),
        ({"error": math.inf}, "a positive one is needed"),
        ({"error": math.nan}, "a positive one is needed"),
        ({"reveals": 0}, "1 to 1024 are possible"),
        ({"reveals": MAX_REVEALS + 1}, "make a new key in time"),
        ({"security": 0}, "1 to 56 are possible"),
        ({"security": MOST_SECURITY + 1}, "1 to 56 are possible"),
    ],
)
def test_nonsense_is_refused(changed: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {"coefficients": UNITS, "bound": 1.0, "error": 1e-6, "scale": 2.0**40, "reveals": 1}
    call |= changed
    with pytest.raises(InvalidArgument, match=message):
        flooded(call.pop("coefficients"), entropy=SystemEntropy(), **call)


@pytest.mark.parametrize("bound", [math.nan, -1.0])
def test_nothing_is_within_a_bound_that_is_none(bound: float) -> None:
    with pytest.raises(ProtocolViolation, match="beyond its declared bound"):
        flooded(UNITS, bound=bound, error=1e-6, scale=2.0**40, reveals=1, entropy=SystemEntropy())


def test_an_error_of_zero_has_no_width() -> None:
    with pytest.raises(InvalidArgument, match="a positive one is needed"):
        sigma_for(0.0, reveals=1)

"""Flooded decryptions: the transform is SEAL's, the sensitivity and the errors are within what the proof says."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from key_recovery import DEGREE, SCALE, Victim, integers
from scipy.stats import chi2, norm

from privsdk.errors import InvalidArgument, ProtocolViolation
from privsdk.he import flooding
from privsdk.he.flooding import DEGREES, MAX_REVEALS, MOST_SECURITY, error_after, flooded, sigma_for
from privsdk.he.gaussians import width
from privsdk.protocol import SystemEntropy
from privsdk.testing import SeededEntropy

Slots = npt.NDArray[np.complex128]


def uniform(degree: int, seed: int, bound: float = 1.0) -> Slots:
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * math.pi, degree // 2)
    return np.asarray(bound * np.sqrt(rng.uniform(0, 1, degree // 2)) * np.exp(1j * angles))


def rms(slots: Slots) -> float:
    return float(np.sqrt(np.mean(np.abs(slots) ** 2)))


@pytest.mark.parametrize("size", [1e-3, 1.0, 512.0])
def test_coefficients_are_those_of_seal(size: float) -> None:
    """The integers behind a decryption come back, within the share of float64 that the sensitivity has for it."""
    victim = Victim()
    for seed in range(5):
        exact = integers(victim, uniform(DEGREE, seed, size)) / SCALE
        error = flooding._coefficients(victim.encoded_and_decoded(uniform(DEGREE, seed, size))) - exact
        assert np.linalg.norm(error) <= flooding._share(DEGREE) * np.linalg.norm(exact) / 4


@pytest.mark.parametrize("degree", DEGREES)
def test_the_transform_is_an_isometry(degree: int) -> None:
    slots = uniform(degree, 1)
    coefficients = flooding._coefficients(slots)
    assert np.linalg.norm(coefficients) == pytest.approx(rms(slots), rel=1e-14)
    assert np.abs(flooding._slots(coefficients) - slots).max() < 1e-14
    k, root = 5, np.exp(1j * np.pi * flooding._positions(degree) * 2 / degree + 1j * np.pi / degree)
    assert np.abs(flooding._slots(np.eye(1, degree, k)[0]) - root**k).max() < 1e-12
    assert np.linalg.norm(flooding._coefficients(slots.real.astype(complex))) <= np.linalg.norm(coefficients)


@pytest.mark.parametrize("security", [1, 30, MOST_SECURITY])
@pytest.mark.parametrize("reveals", [1, 100, MAX_REVEALS])
def test_the_divergence_of_all_reveals_is_as_derived(reveals: int, security: int) -> None:
    sigma = sigma_for(0.7, reveals=reveals, security=security)
    assert reveals * 0.7**2 / (2 * sigma**2) == pytest.approx(2.0**-security / 24)
    for least in (2.0**-100, 2.0**-128):  # the header's consequence for guessing a key
        p = 2.0**-39
        assert security != 30 or p * math.log(p / least) - p > 2.0**-security / 24


@pytest.mark.claim("he: errors in a CKKS decryption move what is flooded by no more than the sensitivity")
@pytest.mark.parametrize("degree", [DEGREES[0], DEGREES[-1]])
@pytest.mark.parametrize(("bound", "error"), [(1.0, 1e-3), (10.0, 1e-9), (512.0, 3e-10), (1e-3, 1e-18)])
def test_sensitivity(degree: int, bound: float, error: float, cases: Cases) -> None:
    grid, sensitivity = flooding._grid(error, bound, degree)
    assert sensitivity <= (error + flooding._share(degree) * (bound + error)) * (1 + 1 / 64)
    exact = uniform(degree, 2, bound)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        moved = np.zeros(degree // 2, dtype=complex)
        moved[: degree // 2 >> seed % 10] = error  # in all slots, or as much in a few
        moved *= np.exp(2j * np.pi * rng.uniform(size=degree // 2))
        moved *= error / rms(moved)
        units = [np.rint(flooding._coefficients(slots) / grid) for slots in (exact, exact + moved)]
        apart = float(np.linalg.norm(units[1] - units[0])) * grid
        assert apart <= sensitivity
        assert apart >= (0.9 * error if error > flooding._share(degree) * bound else 0)
        cases()


class Same:
    """Entropy that repeats itself, so that a difference shows what the noise is added to."""

    def draw(self, size: int) -> bytes:
        return bytes(size)


def test_noise_is_added_to_the_rounded_coefficients() -> None:
    settings = {"bound": 1.0, "error": 1e-6, "reveals": 10}
    grid, sensitivity = flooding._grid(1e-6, 1.0, DEGREE)
    zero = flooding._coefficients(flooded(np.zeros(DEGREE // 2), entropy=Same(), **settings))
    one = flooding._coefficients(flooded(uniform(DEGREE, 3), entropy=Same(), **settings))
    shift = (one - zero) / grid
    assert np.abs(shift - np.rint(flooding._coefficients(uniform(DEGREE, 3)) / grid)).max() < 1e-3
    assert np.abs(zero / grid - np.rint(zero / grid)).max() < 1e-3
    sigma = grid * width(sigma_for(sensitivity, reveals=10) / grid)
    assert abs((zero / sigma).std() - 1) < 5 / math.sqrt(2 * DEGREE)


@pytest.mark.claim("he: flooded decryptions stay within the stated bound")
@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize(("bound", "error", "reveals"), [(1.0, 1e-12, 1), (512.0, 3e-10, 1024), (1.0, 1e-3, 64)])
def test_error_after(degree: int, bound: float, error: float, reveals: int, cases: Cases, soak: bool) -> None:
    limit = error_after(error, bound, degree, reveals=reveals)
    exact, largest = uniform(degree, 4, bound), 0.0
    entropy = SeededEntropy(f"{degree}{bound}".encode())
    spread, count = 0.0, 200 if soak else 10
    for seed in range(count):
        decrypted = exact + error * np.exp(2j * np.pi * np.random.default_rng(seed).uniform(size=degree // 2))
        away = flooded(decrypted, bound=bound, error=error, reveals=reveals, entropy=entropy) - exact
        largest = max(largest, float(np.abs(away).max()) / limit)
        spread += float(np.mean(np.abs(away) ** 2)) / count
        cases(degree // 2)
    assert 0.35 < largest <= 1
    _, sensitivity = flooding._grid(error, bound, degree)
    sigma = sigma_for(sensitivity, reveals=reveals)
    assert 0.99 < spread / (sigma**2 * degree) < 1.02


@pytest.mark.parametrize("degree", DEGREES)
def test_the_bound_fails_as_rarely_as_stated(degree: int) -> None:
    """The normal law's tail in the radius that `error_after` takes, by its exact formula for two dimensions."""
    grid, sensitivity = flooding._grid(1e-6, 1.0, degree)
    noise = error_after(1e-6, 1.0, degree, reveals=1) - math.sqrt(degree / 2) * sensitivity
    sigma = grid * width(sigma_for(sensitivity, reveals=1) / grid)
    radius = noise / (sigma * math.sqrt(degree / 2))
    assert degree / 2 * chi2.sf(radius**2, 2) < 2.0**-40
    directed = 16 * degree / 2 * norm.sf(radius * math.cos(math.pi / 16)) * 2
    assert directed < 2.0**-40
    assert degree / 2 * chi2.sf((0.85 * radius) ** 2, 2) > 2.0**-40


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize(("bound", "error"), [(1e9, 1e-12), (1e-9, 1e9), (1.0, 1e-300)])
def test_integers_never_overflow(degree: int, bound: float, error: float) -> None:
    if error >= 1e-12:
        grid, sensitivity = flooding._grid(error, bound, degree)
        sigma = sigma_for(sensitivity, reveals=MAX_REVEALS, security=MOST_SECURITY) / grid
        assert sigma < 2.0**50
        assert (bound + math.sqrt(degree / 2) * error) * 1.01 / grid + 32 * sigma < 2.0**62
    slots = np.full(degree // 2, bound)
    for security in (1, MOST_SECURITY):
        shown = flooded(
            slots, bound=bound, error=error, reveals=MAX_REVEALS, security=security, entropy=SystemEntropy()
        )
        limit = error_after(error, bound, degree, reveals=MAX_REVEALS, security=security)
        assert np.abs(shown - slots).max() <= limit


def with_one(value: complex) -> Slots:
    slots = uniform(DEGREE, 5)
    slots[7] = value
    return slots


@pytest.mark.parametrize("value", [math.nan, math.inf, complex(0, -math.inf), 1.1, -2j, 1e308 + 1e308j, 2.0**60])
def test_decryptions_beyond_their_bound_are_refused(value: complex) -> None:
    with pytest.raises(ProtocolViolation, match="beyond its declared bound"):
        flooded(with_one(value), bound=1.0, error=1e-4, reveals=1, entropy=SystemEntropy())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"slots": uniform(DEGREE, 6)[:-1]}, "a whole decryption was expected"),
        ({"slots": uniform(DEGREE, 6).reshape(2, -1)}, "a whole decryption was expected"),
        ({"slots": uniform(2048, 6)}, "a whole decryption was expected"),
        ({"bound": 0.0}, "both have to be positive"),
        ({"bound": math.nan}, "both have to be positive"),
        ({"error": 0.0}, "both have to be positive"),
        ({"error": math.inf}, "both have to be positive"),
        ({"reveals": 0}, "1 to 1024 are possible"),
        ({"reveals": MAX_REVEALS + 1}, "make a new key in time"),
        ({"security": 0}, "1 to 56 are possible"),
        ({"security": MOST_SECURITY + 1}, "1 to 56 are possible"),
    ],
)
def test_nonsense_is_refused(changed: dict[str, object], message: str) -> None:
    call = {"slots": uniform(DEGREE, 6), "bound": 1.0, "error": 1e-6, "reveals": 1, "entropy": SystemEntropy()}
    call |= changed
    with pytest.raises(InvalidArgument, match=message):
        flooded(call.pop("slots"), **call)


def test_an_error_of_zero_has_no_width() -> None:
    with pytest.raises(InvalidArgument, match="a positive one is needed"):
        sigma_for(0.0, reveals=1)

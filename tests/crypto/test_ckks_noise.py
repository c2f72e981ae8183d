"""CKKS: what encryption and evaluation add to exact arithmetic over encoded plaintexts stays within its figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec
import numpy as np
import pytest
from claims import Cases, Counts, lengthy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polynomials import Exact, decrypted, encoded, exactly, product

from privsdk import he
from privsdk.crypto.seal.flooding import _slots
from privsdk.crypto.seal.noise import NoiseEstimate, NoiseEstimator
from privsdk.errors import CircuitTooDeep, InvalidArgument

PRESETS = {
    "sums": he.Preset(scheme="ckks", degree=4096, data=(60,), special=49, scale_bits=52, packing="complex"),
    "one product": he.Preset(scheme="ckks", degree=4096, data=(60,), special=49, scale_bits=24, packing="real"),
    "growing": he.Preset(
        scheme="ckks", degree=8192, data=(54,) * 3, special=55, scale_bits=32, packing="real", products=True
    ),
    "rescaled": he.Preset(
        scheme="ckks", degree=8192, data=(60, 40, 40), special=60, scale_bits=40, drop=1, packing="real", products=True
    ),
    "pairs": he.Preset(
        scheme="ckks", degree=16384, data=(54,) * 5, special=56, scale_bits=108, drop=2, packing="real", products=True
    ),
    "many digits": he.Preset(
        scheme="ckks", degree=32768, data=(54,) * 8, special=56, scale_bits=54, drop=1, packing="real", products=True
    ),
}


@lru_cache(maxsize=len(PRESETS))
def key_of(name: str) -> he.SecretContext:
    return he.SecretContext.new(PRESETS[name])


def measured(column: he.Column, inputs: dict[int, Exact], key: he.SecretContext) -> tuple[float, float]:
    """The noise's root mean square as a share of `noise`, and its largest slot as a share of `error`."""
    node, estimate = column._node, column.meta.estimate
    exact = exactly(node, inputs, key.preset)
    (row,) = column.rows()
    found = np.abs(_slots(exact.less(decrypted(row, estimate, key)), NoiseEstimator(key.preset).scale_of(estimate)))
    return float(np.sqrt(np.mean(found**2))) / estimate.noise, float(found.max()) / estimate.error


Operation = Callable[[he.Column, he.Column, np.ndarray], he.Column]  # type: ignore[type-arg]
OPERATIONS: dict[str, Operation] = {
    "sum": lambda one, other, vector: one + other,
    "difference": lambda one, other, vector: one - other,
    "product": lambda one, other, vector: one * other,
    "square": lambda one, other, vector: one * one,
    "times a number": lambda one, other, vector: one * 1.7,
    "times a vector": lambda one, other, vector: one * vector,
    "plus a number": lambda one, other, vector: one - 0.3,
    "plus a vector": lambda one, other, vector: one + vector,
    "less itself": lambda one, other, vector: one - one,
    "times zero": lambda one, other, vector: one * 0,
}


def circuit(key: he.SecretContext, operations: list[str], seed: int) -> tuple[he.Column, dict[int, Exact]]:
    """Operations on two columns in turn, but those that the preset refuses; and the columns as they were encoded."""
    preset, rng = key.preset, np.random.default_rng(seed)
    inputs: dict[int, Exact] = {}
    columns = []
    for i in range(2):
        values = rng.uniform(-1, 1, preset.values_a_row)
        values = np.sign(values) if seed % 3 == 0 else values
        column = he.encrypt(values, 1.0, key if (seed + i) % 2 else key.public)
        inputs[id(column._node)] = Exact(encoded(preset, values, 2.0**preset.scale_bits))
        columns.append(column)
    for operation in operations:
        vector = rng.uniform(-2, 2, preset.values_a_row)
        try:
            made = OPERATIONS[operation](*columns, vector)
        except (CircuitTooDeep, InvalidArgument):
            continue
        columns = [columns[1], made]
    return columns[1], inputs


@pytest.mark.claim("he: CKKS noise, against exact arithmetic, stays within its figures")
@pytest.mark.parametrize("name", ["sums", "one product", "growing", "rescaled"])
def test_random_circuits(name: str, cases: Cases, counts: Counts) -> None:
    shares = np.zeros(2)

    @settings(max_examples=counts(5, 12, 200), suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.lists(st.sampled_from(list(OPERATIONS)), min_size=1, max_size=6), st.integers(0, 1 << 20))
    def run(operations: list[str], seed: int) -> None:
        nonlocal shares
        found = measured(*circuit(key_of(name), operations, seed), key_of(name))
        assert found[0] < 0.25
        assert found[1] < 1
        shares = np.maximum(shares, found)
        cases(PRESETS[name].degree // 2)

    run()
    cases.say(f"{name}: root mean square {shares[0]:.2f} of the noise, slots {shares[1]:.2f} of the error")


@pytest.mark.claim("he: CKKS noise, against exact arithmetic, stays within its figures")
@pytest.mark.parametrize("name", ["growing", "rescaled", "pairs", "many digits"])
@pytest.mark.parametrize("secret", [False, *lengthy(True)])
def test_switched_keys(name: str, secret: bool, cases: Cases) -> None:
    """Products of two encryptions of zero: what is left but for the product of their noise is the key switching's.

    SEAL's digits are not centred, which shows in the slots next to 1: the bound for centred ones fails there for most
    keys, by up to 4 times.
    """
    key = key_of(name)
    preset, estimator = key.preset, NoiseEstimator(key.preset)
    one, other = (he.encrypt(np.zeros(preset.values_a_row), 1.0, key if secret else key.public) for _ in range(2))
    raw = [decrypted(column.rows()[0], column.meta.estimate, key) for column in (one, other)]
    made = one * other
    left = decrypted(made.rows()[0], made.meta.estimate, key) - product(*raw)
    slots = np.abs(_slots(left, 1.0))
    zero = estimator.times(*(estimate_of_nothing(column) for column in (one, other)))
    scale = estimator.scale_of(zero)
    assert np.sqrt(np.mean(slots**2)) < zero.noise * scale / 4
    assert slots.max() / (zero.error * scale) < 0.2
    assert slots[:4].max() > 5 * np.median(slots)
    cases(len(slots))
    cases.say(f"key switching, {name}: {slots.max() / (zero.noise * scale):.2f} of the bound for centred digits")


def estimate_of_nothing(column: he.Column) -> NoiseEstimate:
    return msgspec.structs.replace(column.meta.estimate, error=0.0, noise=0.0, bound=1e-30)


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("name", ["sums", "one product", "growing"])
def test_fresh_noise_and_its_bound(name: str, secret: bool) -> None:
    """A public encryption's root mean square is a sixteenth of its bound, a secret one's a sixth; no slot is above."""
    key, shares = key_of(name), []
    for seed in range(4):
        values = np.random.default_rng(seed).uniform(-1, 1, key.preset.values_a_row)
        column = he.encrypt(values, 1.0, key if secret else key.public)
        exact = Exact(encoded(key.preset, values, 2.0**key.preset.scale_bits))
        inputs = {id(column._node): exact}
        shares.append(measured(column, inputs, key))
    (least, most), slots = np.percentile([share[0] for share in shares], [0, 100]), max(share[1] for share in shares)
    assert (0.15 < least <= most < 0.18) if secret else (0.058 < least <= most < 0.068)
    assert slots < 0.75


@pytest.mark.claim("he: CKKS noise, against exact arithmetic, stays within its figures")
@pytest.mark.parametrize("secret", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("rescaled", [False, True])
def test_each_part_of_a_product_counts(secret: tuple[bool, bool], rescaled: bool, cases: Cases) -> None:
    """A public column has ten times a secret one's noise, and a dropped prime as much again: none hides another."""
    key, inputs, columns = key_of("rescaled"), {}, []
    for i in range(2):
        values = np.random.default_rng(i).uniform(-1, 1, key.preset.values_a_row)
        columns.append(he.encrypt(values, 1.0, key if secret[i] else key.public))
        inputs[id(columns[i]._node)] = Exact(encoded(key.preset, values, 2.0**key.preset.scale_bits))
    made = columns[0] * columns[1]
    found = measured(made * 1.0 if rescaled else made, inputs, key)
    assert found[0] < 0.15
    assert found[1] < 0.5
    cases(key.preset.degree // 2)

"""Revealed CKKS sums over slots: where their noise comes from, and that it is within the stated error, but not far."""

from __future__ import annotations

import math

import numpy as np
import pytest
from claims import Cases
from rounding import roundoff

from privsdk import he
from privsdk.crypto.seal.flooding import DEGREES, _slots
from privsdk.testing import SeededEntropy

REAL = he.Preset(scheme="ckks", degree=4096, data=(60,), special=49, scale_bits=40, packing="real")
COMPLEX = he.Preset(scheme="ckks", degree=4096, data=(60,), special=49, scale_bits=40, packing="complex")
PRODUCTS = he.Preset(
    scheme="ckks", degree=8192, data=(60, 40, 40), special=60, scale_bits=40, drop=1, packing="real", products=True
)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.rounding
def test_three_coefficients_make_the_sum_over_slots(degree: int) -> None:
    """SEAL's slots are the powers of 3, odd numbers that are 1 or 3 modulo 8: one of each conjugate pair."""
    coefficients = np.random.default_rng(degree).integers(-(1 << 30), 1 << 30, degree)
    total, quarter = _slots(coefficients, 1.0).sum(), degree // 4
    # each of degree / 2 slots has the transform's error, of about sqrt(degree) times the largest coefficient
    allowed = roundoff(5 * degree.bit_length(), np.float64) * degree * 2**30
    assert total.real == pytest.approx(degree / 2 * coefficients[0], abs=allowed)
    assert total.imag == pytest.approx(
        degree / math.sqrt(8) * (coefficients[quarter] + coefficients[3 * quarter]), abs=allowed
    )


@pytest.mark.claim("he: revealed CKKS sums stay within their stated error")
@pytest.mark.parametrize(
    ("preset", "rows", "kind"),
    [(REAL, 1, "sum"), (REAL, 3, "mean"), (COMPLEX, 1, "sum"), (COMPLEX, 3, "mean"), (PRODUCTS, 2, "dot")],
)
def test_folded_reveals(preset: he.Preset, rows: int, kind: str, cases: Cases, soak: bool) -> None:
    """The bound is about nine standard deviations of the flooding, which is nearly all that there is."""
    key, entropy = he.SecretContext.new(preset), SeededEntropy(f"{kind}{preset.packing}{rows}".encode())
    values = np.random.default_rng(rows).uniform(-100, 100, preset.values_a_row * rows - 7)
    column = he.encrypt(values, 100.0, key.public)
    folded = column.dot(column) if kind == "dot" else column.sum() if kind == "sum" else column.mean()
    assert isinstance(folded, he.Column)
    exact = {"sum": values.sum(), "mean": values.mean(), "dot": (values**2).sum()}[kind]
    shown = [he.reveal(folded, key, entropy=entropy) for _ in range(1000 if soak else 40)]
    away = np.array([float(reveal) - exact for reveal in shown]) / shown[0].error
    assert shown[0].error == folded.error
    assert np.abs(away).max() < 1
    assert 0.075 < np.sqrt(np.mean(away**2)) < 0.16
    cases(len(shown))
    cases.say(f"{kind}, {preset.packing}: {1 / np.sqrt(np.mean(away**2)):.1f} standard deviations")

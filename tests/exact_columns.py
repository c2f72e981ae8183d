"""Columns beside exact arithmetic: every operator on ciphertexts and on fractions, for the laws of columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from privsdk import he
from privsdk.crypto.seal.circuit import values_of
from privsdk.crypto.seal.noise import NoiseEstimator
from privsdk.crypto.seal.presets import Preset

SIGMOID = (Fraction(0.5), Fraction(0.15012), Fraction(-0.0015930078125))

PRESETS = {
    "exact": Preset(scheme="exact", degree=4096, data=(54,), special=55, limbs=2, resolution=1.0),
    "exact, fine": Preset(scheme="exact", degree=8192, data=(54, 54), special=55, limbs=3, resolution=2.0**-20),
    "exact, coarse": Preset(scheme="exact", degree=8192, data=(54, 54, 54), special=55, limbs=3, resolution=4.0),
    "complex": Preset(scheme="ckks", degree=4096, data=(60,), special=49, scale_bits=26, packing="complex"),
    "growing": Preset(
        scheme="ckks", degree=8192, data=(54, 54, 54), special=55, scale_bits=36, packing="real", products=True
    ),
    "dropping": Preset(
        scheme="ckks", degree=8192, data=(60, 40, 40), special=60, scale_bits=40, drop=1, packing="real", products=True
    ),
    "dropping, complex": Preset(
        scheme="ckks", degree=8192, data=(60, 40, 40), special=60, scale_bits=40, drop=1, packing="complex"
    ),
    "dropping two": Preset(
        scheme="ckks", degree=16384, data=(54,) * 7, special=56, scale_bits=108, drop=2, packing="real", products=True
    ),
}


@cache
def key_of(name: str) -> he.SecretContext:
    """One key for each preset; whoever uses it up sets its count back."""
    return he.SecretContext.new(PRESETS[name], owner="keeper")


@dataclass
class Beside:
    """A column and what it holds: fractions, and which of them are there."""

    column: he.Column
    values: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]

    @property
    def folded(self) -> bool:
        return self.column.meta.folded

    def map(self, column: he.Column, values: Any, valid: Any = None) -> Beside:
        return Beside(column, np.asarray(values, object), self.valid if valid is None else valid)

    def plain(self, apply: Callable[[Any, Any], Any], operand: Any) -> Beside:
        """With one number or a vector."""
        values, valid = exact(operand)
        return self.map(apply(self.column, operand), apply(self.values, values), self.valid & valid)

    def with_(self, apply: Callable[[Any, Any], Any], other: Beside) -> Beside:
        return self.map(apply(self.column, other.column), apply(self.values, other.values), self.valid & other.valid)

    def sigmoid(self) -> Beside:
        zeroth, first, third = SIGMOID
        return self.map(self.column.sigmoid(), self.values**3 * third + self.values * first + zeroth)

    def sum(self) -> Beside:
        return self.folding(self.column.sum())

    def mean(self) -> Beside:
        return self.folding(self.column.mean(), Fraction(1, int(self.valid.sum())))

    def folding(self, column: Any, factor: Any = 1, mask: Any = True) -> Beside:
        """The sum of the values that are there and that a mask leaves."""
        total = sum(self.values[self.valid & mask].tolist(), Fraction(0)) * factor
        return Beside(column, np.array([total], object), np.ones(1, bool))

    def check(self, key: he.SecretContext) -> float:
        """Reveal and compare; returns what part of the stated error there is."""
        key.uses = 0
        revealed = he.reveal(self.column, key)
        shown = np.atleast_1d(np.asarray(revealed.values, object))
        assert len(shown) == len(self.values)
        if revealed.valid is not None:
            assert (revealed.valid == self.valid).all()
            assert not shown[~self.valid].any()
        assert revealed.error == self.column.error
        assert math.isfinite(revealed.error)
        worst = max(
            (abs(Fraction(value) - due) for value, due in zip(shown[self.valid], self.values[self.valid], strict=True)),
            default=Fraction(0),
        )
        assert worst <= Fraction(revealed.error), f"off by {float(worst):.3g} where {revealed.error:.3g} is stated"
        return float(worst / Fraction(revealed.error)) if worst else 0.0

    def check_unflooded(self, key: he.SecretContext) -> float:
        """CKKS: as `check`, of each slot before any noise is added, which hides errors a million times as small."""
        meta, ring = self.column.meta, key.preset.rings[0]
        parts = []
        for row in self.column.rows():
            plain, scale = ring.new_plain(), NoiseEstimator(key.preset).scale_of(meta.estimate)
            key.decryptors[0].decrypt(ring.ciphertext(row, meta.primes, scale=scale), plain)
            parts.append(values_of(ring.decode(plain), key.preset))
        slots = np.concatenate(parts)
        slack = (meta.estimate.bound + meta.estimate.error) * 2.0**-44  # of SEAL's decoding
        if meta.folded:
            worst = abs(math.fsum(slots) - float(self.values[0] * Fraction(meta.divisor))) / len(slots)
        else:
            due = self.values[self.valid].astype(np.float64)
            worst = float(np.abs(slots[: len(self.values)][self.valid] - due).max(initial=0.0))
            if meta.zeroed:  # what is summed: nulls, and the slots behind the last value
                rest = np.concatenate([slots[: len(self.values)][~self.valid], slots[len(self.values) :]])
                worst = max(worst, float(np.abs(rest).max(initial=0.0)))
        assert worst <= meta.estimate.error + slack, f"off by {worst:.3g} where {meta.estimate.error:.3g} is estimated"
        return worst / (meta.estimate.error + slack)


def exact(operand: Any) -> tuple[Any, Any]:
    """A plain operand as fractions, and where it has values."""
    if isinstance(operand, pa.Array | pa.ChunkedArray):
        listed = operand.to_pylist()
        return fractions([one or 0 for one in listed]), np.array([one is not None for one in listed])
    if np.ndim(operand):
        return fractions(np.asarray(operand).tolist()), np.ones(len(operand), bool)
    return Fraction(operand), np.ones(1, bool)


def fractions(values: list[Any]) -> npt.NDArray[Any]:
    known = {value: Fraction(value) for value in set(values)}
    made = np.empty(len(values), object)
    made[:] = [known[value] for value in values]
    return made


def beside(data: Any, bound: float, key: Any) -> Beside:
    """Encrypt, with nulls where the data has them."""
    values, valid = exact(data)
    return Beside(he.encrypt(data, bound, key, nulls="public"), values, valid)

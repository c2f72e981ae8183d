"""Two ways to add vectors under encryption: exact integers (BFV) and approximate reals (CKKS).

Exact: an integer total within +-B is carried as residues modulo k primes of 30 bits (the Chinese remainder theorem),
so the plaintext that the key holder opens is the total and nothing finer. (Digits in a base would fit one modulus, but
their separate sums show carries, which tell more than the total.) k is the fewest primes whose product exceeds
2 n B + 1 for n parties: every party's value was checked against B, so no accepted input can wrap. The noise is not
flooded: that of a sum holds the rounding of each party's plaintext beside far larger random terms, a hint to the key
holder at how the total is split for which there is neither a known use nor a proof of harmlessness.

Approximate: reals are divided by their bound and added by CKKS; the totals are flooded, see `flooding`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import InvalidArgument
from ...protocol.roles import SystemEntropy
from .circuit import approximately, exactly, slot_error
from .keys import PublicContext, SecretContext
from .noise import NoiseEstimate, NoiseEstimator
from .parallel import encrypt
from .presets import PLAIN_PRIMES, Preset
from .ring import residues
from .serial import Buffer

MAX_PARTIES = 1000
MAX_REVEALED = 16  # ciphertexts of approximate totals under one key
DEGREE = 4096
PRIMES = PLAIN_PRIMES[DEGREE][:6]

Integers = Sequence[int] | npt.NDArray[Any]


class ExactScheme(msgspec.Struct, frozen=True, kw_only=True, tag="exact"):
    """Sums of integer vectors with every party's entries within +-max_units; larger ones are refused.

    With `modular` they are not: sums are then taken modulo the product of the primes, which is more than
    2 * parties * max_units. For entries with unbounded noise, whose size must not decide whether a run ends.
    """

    parties: int
    length: int
    max_units: int
    limbs: int = 0
    modular: bool = False

    def __post_init__(self) -> None:
        _check_shape(self.parties, self.length)
        needed = limbs_for(self.parties, self.max_units)
        if self.limbs not in (0, needed):
            raise InvalidArgument(f"{self.limbs} limbs where {needed} are needed")
        msgspec.structs.force_setattr(self, "limbs", needed)

    @property
    def preset(self) -> Preset:
        return Preset(scheme="exact", degree=DEGREE, data=(54,), special=55, limbs=self.limbs, resolution=1.0)

    @property
    def rows(self) -> int:
        return math.ceil(self.length / DEGREE)

    def units(self, vector: Integers) -> npt.NDArray[Any]:
        """A party's vector as an array, checked."""
        units = np.asarray(vector)
        if units.dtype.kind in "uf" and all(type(entry) is int for entry in vector):  # some of them of 2^63 and more
            units = np.asarray(vector, dtype=object)
        if units.shape != (self.length,) or units.dtype.kind not in "iO":
            raise InvalidArgument(f"a vector of {self.length} integers was expected")
        if not self.modular and max(abs(int(units.max())), abs(int(units.min()))) > self.max_units:
            raise InvalidArgument(f"a vector of {self.length} integers within +-{self.max_units} was expected")
        return units

    def encrypt(self, key: PublicContext, vector: npt.NDArray[Any]) -> list[bytes]:
        """Rows of a part of `units` that begins at a multiple of a row's values."""
        if vector.dtype == object:
            vector = residues(vector, self.preset.modulus)
        return encrypt(key, vector)

    def decrypt(self, key: SecretContext, rows: Sequence[Buffer]) -> npt.NDArray[Any]:
        """Every slot of these rows."""
        return exactly(rows, key, primes=1)

    def totals(self, slots: npt.NDArray[Any]) -> list[int]:
        """The exact totals, of the slots of all rows."""
        return [int(total) for total in slots[: self.length].tolist()]


class ApproximateScheme(msgspec.Struct, frozen=True, kw_only=True, tag="approximate"):
    """Sums of real vectors with every party's entry i within +-bounds[i]."""

    parties: int
    length: int
    bounds: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_shape(self.parties, self.length)
        if len(self.bounds) != self.length or any(not 0 < b < math.inf for b in self.bounds):
            raise InvalidArgument("one positive, finite bound is needed for each value")

    @property
    def preset(self) -> Preset:
        """Values are within 1, totals within the number of parties: the scale leaves room for 2^12."""
        return Preset(
            scheme="ckks",
            degree=8192,
            data=(54, 54),
            special=55,
            scale_bits=92,
            packing="complex",
            reveals=MAX_REVEALED,
        )

    @property
    def rows(self) -> int:
        return math.ceil(self.length / self.preset.values_a_row)

    @property
    def estimate(self) -> NoiseEstimate:
        """The figures of a total, as a share of its entry's bound."""
        estimator = NoiseEstimator(self.preset)
        return estimator.repeated(estimator.fresh(1.0), self.parties)

    def error_bound(self, entry: int) -> float:
        """Bound on the error of total `entry`."""
        return (slot_error(self.preset, self.estimate) + self.parties * 2.0**-50) * self.bounds[entry]

    def units(self, vector: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        values = np.asarray(vector, np.float64)
        if values.shape != (self.length,) or not (np.abs(values) <= np.array(self.bounds)).all():
            raise InvalidArgument(f"a vector of {self.length} reals within the bounds was expected")
        return np.asarray(values / np.array(self.bounds))

    def encrypt(self, key: PublicContext, vector: npt.NDArray[Any]) -> list[bytes]:
        return encrypt(key, vector)

    def decrypt(self, key: SecretContext, rows: Sequence[Buffer]) -> npt.NDArray[Any]:
        """Every slot of these rows, flooded, so that they can be shown."""
        return approximately(rows, key, self.estimate, SystemEntropy())

    def totals(self, slots: npt.NDArray[Any]) -> list[float]:
        """The totals, of the slots of all rows."""
        return list((slots[: self.length] * np.array(self.bounds)).tolist())


def limbs_for(parties: int, max_units: int) -> int:
    """Fewest primes whose product exceeds 2 * parties * max_units + 1."""
    product, needed = 1, 2 * parties * max_units + 1
    for count, prime in enumerate(PRIMES, start=1):
        product *= prime
        if product > needed:
            return count
    raise InvalidArgument(
        f"a total over {parties} parties of up to {max_units:.3g} grid steps each: more than an encrypted sum can hold",
        hint="declare a smaller bound or a coarser resolution",
    )


def _check_shape(parties: int, length: int) -> None:
    if not 1 <= parties <= MAX_PARTIES:
        raise InvalidArgument(f"{parties} parties; an encrypted sum takes 1 to {MAX_PARTIES}")
    if length < 1:
        raise InvalidArgument("an empty vector cannot be summed")

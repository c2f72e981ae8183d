"""What is known of a ciphertext without opening it: level, scale, bound on the values, bound on their error.

Every operator computes these before anything runs, so that too deep a circuit or too large a value is refused when it
is written down, and the worst-case error of an answer is known before it is there.

CKKS. Errors are bounds on |slot error| in the column's unit, by the lemmas of CKKS17 (Cheon, Kim, Kim, Song, ASIACRYPT
2017, appendix A and section 3.4; high-probability bounds on the canonical norm), with sigma = 3.2 and h = 2 N / 3 for
SEAL's ternary secrets:

    B_clean = 8 sqrt(2) sigma N + 6 sigma sqrt(N) + 16 sigma sqrt(h N)    a public-key encryption of zero
    B_round = sqrt(N / 3) (3 + 8 sqrt(h))                                 dropping a prime rounds every coefficient
    B_ks    = 8 sigma N / sqrt(3)                                         switching keys, for each digit
    B_steep = 6 sigma N^1.5 / pi                                          and more in the slots next to 1

SEAL encrypts modulo the special prime P too, and drops it: a fresh error is B_clean / P + B_round, with a secret key 6
sigma sqrt(N). Relinearising adds primes * q B_ks / P + B_round for digits below q, but SEAL's digits are not centred:
their mean is q / 2 times 1 + X + ... + X^(N-1), which is q N / pi where X is next to 1, and falls from there. So B_ks
bounds the root mean square over all slots, and B_ks + B_steep each of them. Encoding rounds each coefficient by at most
1/2, so N / 2 in a slot, and computes in double precision: 2^-44 of the largest slot covers its FFT of up to 2^15
points. A coefficient is an average of slots, so a value times its scale stays below half the modulus.

Exact. A fresh coefficient of the noise is the rounding of dropping P, of standard deviation sqrt((1 + h) / 12) (15 for
N = 4096), or SEAL's clipped noise of at most 21 with a secret key. 10 standard deviations are exceeded with a
probability below 2^-75. Decryption is right while the sum of the bounds stays below q / (2 t). Sums add bounds;
products with a plaintext multiply them by the sum of its coefficients' sizes, at most N t / 2, or by the number itself
where it is one for all rows.
"""

from __future__ import annotations

import math

import msgspec

from ...errors import CircuitTooDeep, InvalidArgument
from .presets import Preset
from .ring import SIGMA

_DOUBLE = 2.0**-44
_FRESH_DEVIATIONS = 10.0
_CLIPPED = 21.0
_HEADROOM = 4.0  # decryptions under a wrong key are noise over the whole modulus: what is over a quarter is refused


class NoiseEstimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The figures of one ciphertext, the same for every slot.

    Attributes
    ----------
    level : int
        Products before this one that it was rescaled after.
    pending : bool
        CKKS: a product that has not been brought back to its level's scale yet.
    bound : float
        Largest absolute value, in the column's unit.
    error : float
        Largest difference between a slot and the exact value, before a reveal adds its own.
    noise : float
        What of that depends on the key, and has to be hidden where the value is shown: encryption, key switching and
        dropped primes, but not the rounding of what was encoded. CKKS: as a root mean square over the slots, which
        `flooding` asks for; before products of ciphertexts it holds in every slot. Exact: largest coefficient of it.
    summands : int
        Fresh ciphertexts in it.
    """

    level: int = 0
    pending: bool = False
    bound: float
    error: float
    noise: float = 0.0
    summands: int = 1


class NoiseEstimator:
    """Estimates the noise of results under one preset."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        n = preset.degree
        h = 2 * n / 3
        clean = 8 * math.sqrt(2) * SIGMA * n + 6 * SIGMA * math.sqrt(n) + 16 * SIGMA * math.sqrt(h * n)
        self._rounded = math.sqrt(n / 3) * (3 + 8 * math.sqrt(h))
        self._public = clean / 2.0 ** (preset.special - 1) + self._rounded
        self._zero = clean / 2.0 ** (min(*preset.data, preset.special) - 1) + self._rounded  # at any level
        self._secret = 6 * SIGMA * math.sqrt(n)
        self._switched = 8 * SIGMA * n / math.sqrt(3)
        self._steep = 6 * SIGMA * n**1.5 / math.pi
        self._noise = _FRESH_DEVIATIONS * math.sqrt((1 + h) / 12)

    @property
    def exact(self) -> bool:
        return self.preset.scheme == "exact"

    def scale_of(self, estimate: NoiseEstimate) -> float:
        scale = self.preset.scale(estimate.level)
        return scale * scale if estimate.pending else scale

    def products_of(self, estimate: NoiseEstimate) -> int:
        """Products one after the other in it."""
        return estimate.level + estimate.pending

    def fresh(self, bound: float, *, secret: bool = False, on_grid: bool = False) -> NoiseEstimate:
        """Of values within +-bound, encrypted with a secret or the public key; exact ones may lie on the grid."""
        if not 0 < bound < math.inf:
            raise InvalidArgument(f"a bound of {bound}", hint="give the largest absolute value, positive and finite")
        bound = float(bound)  # NumPy's integers wrap around, and its numbers are no metadata
        if self.exact:
            noise = _CLIPPED if secret else self._noise
            error = 0.0 if on_grid else self.preset.resolution / 2
            return self.checked(NoiseEstimate(bound=bound, error=error, noise=noise))
        scale = 2.0**self.preset.scale_bits
        noise = (self._secret if secret else self._public) / scale
        return self.checked(NoiseEstimate(bound=bound, error=noise + self._encoding(bound, scale), noise=noise))

    def sum(self, *estimates: NoiseEstimate) -> NoiseEstimate:
        """Of ciphertexts of one level, all pending or none."""
        return self._hidden(
            NoiseEstimate(
                level=estimates[0].level,
                pending=any(estimate.pending for estimate in estimates),
                bound=math.fsum(estimate.bound for estimate in estimates),
                error=math.fsum(estimate.error for estimate in estimates),
                noise=math.fsum(estimate.noise for estimate in estimates),
                summands=sum(estimate.summands for estimate in estimates),
            )
        )

    def repeated(self, estimate: NoiseEstimate, count: int) -> NoiseEstimate:
        """The sum of so many ciphertexts with these figures."""
        return self.checked(
            msgspec.structs.replace(
                estimate,
                bound=estimate.bound * count,
                error=estimate.error * count,
                noise=estimate.noise * count,
                summands=estimate.summands * count,
            )
        )

    def folded(self, estimate: NoiseEstimate, rows: int, values: int) -> NoiseEstimate:
        """The sum of so many rows, to be added over its slots when it is opened: an exact one as a whole, with the
        blinding of its slots; a CKKS one slot by slot."""
        if not self.exact:
            return self.repeated(estimate, rows)
        return self.checked(
            msgspec.structs.replace(
                estimate,
                bound=estimate.bound * values,
                error=estimate.error * values,
                noise=estimate.noise * rows + rows,
                summands=estimate.summands * rows,
            )
        )

    def plus_plain(self, estimate: NoiseEstimate, bound: float, *, on_grid: bool = False) -> NoiseEstimate:
        """Plus plain numbers within +-bound; exact ones may lie on the grid."""
        if not bound:
            return estimate
        rounding = 0.0 if on_grid else self.preset.resolution / 2
        error = rounding if self.exact else self._encoding(bound, self.scale_of(estimate))
        return self.checked(
            msgspec.structs.replace(
                estimate, bound=estimate.bound + bound, error=estimate.error + error, noise=estimate.noise + self.exact
            )
        )

    def times_plain(self, estimate: NoiseEstimate, bound: float, *, constant: bool) -> NoiseEstimate:
        """By plain numbers within +-bound: one for all rows (`constant`), or one for each."""
        if self.exact:
            growth = bound if constant else self.preset.degree * 2.0**29
            return self._hidden(
                msgspec.structs.replace(
                    estimate,
                    pending=estimate.pending or not constant,
                    bound=estimate.bound * bound,
                    error=estimate.error * bound,
                    noise=estimate.noise * growth,
                )
            )
        scale = self.preset.scale(estimate.level)
        encoding = (0.5 / scale + bound * _DOUBLE) if constant else self._encoding(bound, scale)
        error = estimate.error * bound + estimate.bound * encoding + estimate.error * encoding
        noise = estimate.noise * (bound + encoding)
        return self._hidden(
            msgspec.structs.replace(estimate, pending=True, bound=estimate.bound * bound, error=error, noise=noise)
        )

    def times(self, one: NoiseEstimate, other: NoiseEstimate) -> NoiseEstimate:
        """Of two ciphertexts that are rescaled, of one level."""
        scale = self.preset.scale(one.level)
        digits = self.preset.primes_at(one.level) * 2.0 ** (max(self.preset.data) + 1 - self.preset.special)
        switched, steep = digits * self._switched + self._rounded, digits * self._steep
        error = one.error * other.bound + other.error * one.bound + one.error * other.error + steep / scale / scale
        noise = one.noise * (other.bound + other.error) + other.noise * (one.bound + one.error)
        noise += one.noise * other.noise + switched / scale / scale
        error += switched / scale / scale
        return self.checked(
            NoiseEstimate(
                level=one.level,
                pending=True,
                bound=one.bound * other.bound,
                error=error,
                noise=noise,
                summands=max(one.summands, other.summands),
            )
        )

    def rescaled(self, estimate: NoiseEstimate) -> NoiseEstimate:
        """A pending product, its primes dropped."""
        if not estimate.pending:
            return estimate
        level = estimate.level + 1
        if self.preset.primes_at(level) < 1:
            raise self._too_deep(level + 1)
        rounding = self._rounded / self.preset.scale(level) if self.preset.drop else 0.0
        return self.checked(
            msgspec.structs.replace(
                estimate, level=level, pending=False, error=estimate.error + rounding, noise=estimate.noise + rounding
            )
        )

    def checked(self, estimate: NoiseEstimate) -> NoiseEstimate:
        """Refuse what would decrypt to something else."""
        preset = self.preset
        if self.exact:
            if 2 * (estimate.bound + estimate.error) / preset.resolution >= preset.modulus:
                raise CircuitTooDeep(
                    f"totals of up to {estimate.bound:.3g} on a grid of {preset.resolution:.3g} need more than "
                    f"{preset.limbs} limbs",
                    hint="let he.choose see the whole circuit, or declare a smaller bound or a coarser error",
                )
            q = 2.0 ** (sum(preset.data) - 1)
            if estimate.noise >= q / 2.0**31:
                raise CircuitTooDeep(
                    f"this outgrows the preset's room for noise, the answer would be wrong ({preset})",
                    hint="let he.choose see the whole circuit, products row by row and group sums included",
                )
            return estimate
        if self.preset.primes_at(estimate.level) < 1:
            raise self._too_deep(estimate.level + estimate.pending)
        size = max(_HEADROOM * (estimate.bound + estimate.error), 1.0)  # SEAL refuses scales beyond the modulus
        if not size * self.scale_of(estimate) < self.preset.capacity(estimate.level):
            if estimate.pending or estimate.level > self.preset.depth:
                raise self._too_deep(estimate.level + estimate.pending)
            raise CircuitTooDeep(
                f"values of up to {estimate.bound:.3g} do not fit the preset ({self.preset})",
                hint="let he.choose see the whole circuit, or declare a smaller bound",
            )
        return estimate

    def credible(self, estimate: NoiseEstimate) -> bool:
        """Whether no noise is claimed that is less than any ciphertext has: reveals hide as much as is claimed."""
        if self.exact:
            return estimate.noise >= min(_CLIPPED, self._noise)
        least = min(self._secret, self._zero) / self.scale_of(estimate)
        return estimate.error >= estimate.noise >= least * (1 - _DOUBLE)

    def _hidden(self, estimate: NoiseEstimate) -> NoiseEstimate:
        """A result with room for the encryption of zero that hides it where everything secret cancels out."""
        least = self._noise if self.exact else self._zero / self.scale_of(estimate)
        more = max(0.0, least - estimate.noise)
        error = estimate.error if self.exact else estimate.error + more
        return self.checked(msgspec.structs.replace(estimate, noise=estimate.noise + more, error=error))

    def _encoding(self, bound: float, scale: float) -> float:
        return self.preset.degree / 2 / scale + bound * _DOUBLE

    def _too_deep(self, needed: int) -> CircuitTooDeep:
        times = "one multiplication" if needed == 1 else f"{needed} multiplications one after the other"
        allowed = max(0, min(needed - 1, self.preset.depth))
        return CircuitTooDeep(
            f"this needs {times} of values this large; the preset allows {allowed or 'none'} ({self.preset})",
            hint="let he.choose see the whole circuit, and encrypt under a key of the preset it gives",
        )

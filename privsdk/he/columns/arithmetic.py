"""Arithmetic of encrypted columns: operators that compute a result's figures at once, and touch no ciphertext.

What would fail is refused when it is written: too deep a circuit, a bound beyond the preset's room, two keys.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn, Self

import msgspec
import numpy as np
import numpy.typing as npt

from ...crypto.seal.keys import PublicContext
from ...crypto.seal.noise import NoiseEstimator
from ...errors import CircuitTooDeep, InvalidArgument
from .arrow import Meta, revealed_error
from .expression import Node, at_level, at_one_level, rescaled, times_plain
from .operands import Number, Vector, is_vector, largest, numbers, on_grid, same, to_units, valid_of

SIGMOID = (0.5, 0.15012, -0.0015930078125)  # least squares on [-8, 8]: Kim, Song, Wang, Xia, Jiang 2018, section 3.3
SIGMOID_RANGE = 8.0


class Arithmetic:
    """An encrypted vector, or one sum, with its operators.

    Attributes
    ----------
    meta : Meta
    valid : bool array or None
        Which values are not null; None where none is.
    """

    def __init__(
        self, meta: Meta, node: Node, public: PublicContext | None, valid: npt.NDArray[np.bool_] | None = None
    ) -> None:
        self.meta = meta
        self.valid = valid
        self._node = node
        self._public = public
        self._estimator = NoiseEstimator(meta.preset)

    @property
    def length(self) -> int:
        return 1 if self.meta.folded else self.meta.length

    @property
    def bound(self) -> float:
        """Largest absolute value it may have, in its unit; of a sum, of the whole sum."""
        slots = self.meta.preset.values_a_row if self.meta.folded and not self._estimator.exact else 1
        return self._node.estimate.bound * slots / self.meta.divisor

    @property
    def error(self) -> float:
        """Largest difference between a revealed value and exact arithmetic, what a reveal adds included."""
        return revealed_error(self.meta, self._node.estimate)

    @property
    def depth(self) -> int:
        """Multiplications one after the other in it."""
        return self._estimator.products_of(self._node.estimate)

    def __add__(self, other: Arithmetic | Vector | Number) -> Self:
        if isinstance(other, Arithmetic):
            return self._with(self._sum(other), other)
        return self._with(self._plus(self._vector(other)), missing=valid_of(other))

    __radd__ = __add__

    def __neg__(self) -> Self:
        return self._with(Node("negate", self._node.estimate, (self._node,)))

    def __sub__(self, other: Arithmetic | Vector | Number) -> Self:
        # Unsigned numbers have no negative, nor has the least of the signed: the column is negated, twice.
        return self + -other if isinstance(other, Arithmetic) else -(-self + other)

    def __rsub__(self, other: Vector | Number) -> Self:
        return -self + other

    def __mul__(self, other: Arithmetic | Vector | Number) -> Self:
        if isinstance(other, Arithmetic):
            return self._times(other)
        node = rescaled(self._node, self._estimator)
        if not is_vector(other) or self.meta.folded:  # a sum is in all slots, and all of them are multiplied
            number = self._whole(self._vector(other) if self.meta.folded else numbers([other]))[0].item()
            made = self._with(times_plain(node, abs(number), float(abs(number)), self._estimator))
            if not number:
                return made._of_nobody()
            return -made if number < 0 else made  # SEAL's BFV takes -c for t - c, which makes much more noise
        if self.meta.preset.packing == "complex":
            raise CircuitTooDeep(
                "this key packs two values into a slot, which multiplies by one number for all rows only",
                hint="let he.choose see the whole circuit",
            )
        values = self._whole(self._vector(other))
        made = self._with(
            times_plain(node, values, largest(values), self._estimator), missing=valid_of(other), zeroed=True
        )
        return made if largest(values) else made._of_nobody()

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Self:
        """A whole power, of the least depth: 3 for an eighth."""
        if not isinstance(exponent, int) or exponent < 1:
            raise InvalidArgument(f"a power of {exponent}", hint="use a whole number, 1 or more")
        if exponent == 1:
            return self
        powers = {1: self}

        def power(n: int) -> Any:
            if n not in powers:
                powers[n] = power(n // 2) * power(n - n // 2)
            return powers[n]

        made: Self = power(exponent)
        return made

    def __truediv__(self, other: Number) -> Self:
        if isinstance(other, Arithmetic) or is_vector(other):
            raise InvalidArgument(
                "an encrypted column is divided by one number only",
                hint="multiply by a plain vector's inverse; reveal a column before it divides",
            )
        divisor = float(numbers([other])[0])
        if not math.isfinite(1 / divisor if divisor else math.inf):
            raise InvalidArgument("a division by zero, or by next to nothing", hint="divide by another number")
        if self.meta.folded:
            return type(self)(
                msgspec.structs.replace(self.meta, divisor=self.meta.divisor * abs(divisor)),
                (-self)._node if divisor < 0 else self._node,
                self._public,
            )
        return self * (1 / divisor)

    def __rtruediv__(self, other: object) -> NoReturn:
        raise InvalidArgument("nothing is divided by an encrypted column", hint="reveal it before it divides")

    def sigmoid(self) -> Self:
        """1 / (1 + exp(-x)) by a polynomial of degree 3, for values within +-8: off by at most 0.12 there.

        Source: Kim, Song, Wang, Xia, Jiang, "Secure logistic regression based on homomorphic encryption", JMIR Medical
        Informatics 2018.
        """
        bound = self._node.estimate.bound
        if bound > SIGMOID_RANGE:
            raise InvalidArgument(
                f"sigmoid of values within {bound:.3g}; the polynomial holds within {SIGMOID_RANGE:g}",
                hint="declare a smaller bound, or reveal the score and apply the exact sigmoid to it",
            )
        zeroth, first, third = SIGMOID
        return (self * self) * (self * third) + self * first + zeroth

    def __len__(self) -> int:
        return self.length

    def __bool__(self) -> NoReturn:
        raise TypeError("an encrypted column has no truth value: he.reveal it first")

    def _compare(self, other: object) -> NoReturn:
        raise TypeError("encrypted columns are not compared: he.reveal them, or filter before they are encrypted")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _compare
    __hash__ = object.__hash__

    __array_ufunc__ = None  # so that vector + column is the column's business
    __pandas_priority__ = 5000  # nor a Series of columns

    def _vector(self, other: Vector | Number) -> npt.NDArray[Any]:
        """A plain operand with a value for each row, zero in place of nulls on either side."""
        values = numbers(other) if is_vector(other) else np.repeat(numbers([other]), self.length)
        if len(values) != self.length:
            raise InvalidArgument(
                f"a vector of {len(values):,} for {self.length:,} values",
                hint="use one number for all, or a vector with a value for each; neither is repeated",
            )
        return values if self.valid is None else np.where(self.valid, values, values.dtype.type(0))

    def _plus(self, values: npt.NDArray[Any]) -> Node:
        """Plain values added in the slots: none where there is no value of the column."""
        if self.meta.divisor != 1.0:
            values = values * self.meta.divisor
        bound = largest(values)
        if not bound:
            return self._node
        resolution = self.meta.preset.resolution if self._estimator.exact else 0.0
        estimate = self._estimator.plus_plain(
            self._node.estimate, bound, on_grid=bool(resolution) and on_grid(values, resolution)
        )
        addend = to_units(values, resolution) if resolution else values.astype(np.float64)
        return Node("add_plain", estimate, (self._node,), addend)

    def _whole(self, factors: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Factors as the scheme can multiply by them."""
        if not self._estimator.exact:
            return factors.astype(np.float64)
        if not (factors == np.rint(factors)).all() or largest(factors) >= 2.0**29:
            raise CircuitTooDeep(
                "an exact column is multiplied by whole numbers within 2^29 only",
                hint="let he.choose see the whole circuit: it takes CKKS for products of reals",
            )
        return factors.astype(np.int64)

    def _both(self, other: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
        if other is None or self.valid is None:
            return self.valid if other is None else other
        return self.valid & other

    def _clean(self) -> Self:
        """The column with zero in place of nulls; where every summand has its nulls here already, itself."""
        if self.valid is None or self.meta.zeroed:
            return self
        return self * self.valid.astype(np.int64)

    def _with(
        self,
        node: Node,
        other: Arithmetic | None = None,
        *,
        missing: npt.NDArray[np.bool_] | None = None,
        zeroed: bool | None = None,
    ) -> Self:
        """A result of this column and another, or a plain vector of which some values are missing."""
        meta, valid = self.meta, self.valid
        owners, parties = meta.owners, meta.min_parties
        if other is not None:
            owners = tuple(dict.fromkeys((*owners, *other.meta.owners)))
            parties = max(parties, other.meta.min_parties)
            missing = other.valid
        valid = self._both(missing)
        if zeroed is None:  # slots of nulls hold zero still, where both sides have their nulls in the same places
            sides = (self.valid, valid) if other is None else (self.valid, other.valid)
            zeroed = meta.zeroed and (other is None or other.meta.zeroed) and same(*sides)
        meta = msgspec.structs.replace(
            meta,
            estimate=node.estimate,
            owners=owners,
            min_parties=parties,
            seeded=meta.seeded and node is self._node,
            nulls=valid is not None,
            zeroed=zeroed,
        )
        return type(self)(meta, node, self._public, valid)

    def _of_nobody(self) -> Self:
        """A product with zero, which holds no owner's values: nobody is hidden among them."""
        self.meta = msgspec.structs.replace(self.meta, owners=(), min_parties=1)
        return self

    def _fits(self, other: Arithmetic) -> None:
        mine, theirs = self.meta, other.meta
        if mine.preset != theirs.preset:
            raise InvalidArgument(
                f"columns of two presets: {mine.preset}; {theirs.preset}", hint="encrypt both under one key"
            )
        if mine.key != theirs.key:
            raise InvalidArgument(
                f"columns under two keys, {mine.key[:12]} and {theirs.key[:12]}: their sum would be garbage",
                hint="encrypt both under one key",
            )
        if mine.folded != theirs.folded:
            raise InvalidArgument("a column and a sum do not fit row by row", hint="reveal the sum first")
        if self.length != other.length:
            raise InvalidArgument(f"columns of {self.length:,} and of {other.length:,} values do not fit row by row")
        if mine.divisor != theirs.divisor:
            raise InvalidArgument(
                f"means or quotients of two divisors, {mine.divisor:g} and {theirs.divisor:g}",
                hint="add the sums, and divide what is revealed",
            )

    def _times(self, other: Arithmetic) -> Self:
        self._fits(other)
        if self._estimator.exact:
            raise CircuitTooDeep(
                "exact columns are not multiplied with each other",
                hint="let he.choose see the whole circuit: it takes CKKS for products of columns",
            )
        if self.meta.preset.packing == "complex" or not self.meta.preset.products or self.meta.folded:
            raise CircuitTooDeep(
                "this key does not multiply columns with each other", hint="let he.choose see the whole circuit"
            )
        one, two = rescaled(self._node, self._estimator), rescaled(other._node, self._estimator)
        if one.estimate.level < two.estimate.level:
            one = at_level(one, two.estimate, self._estimator)
        elif two.estimate.level < one.estimate.level:
            two = at_level(two, one.estimate, self._estimator)
        zeroed = self.meta.zeroed and other.meta.zeroed
        return self._with(
            Node("times", self._estimator.times(one.estimate, two.estimate), (one, two)), other, zeroed=zeroed
        )

    def _sum(self, other: Arithmetic) -> Node:
        self._fits(other)
        one, two = at_one_level(self._node, other._node, self._estimator)
        return Node("add", self._estimator.sum(one.estimate, two.estimate), (one, two))

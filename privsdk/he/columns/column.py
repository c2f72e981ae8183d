"""Encrypted columns with operators: expressions over ciphertexts, checked when written, computed when asked for.

    amount, rate = columns["amount"], columns["rate"]
    he.reveal((amount * rate + 3).sum(), key)

An operator computes the figures of its result at once (`tracking`) and refuses what would fail; it touches no
ciphertext. `to_arrow()`, `sum()` and `he.reveal` compute, all steps of one chunk together. Without ciphertexts the same
expressions choose the parameters: see `he.choose`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.seal.keys import PublicContext, SecretContext
from ...crypto.seal.noise import Tracker
from ...crypto.seal.serial import Buffer
from ...display.cards import Card, Displayed, at_most
from ...errors import CircuitTooDeep, InvalidArgument, ProtocolViolation
from .arrow import NUMBER_BYTES, EncryptedType, Meta, check_key, in_order, rows_of
from .expression import Node, aligned, raised, run, settled, times_plain
from .operands import Number, Vector, is_vector, kinds, largest, numbers, on_grid, same, to_units, valid_of

SIGMOID = (0.5, 0.15012, -0.0015930078125)  # least squares on [-8, 8]: Kim, Song, Wang, Xia, Jiang 2018, section 3.3
SIGMOID_RANGE = 8.0


class Column(Displayed):
    """An encrypted column: values of one owner or the result of an expression. See `he.encrypt`.

    Operators take numbers, vectors of the same length, and encrypted columns of the same key. A null in either operand
    makes a null; sums leave nulls out.

    Attributes
    ----------
    meta : Meta
        Everything known of it in clear: preset, key, length, level, bound, error, owners.
    valid : bool array or None
        Which values are not null; None where none is. Not secret.
    """

    def __init__(
        self, meta: Meta, node: Node, public: PublicContext | None, valid: npt.NDArray[np.bool_] | None = None
    ) -> None:
        self.meta = meta
        self.valid = valid
        self._node = node
        self._public = public
        self._tracker = Tracker(meta.preset)

    @classmethod
    def of_rows(
        cls,
        meta: Meta,
        rows: Sequence[Buffer],
        public: PublicContext | None,
        valid: npt.NDArray[np.bool_] | None = None,
    ) -> Column:
        """A column of ciphertexts that are there, or of none where only figures are asked for."""
        return cls(meta, Node("load", meta.track, rows=rows), public, valid)

    @classmethod
    def from_arrow(cls, column: pa.Array | pa.ChunkedArray, key: PublicContext | SecretContext) -> Column:
        """The column of an Arrow array of encrypted type, to be computed under this key.

        Raises
        ------
        InvalidArgument
            It is no encrypted column, is encrypted under another key, or a part of one.
        ProtocolViolation
            Its figures cannot be.
        """
        if not (isinstance(column, pa.Array | pa.ChunkedArray) and isinstance(column.type, EncryptedType)):
            what = column.type if isinstance(column, pa.Array | pa.ChunkedArray) else type(column).__name__
            raise InvalidArgument(f"a column of {what} is not encrypted", hint="use he.encrypt, or he.restored")
        meta, public = column.type.meta, key.public if isinstance(key, SecretContext) else key
        check_key(meta, public)
        tracker = Tracker(meta.preset)
        try:
            credible = tracker.credible(tracker.checked(meta.track))
        except CircuitTooDeep:
            credible = False
        if not credible:
            raise ProtocolViolation("an encrypted column whose figures cannot be: it was changed")
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        rows = in_order([row for chunk in chunks for row in rows_of(chunk.storage, meta)], meta)
        valid = None
        if meta.nulls:
            bits = [np.frombuffer(row[meta.cipher_bytes : -NUMBER_BYTES], np.uint8) for row in rows]
            valid = np.unpackbits(np.concatenate(bits), bitorder="little")[: meta.length].astype(bool)
        rows = [row[: meta.cipher_bytes] for row in rows]
        return cls.of_rows(meta, rows, public, valid)

    @property
    def length(self) -> int:
        return 1 if self.meta.folded else self.meta.length

    @property
    def bound(self) -> float:
        """Largest absolute value it may have, in its unit; of a sum, of the whole sum."""
        slots = self.meta.preset.values_a_row if self.meta.folded and not self._tracker.exact else 1
        return self._node.track.bound * slots / self.meta.divisor

    @property
    def error(self) -> float:
        """Largest difference between a revealed value and exact arithmetic, what a reveal adds included."""
        from .error import revealed_error

        return revealed_error(self.meta, self._node.track)

    @property
    def depth(self) -> int:
        """Multiplications one after the other in it."""
        return self._tracker.products_of(self._node.track)

    # arithmetic

    def __add__(self, other: Column | Vector | Number) -> Column:
        if isinstance(other, Column):
            return self._with(self._sum(other), other)
        return self._with(self._plus(self._vector(other)), missing=valid_of(other))

    __radd__ = __add__

    def __neg__(self) -> Column:
        return self._with(Node("negate", self._node.track, (self._node,)))

    def __sub__(self, other: Column | Vector | Number) -> Column:
        # Unsigned numbers have no negative, nor has the least of the signed: the column is negated, twice.
        return self + -other if isinstance(other, Column) else -(-self + other)

    def __rsub__(self, other: Vector | Number) -> Column:
        return -self + other

    def __mul__(self, other: Column | Vector | Number) -> Column:
        if isinstance(other, Column):
            return self._times(other)
        node = settled(self._node, self._tracker)
        if not is_vector(other) or self.meta.folded:  # a sum is in all slots, and all of them are multiplied
            number = self._whole(self._vector(other) if self.meta.folded else numbers([other]))[0].item()
            made = self._with(times_plain(node, abs(number), float(abs(number)), self._tracker))
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
            times_plain(node, values, largest(values), self._tracker), missing=valid_of(other), zeroed=True
        )
        return made if largest(values) else made._of_nobody()

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Column:
        """A whole power, of the least depth: 3 for an eighth."""
        if not isinstance(exponent, int) or exponent < 1:
            raise InvalidArgument(f"a power of {exponent}", hint="use a whole number, 1 or more")
        if exponent == 1:
            return self
        powers = {1: self}

        def power(n: int) -> Column:
            if n not in powers:
                powers[n] = power(n // 2) * power(n - n // 2)
            return powers[n]

        return power(exponent)

    def __truediv__(self, other: Number) -> Column:
        if isinstance(other, Column) or is_vector(other):
            raise InvalidArgument(
                "an encrypted column is divided by one number only",
                hint="multiply by a plain vector's inverse; reveal a column before it divides",
            )
        divisor = float(numbers([other])[0])
        if not math.isfinite(1 / divisor if divisor else math.inf):
            raise InvalidArgument("a division by zero, or by next to nothing", hint="divide by another number")
        if self.meta.folded:
            return Column(
                msgspec.structs.replace(self.meta, divisor=self.meta.divisor * abs(divisor)),
                (-self)._node if divisor < 0 else self._node,
                self._public,
            )
        return self * (1 / divisor)

    def __rtruediv__(self, other: object) -> NoReturn:
        raise InvalidArgument("nothing is divided by an encrypted column", hint="reveal it before it divides")

    def sigmoid(self) -> Column:
        """1 / (1 + exp(-x)) by a polynomial of degree 3, for values within +-8: off by at most 0.12 there.

        Source: Kim, Song, Wang, Xia, Jiang, "Secure logistic regression based on homomorphic encryption", JMIR Medical
        Informatics 2018.
        """
        if self._node.track.bound > SIGMOID_RANGE:
            raise InvalidArgument(
                f"sigmoid of values within {self._node.track.bound:.3g}; the polynomial holds within {SIGMOID_RANGE:g}",
                hint="declare a smaller bound, or reveal the score and apply the exact sigmoid to it",
            )
        zeroth, first, third = SIGMOID
        return (self * self) * (self * third) + self * first + zeroth

    # over rows

    def sum(
        self, *, by: Vector | Sequence[Any] | None = None, keys: Sequence[Any] | None = None
    ) -> Column | dict[Any, Column]:
        """The sum of all values, or of the values of each group; computes.

        Parameters
        ----------
        by : vector of the column's length, optional
            The group of each row, in clear.
        keys : sequence, optional
            The groups; default all that occur.

        Returns
        -------
        Column, or dict of group to Column
            Of one value each. The slots behind it hold uniform noise that adds to zero, for exact presets: who opens it
            learns the sum alone. CKKS has no room for such noise: who opens it could see sums of every
            `values_a_row`-th value.
        """
        if by is None:
            return folded([self._clean()])[0]
        members = self._groups(by, keys)
        masked = [self * mask.astype(np.int64) for mask in members.values()]
        return dict(zip(members, folded(masked), strict=True))

    def mean(
        self, *, by: Vector | Sequence[Any] | None = None, keys: Sequence[Any] | None = None
    ) -> Column | dict[Any, Column]:
        """As `sum`, divided by the number of values that are not null, which is not secret; computes."""
        self._not_folded()
        members = {None: self._present()} if by is None else self._groups(by, keys)
        counts = {key: int(mask.sum()) for key, mask in members.items()}
        empty = [key for key, count in counts.items() if not count]
        if empty:
            raise InvalidArgument(
                "the mean of no values" if by is None else f"the mean of groups without values: {empty[:5]}",
                hint="all are null; leave such groups out of keys, or take sums",
            )
        sums = self.sum(by=by, keys=keys)
        if isinstance(sums, Column):
            return sums / counts[None]
        return {key: total / counts[key] for key, total in sums.items()}

    def dot(self, other: Column | Vector) -> Column:
        """The sum of products row by row; computes."""
        product = self * other
        total = product.sum()
        assert isinstance(total, Column)  # noqa: S101 - without groups there is one
        return total

    # out

    def to_arrow(self) -> pa.Array:
        """The ciphertexts as an Arrow array of encrypted type; computes what was not yet."""
        self._compute()
        rows, meta = self._node.rows, self.meta
        tails = [i.to_bytes(NUMBER_BYTES, "little") for i in range(len(rows))]
        if meta.nulls:
            bits = np.zeros(meta.rows * meta.preset.values_a_row, np.uint8)
            bits[: meta.length] = self._present()
            packed = np.packbits(bits, bitorder="little").reshape(meta.rows, -1)
            tails = [packed[i].tobytes() + tail for i, tail in enumerate(tails)]
        content = b"".join(part for row, tail in zip(rows, tails, strict=True) for part in (row, tail))
        storage = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(meta.row_bytes), len(rows), [None, pa.py_buffer(content)]
        )
        return pa.ExtensionArray.from_storage(EncryptedType(meta), storage)

    def rows(self) -> Sequence[Buffer]:
        """The ciphertexts of each chunk; computes what was not yet."""
        self._compute()
        return self._node.rows

    def _card(self) -> Card:
        meta = self.meta
        held = "a sum" if meta.folded else f"{meta.length:,} values"
        nulls = meta.nulls and not meta.folded
        facts = [
            ("holds", f"{held}{f', {meta.length - int(self._present().sum()):,} of them null' if nulls else ''}"),
            ("bound", f"{self.bound:.3g}: the largest absolute value that it may have, in its unit"),
            ("error", f"at most {at_most(self.error)}, once it is revealed" if self.error else "none: exact"),
            ("depth", f"{self.depth} products one after the other are in it, {meta.preset.depth} are possible"),
            ("values of", ", ".join(meta.owners) or "no owner that is named"),
            ("revealed", f"where at least {meta.min_parties} owners are in it, by the holder of key {meta.key[:12]}"),
            ("under", str(meta.preset)),
        ]
        return Card(title=f"encrypted column: {held}", facts=facts)

    def __repr__(self) -> str:
        meta = self.meta
        what = "sum" if meta.folded else f"{meta.length:,} values"
        return (
            f"encrypted {what} within {self.bound:.3g}, error at most {at_most(self.error)}, "
            f"depth {self.depth}; {meta.preset}"
        )

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

    # inside

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
        resolution = self.meta.preset.resolution if self._tracker.exact else 0.0
        track = self._tracker.plus_plain(
            self._node.track, bound, on_grid=bool(resolution) and on_grid(values, resolution)
        )
        addend = to_units(values, resolution) if resolution else values.astype(np.float64)
        return Node("add_plain", track, (self._node,), addend)

    def _whole(self, factors: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Factors as the scheme can multiply by them."""
        if not self._tracker.exact:
            return factors.astype(np.float64)
        if not (factors == np.rint(factors)).all() or largest(factors) >= 2.0**29:
            raise CircuitTooDeep(
                "an exact column is multiplied by whole numbers within 2^29 only",
                hint="let he.choose see the whole circuit: it takes CKKS for products of reals",
            )
        return factors.astype(np.int64)

    def _groups(self, by: Vector | Sequence[Any], keys: Sequence[Any] | None) -> dict[Any, npt.NDArray[np.bool_]]:
        """For each group which of the values that are not null are in it."""
        self._not_folded()
        if len(by) != self.meta.length or getattr(by, "ndim", 1) != 1:
            raise InvalidArgument(f"{len(by):,} groups for {self.length:,} values", hint="give the group of each value")
        labels = by.to_pylist() if isinstance(by, pa.Array | pa.ChunkedArray) else list(by)
        if isinstance(by, np.ndarray) and by.dtype.kind in "iubfUS":
            labels = by.tolist()
        if isinstance(keys, pa.Array | pa.ChunkedArray):  # whose own scalars equal no label
            keys = keys.to_pylist()
        try:
            found: dict[Any, int] = {}
            numbers = np.array([found.setdefault(label, len(found)) for label in labels])
            wanted = dict.fromkeys(found if keys is None else keys)
        except TypeError:
            raise InvalidArgument("groups that are not hashable", hint="use numbers, text, dates or tuples") from None
        if any(key != key for key in (*wanted, *found)):  # noqa: PLR0124 - so is a NaN found
            raise InvalidArgument("NaN among the groups", hint="give such rows a group of their own")
        mine, theirs = kinds(found), kinds(wanted)
        if mine and theirs and mine.isdisjoint(theirs):
            raise InvalidArgument(
                f"keys that are {' or '.join(sorted(theirs))}, for groups that are {' or '.join(sorted(mine))}",
                hint="give keys of the groups' own type: others equal none, and every sum would be zero",
            )
        return {key: (numbers == found.get(key, -1)) & self._present() for key in wanted}

    def _present(self) -> npt.NDArray[np.bool_]:
        return np.ones(self.meta.length, bool) if self.valid is None else self.valid

    def _both(self, other: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
        if other is None or self.valid is None:
            return self.valid if other is None else other
        return self.valid & other

    def _clean(self) -> Column:
        """The column with zero in place of nulls; where every summand has its nulls here already, itself."""
        if self.valid is None or self.meta.zeroed:
            return self
        return self * self.valid.astype(np.int64)

    def _with(
        self,
        node: Node,
        other: Column | None = None,
        *,
        missing: npt.NDArray[np.bool_] | None = None,
        zeroed: bool | None = None,
    ) -> Column:
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
            track=node.track,
            owners=owners,
            min_parties=parties,
            seeded=meta.seeded and node is self._node,
            nulls=valid is not None,
            zeroed=zeroed,
        )
        return Column(meta, node, self._public, valid)

    def _of_nobody(self) -> Column:
        """A product with zero, which holds no owner's values: nobody is hidden among them."""
        self.meta = msgspec.structs.replace(self.meta, owners=(), min_parties=1)
        return self

    def _fits(self, other: Column) -> None:
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

    def _times(self, other: Column) -> Column:
        self._fits(other)
        if self._tracker.exact:
            raise CircuitTooDeep(
                "exact columns are not multiplied with each other",
                hint="let he.choose see the whole circuit: it takes CKKS for products of columns",
            )
        if self.meta.preset.packing == "complex" or not self.meta.preset.products or self.meta.folded:
            raise CircuitTooDeep(
                "this key does not multiply columns with each other", hint="let he.choose see the whole circuit"
            )
        one, two = settled(self._node, self._tracker), settled(other._node, self._tracker)
        if one.track.level < two.track.level:
            one = raised(one, two.track, self._tracker)
        elif two.track.level < one.track.level:
            two = raised(two, one.track, self._tracker)
        zeroed = self.meta.zeroed and other.meta.zeroed
        return self._with(Node("times", self._tracker.times(one.track, two.track), (one, two)), other, zeroed=zeroed)

    def _sum(self, other: Column) -> Node:
        self._fits(other)
        one, two = aligned(self._node, other._node, self._tracker)
        return Node("add", self._tracker.sum(one.track, two.track), (one, two))

    def _not_folded(self) -> None:
        if self.meta.folded:
            raise InvalidArgument("this is a sum already", hint="it is one number: reveal it")

    def _compute(self) -> None:
        if self._node.op != "load":
            (rows,) = run([self._node], self._public, self.meta.rows)
            self._node = Node("load", self._node.track, rows=rows)


def folded(columns: Sequence[Column]) -> list[Column]:
    """The sums over all rows of columns of one key, zero at their nulls; computes."""
    first = columns[0]
    first._not_folded()
    found = run([column._node for column in columns], first._public, first.meta.rows, fold=True)
    made = []
    for column, rows in zip(columns, found, strict=True):
        track = column._tracker.folded(column._node.track, column.meta.rows, column.meta.length)
        meta = msgspec.structs.replace(column.meta, track=track, folded=True, nulls=False, zeroed=True, seeded=False)
        made.append(Column.of_rows(meta, rows, column._public))
    return made

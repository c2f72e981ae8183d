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
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import CircuitTooDeep, InvalidArgument, ProtocolViolation
from .ciphertexts import NUMBER_BYTES, EncryptedType, Meta
from .evaluation import Circuit, Step, Values, compute
from .keys import PublicContext, SecretContext
from .seal import Buffer
from .tracking import Track, Tracker

Number = int | float
Vector: TypeAlias = npt.NDArray[Any] | pa.Array | pa.ChunkedArray
SIGMOID = (0.5, 0.15012, -0.0015930078125)  # least squares on [-8, 8]: Kim, Song, Wang, Xia, Jiang 2018, section 3.3
SIGMOID_RANGE = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """A step of an expression: what it does, of what, and the figures of its result."""

    op: str
    track: Track
    args: tuple[_Node, ...] = ()
    operand: float | int | Values | None = None
    rows: Sequence[Buffer] = field(default=(), repr=False)


class Column:
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
        self, meta: Meta, node: _Node, public: PublicContext | None, valid: npt.NDArray[np.bool_] | None = None
    ) -> None:
        self.meta = meta
        self.valid = valid
        self._node = node
        self._public = public
        self._tracker = Tracker(meta.preset)

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
        rows = _in_order([row for chunk in chunks for row in _rows_of(chunk.storage, meta)], meta)
        valid = None
        if meta.nulls:
            bits = [np.frombuffer(row[meta.cipher_bytes : -NUMBER_BYTES], np.uint8) for row in rows]
            valid = np.unpackbits(np.concatenate(bits), bitorder="little")[: meta.length].astype(bool)
        rows = [row[: meta.cipher_bytes] for row in rows]
        return cls(meta, _Node("load", meta.track, rows=rows), public, valid)

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
        from .reveals import revealed_error

        return revealed_error(self.meta, self._node.track)

    @property
    def depth(self) -> int:
        """Multiplications one after the other in it."""
        return self._tracker.products_of(self._node.track)

    # arithmetic

    def __add__(self, other: Column | Vector | Number) -> Column:
        if isinstance(other, Column):
            return self._with(self._sum(*self._aligned(other)), other)
        return self._with(self._plus(self._vector(other)), missing=_valid_of(other))

    __radd__ = __add__

    def __neg__(self) -> Column:
        return self._with(_Node("negate", self._node.track, (self._node,)))

    def __sub__(self, other: Column | Vector | Number) -> Column:
        # Unsigned numbers have no negative, nor has the least of the signed: the column is negated, twice.
        return self + -other if isinstance(other, Column) else -(-self + other)

    def __rsub__(self, other: Vector | Number) -> Column:
        return -self + other

    def __mul__(self, other: Column | Vector | Number) -> Column:
        if isinstance(other, Column):
            return self._times(other)
        node = _settled(self._node, self._tracker)
        if not _is_vector(other) or self.meta.folded:  # a sum is in all slots, and all of them are multiplied
            number = self._whole(self._vector(other) if self.meta.folded else _numbers([other]))[0].item()
            made = self._with(self._times_plain(node, abs(number), float(abs(number))))
            return -made if number < 0 else made  # SEAL's BFV takes -c for t - c, which makes much more noise
        if self.meta.preset.packing == "complex":
            raise CircuitTooDeep(
                "this key packs two values into a slot, which multiplies by one number for all rows only",
                hint="let he.choose see the whole circuit",
            )
        values = self._whole(self._vector(other))
        return self._with(self._times_plain(node, values, largest(values)), missing=_valid_of(other), zeroed=True)

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
        if isinstance(other, Column) or _is_vector(other):
            raise InvalidArgument(
                "an encrypted column is divided by one number only",
                hint="multiply by a plain vector's inverse; reveal a column before it divides",
            )
        divisor = float(_numbers([other])[0])
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
            return self._folded([self._clean()])[0]
        members = self._groups(by, keys)
        masked = [self * mask.astype(np.int64) for mask in members.values()]
        return dict(zip(members, self._folded(masked), strict=True))

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

    def __repr__(self) -> str:
        meta, track = self.meta, self._node.track
        what = "sum" if meta.folded else f"{meta.length:,} values"
        return (
            f"encrypted {what} within {track.bound:.3g}, depth {self.depth}, {track.summands} summands, {meta.preset}"
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

    # inside

    def _vector(self, other: Vector | Number) -> npt.NDArray[Any]:
        """A plain operand with a value for each row, zero in place of nulls on either side."""
        values = _numbers(other) if _is_vector(other) else np.repeat(_numbers([other]), self.length)
        if len(values) != self.length:
            raise InvalidArgument(
                f"a vector of {len(values):,} for {self.length:,} values",
                hint="use one number for all, or a vector with a value for each; neither is repeated",
            )
        return values if self.valid is None else np.where(self.valid, values, values.dtype.type(0))

    def _plus(self, values: npt.NDArray[Any]) -> _Node:
        """Plain values added in the slots: none where there is no value of the column."""
        if self.meta.divisor != 1.0:
            values = values * self.meta.divisor
        bound = largest(values)
        if not bound:
            return self._node
        resolution = self.meta.preset.resolution if self._tracker.exact else 0.0
        on_grid = bool(resolution) and _on_grid(values, resolution)
        track = self._tracker.plus_plain(self._node.track, bound, on_grid=on_grid)
        addend = to_units(values, resolution) if resolution else values.astype(np.float64)
        return _Node("add_plain", track, (self._node,), addend)

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
        try:
            found: dict[Any, int] = {}
            numbers = np.array([found.setdefault(label, len(found)) for label in labels])
            wanted = dict.fromkeys(found if keys is None else keys)
        except TypeError:
            raise InvalidArgument("groups that are not hashable", hint="use numbers, text, dates or tuples") from None
        if any(key != key for key in (*wanted, *found)):  # noqa: PLR0124 - so is a NaN found
            raise InvalidArgument("NaN among the groups", hint="give such rows a group of their own")
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
        node: _Node,
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
            zeroed = meta.zeroed and (other is None or other.meta.zeroed) and _same(*sides)
        meta = msgspec.structs.replace(
            meta,
            track=node.track,
            owners=owners,
            min_parties=parties,
            seeded=False,
            nulls=valid is not None,
            zeroed=zeroed,
        )
        return Column(meta, node, self._public, valid)

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

    def _aligned(self, other: Column) -> tuple[_Node, _Node]:
        """Both at one level and scale."""
        self._fits(other)
        one, two = self._node, other._node
        if self._tracker.exact:
            return one, two
        behind = self._tracker.products_of(one.track) - self._tracker.products_of(two.track)
        if behind > 0:
            two = self._raised(two, one.track)
        elif behind < 0:
            one = self._raised(one, two.track)
        elif one.track.pending != two.track.pending:
            one, two = _settled(one, self._tracker), _settled(two, self._tracker)
        return one, two

    def _raised(self, node: _Node, goal: Track) -> _Node:
        """A ciphertext brought down to a goal's level and scale, by products with one."""
        while (node.track.level, node.track.pending) != (goal.level, goal.pending):
            node = _settled(node, self._tracker) if node.track.pending else self._times_plain(node, 1.0, 1.0)
        return node

    def _times_plain(self, node: _Node, value: float | int | Values, bound: float) -> _Node:
        track = self._tracker.times_plain(node.track, bound, constant=not isinstance(value, np.ndarray))
        return _Node("times_plain", track, (node,), value)

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
        one, two = _settled(self._node, self._tracker), _settled(other._node, self._tracker)
        if one.track.level < two.track.level:
            one = self._raised(one, two.track)
        elif two.track.level < one.track.level:
            two = self._raised(two, one.track)
        zeroed = self.meta.zeroed and other.meta.zeroed
        return self._with(_Node("times", self._tracker.times(one.track, two.track), (one, two)), other, zeroed=zeroed)

    def _sum(self, one: _Node, two: _Node) -> _Node:
        return _Node("add", self._tracker.sum(one.track, two.track), (one, two))

    def _folded(self, columns: Sequence[Column]) -> list[Column]:
        self._not_folded()
        rows = self.meta.rows
        tracks = [self._tracker.folded(column._node.track, rows, self.meta.length) for column in columns]
        made = []
        found = _run([column._node for column in columns], self._public, rows, fold=True)
        for column, track, row in zip(columns, tracks, found, strict=True):
            meta = msgspec.structs.replace(
                column.meta, track=track, folded=True, nulls=False, zeroed=True, seeded=False
            )
            made.append(Column(meta, _Node("load", track, rows=row), self._public))
        return made

    def _not_folded(self) -> None:
        if self.meta.folded:
            raise InvalidArgument("this is a sum already", hint="it is one number: reveal it")

    def _compute(self) -> None:
        if self._node.op != "load":
            (rows,) = _run([self._node], self._public, self.meta.rows)
            self._node = _Node("load", self._node.track, rows=rows)


def weighted_sum(columns: Sequence[Column], weights: Sequence[Number], *, intercept: Number = 0.0) -> Column:
    """The sum of columns, each times its weight, plus the intercept: a linear score of every row."""
    return matmul(columns, np.asarray(weights, dtype=np.float64).reshape(-1, 1), intercepts=[intercept])[0]


def matmul(
    columns: Sequence[Column], weights: npt.NDArray[Any], *, intercepts: Sequence[Number] | None = None
) -> list[Column]:
    """Encrypted columns, as a matrix of rows by d, times a plain matrix of shape (d, k): k encrypted columns."""
    matrix = np.asarray(weights)
    if matrix.ndim != 2 or len(matrix) != len(columns) or not columns:
        raise InvalidArgument(
            f"{len(columns)} columns and weights of shape {matrix.shape}", hint="give a row of weights for each column"
        )
    if intercepts is not None and len(intercepts) != matrix.shape[1]:
        raise InvalidArgument(f"{len(intercepts)} intercepts for {matrix.shape[1]} results")
    made = []
    for i in range(matrix.shape[1]):
        total: Column | None = None
        for column, weight in zip(columns, matrix[:, i].tolist(), strict=True):
            if weight:
                total = column * weight if total is None else total + column * weight
        if total is None:
            raise InvalidArgument("all weights are zero: the answer is not secret")
        made.append(total if intercepts is None or not intercepts[i] else total + intercepts[i])
    return made


def dot(column: Column, other: Column | Vector) -> Column | list[Column]:
    """The sum of products row by row; of a matrix of shape (rows, d), a list of d sums: its transpose times the column.

    Computes.
    """
    if isinstance(other, np.ndarray) and other.ndim == 2:
        return column._folded([(column * other[:, j])._clean() for j in range(other.shape[1])])
    return column.dot(other)


def check_key(meta: Meta, public: PublicContext) -> None:
    if not isinstance(public, PublicContext):
        raise InvalidArgument(f"a {type(public).__name__} is no key", hint="give the PublicContext or SecretContext")
    if meta.key != public.fingerprint or meta.preset != public.preset:
        raise InvalidArgument(
            f"a column under the key {meta.key[:12]}, and the key {public.fingerprint[:12]}: they do not fit",
            hint="use the key that it was encrypted under",
        )


def to_units(values: npt.NDArray[Any], resolution: float) -> npt.NDArray[Any]:
    """Finite values as the nearest whole number of units, a power of two: int64, or Python integers beyond 2^62.

    Nothing is rounded but to the grid: integers beyond 2^53 are no float64 numbers.
    """
    most = largest(values)
    if values.dtype.kind in "iub" and max(most, most / resolution) >= 2.0**53:
        whole = values.astype(object)
        if resolution <= 1.0:
            return np.asarray(whole * int(1 / resolution))
        return np.asarray((whole + int(resolution) // 2) // int(resolution))
    units = np.rint(values.astype(np.float64) / resolution)
    if most / resolution < 2.0**62:
        return units.astype(np.int64)
    return np.array([int(unit) for unit in units.tolist()], object)


def largest(values: npt.NDArray[Any]) -> float:
    """The largest absolute value, nan where one is."""
    return float(np.abs(values.astype(np.float64)).max(initial=0.0))


def _on_grid(values: npt.NDArray[Any], resolution: float) -> bool:
    """Whether all are whole numbers of units."""
    whole = values.dtype.kind in "iub"
    if whole and (resolution <= 1.0 or largest(values) >= 2.0**53):
        return resolution <= 1.0 or not (values.astype(object) % int(resolution)).any()
    return not np.fmod(values.astype(np.float64), resolution).any()


def _in_order(rows: list[memoryview], meta: Meta) -> list[memoryview]:
    """The rows by their numbers, which are all there."""
    numbered = {int.from_bytes(row[-NUMBER_BYTES:], "little"): row for row in rows}
    if len(rows) != meta.rows or numbered.keys() != set(range(meta.rows)):
        raise InvalidArgument(
            f"{len(rows):,} rows, {len(numbered):,} of them different, where an encrypted column has {meta.rows:,}",
            hint="a row is the ciphertext of a whole chunk: use all of them, each once",
        )
    return [numbered[number] for number in range(meta.rows)]


def _rows_of(storage: pa.Array, meta: Meta) -> list[memoryview]:
    """Each row of fixed-size binary as a view: nothing is copied."""
    if storage.null_count:
        raise InvalidArgument("a null in place of a ciphertext", hint="it is damaged, or was joined or filtered")
    if not len(storage):
        return []
    size = meta.row_bytes
    view = memoryview(storage.buffers()[1]).cast("B")[storage.offset * size : (storage.offset + len(storage)) * size]
    return [view[i * size : (i + 1) * size] for i in range(len(storage))]


def _numbers(vector: Vector | Sequence[Any]) -> npt.NDArray[Any]:
    if isinstance(vector, pa.Array | pa.ChunkedArray):
        if not (pa.types.is_integer(vector.type) or pa.types.is_floating(vector.type)
                or pa.types.is_boolean(vector.type)):  # fmt: skip
            raise InvalidArgument(f"an operand of {vector.type}", hint="use a number or a vector of numbers")
        filled = pc.fill_null(vector, False if pa.types.is_boolean(vector.type) else 0)
        vector = filled.to_numpy(zero_copy_only=False) if isinstance(filled, pa.Array) else filled.to_numpy()
    try:
        values = np.asarray(vector)
    except ValueError:
        raise InvalidArgument("an operand of uneven shape", hint="use a number or a vector of numbers") from None
    if values.ndim != 1 or values.dtype.kind not in "iubf":
        what = f"shape {values.shape}" if values.ndim != 1 else type(values.tolist()[0]).__name__
        raise InvalidArgument(f"an operand of {what}", hint="use a number or a vector of numbers")
    if not np.isfinite(values).all():
        raise InvalidArgument("NaN or infinity in an operand", hint="encrypted arithmetic has no such values")
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def _is_vector(other: Any) -> bool:
    """Whether an operand has a value for each row, or at least is no single number."""
    return isinstance(other, list | tuple) or np.ndim(other) > 0


def _valid_of(vector: Any) -> npt.NDArray[np.bool_] | None:
    if isinstance(vector, pa.Array | pa.ChunkedArray) and vector.null_count:
        return np.asarray(vector.is_valid().to_numpy(zero_copy_only=False))
    return None


def _same(one: npt.NDArray[np.bool_] | None, other: npt.NDArray[np.bool_] | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _settled(node: _Node, tracker: Tracker) -> _Node:
    track = tracker.settled(node.track) if not tracker.exact else node.track
    return node if track is node.track else _Node("settle", track, (node,))


def _run(nodes: Sequence[_Node], public: PublicContext | None, chunks: int, *, fold: bool = False) -> list[list[bytes]]:
    """Compile expressions into one circuit and run it."""
    if public is None:  # he.choose looks at figures only
        return [[] for _ in nodes]
    tracker = Tracker(public.preset)
    steps: list[Step] = []
    inputs: list[Sequence[Buffer]] = []
    operands: list[float | Values] = []
    numbers: dict[int, int] = {}

    def add(node: _Node) -> None:
        track = node.args[0].track if node.args else node.track
        args = tuple(numbers[id(arg)] for arg in node.args)
        scale, operand = 1.0, -1
        if not tracker.exact:
            scale = public.preset.scale(track.level) if node.op == "times_plain" else tracker.scale_of(track)
        if node.op == "load":
            args = (len(inputs),)
            inputs.append(node.rows)
        if node.operand is not None:
            operand = len(operands)
            operands.append(node.operand)
        numbers[id(node)] = len(steps)
        steps.append(Step(node.op, args, track.level, scale, operand))

    waiting = list(nodes)
    while waiting:  # not by recursion: a sum of thousands of columns is a deep expression
        missing = [arg for arg in waiting[-1].args if id(arg) not in numbers]
        if missing:
            waiting += missing
        elif id(node := waiting.pop()) not in numbers:
            add(node)
    outputs = tuple(numbers[id(node)] for node in nodes)
    levels = tuple(node.track.level for node in nodes)
    return compute(public, Circuit(tuple(steps), outputs, levels, fold), inputs, operands, chunks)

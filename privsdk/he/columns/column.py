"""Encrypted columns and their linear algebra: expressions over ciphertexts, computed when asked for.

    amount, rate = columns["amount"], columns["rate"]
    he.reveal((amount * rate + 3).sum(), key)

An operator computes the figures of its result at once (`arithmetic`) and refuses what would fail; it touches no
ciphertext. `to_arrow()`, `sum()` and `he.reveal` compute, all steps of one chunk together. Without ciphertexts the same
expressions choose the parameters: see `he.choose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.seal.keys import PublicContext, SecretContext
from ...crypto.seal.noise import NoiseEstimator
from ...crypto.seal.serial import Buffer
from ...display.cards import Card, Displayed, at_most
from ...errors import CircuitTooDeep, InvalidArgument, ProtocolViolation
from .arithmetic import Arithmetic
from .arrow import NUMBER_BYTES, EncryptedType, Meta, check_key, in_order, rows_of
from .expression import Node, run
from .operands import Number, Vector, kinds


class Column(Arithmetic, Displayed):
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

    @classmethod
    def of_rows(
        cls,
        meta: Meta,
        rows: Sequence[Buffer],
        public: PublicContext | None,
        valid: npt.NDArray[np.bool_] | None = None,
    ) -> Column:
        """A column of ciphertexts that are there, or of none where only figures are asked for."""
        return cls(meta, Node("load", meta.estimate, rows=rows), public, valid)

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
        estimator = NoiseEstimator(meta.preset)
        try:
            credible = estimator.credible(estimator.checked(meta.estimate))
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

    def _not_folded(self) -> None:
        if self.meta.folded:
            raise InvalidArgument("this is a sum already", hint="it is one number: reveal it")

    def _compute(self) -> None:
        if self._node.op != "load":
            (rows,) = run([self._node], self._public, self.meta.rows)
            self._node = Node("load", self._node.estimate, rows=rows)


def folded(columns: Sequence[Column]) -> list[Column]:
    """The sums over all rows of columns of one key, zero at their nulls; computes."""
    first = columns[0]
    first._not_folded()
    found = run([column._node for column in columns], first._public, first.meta.rows, fold=True)
    made = []
    for column, rows in zip(columns, found, strict=True):
        estimate = column._estimator.folded(column._node.estimate, column.meta.rows, column.meta.length)
        meta = msgspec.structs.replace(
            column.meta, estimate=estimate, folded=True, nulls=False, zeroed=True, seeded=False
        )
        made.append(Column.of_rows(meta, rows, column._public))
    return made


def weighted_sum(columns: Sequence[Column], weights: Sequence[Number], *, intercept: Number = 0.0) -> Column:
    """The sum of columns, each times its weight, plus the intercept: a linear score of every row."""
    return matmul(columns, np.asarray(weights, dtype=np.float64).reshape(-1, 1), intercepts=[intercept])[0]


def matmul(
    columns: Sequence[Column], weights: npt.NDArray[Any], *, intercepts: Sequence[Number] | None = None
) -> list[Column]:
    """Encrypted columns, as a matrix of rows by d, times a plain matrix of shape (d, k): k encrypted columns.

    A column of weight zero does not enter a result, nor do its nulls.
    """
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
        return folded([(column * other[:, j])._clean() for j in range(other.shape[1])])
    return column.dot(other)

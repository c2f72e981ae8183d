"""Updates in a few bits an entry, rounded at random so that their mean is right.

Paper: D. Alistarh, D. Grubic, J. Li, R. Tomioka, M. Vojnovic, "QSGD: Communication-Efficient SGD via Gradient
Quantization and Encoding", NIPS 2017, section 3.1, in buckets and by the largest entry of a bucket in place of its
norm, as in the paper's experiments; every level in the same number of bits.

    for each block of entries v:   scale = max |v|,   s = 2^(bits - 1) - 1 levels on either side of zero
    level_i = floor(s v_i / scale + u_i), u_i uniform in [0, 1)      sent: scale, and level_i + s in `bits` bits
    v'_i    = scale level_i / s                                      E v'_i = v_i,  |v'_i - v_i| < scale / s

Cost: bits / 8 bytes an entry, and 8 bytes a block.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.calls import Declarative
from ..models.network import Vector
from .base import require

BLOCK = 512  # entries that have a scale in common


class Quantised(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="Quantised"):
    """Entries rounded at random to a few bits each.

    Parameters
    ----------
    bits : int
        Of each entry, 2 to 8.
    """

    bits: int = 8
    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [pa.field("scale", pa.float32(), nullable=False), pa.field("levels", pa.binary(), nullable=False)]
    )
    feedback: ClassVar[bool] = False
    sparse: ClassVar[bool] = False
    sum_refused: ClassVar[str] = (
        "a sum adds integers of one public grid, and quantised updates have scales of their own; a grid common to all "
        "would have to be wide enough for any update, and so coarse that little of one is left"
    )

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise InvalidArgument(f"updates of {self.bits} bits an entry", hint="give 2 to 8, such as 8")

    @property
    def levels(self) -> int:
        """On either side of zero."""
        return int(2 ** (self.bits - 1)) - 1

    def pack(self, vector: Vector, rng: np.random.Generator) -> pa.Table:
        """A row for each block."""
        scales, rows = [], []
        for at in range(0, len(vector), BLOCK):
            block = vector[at : at + BLOCK].astype(np.float64)
            scale = np.abs(block).max()
            shares = block / scale if scale else block
            levels = np.floor(self.levels * shares + rng.random(len(block))).astype(np.int64)
            codes = (levels + self.levels).astype(np.uint8)
            scales.append(scale)
            rows.append(np.packbits(np.unpackbits(codes[:, None], axis=1)[:, 8 - self.bits :]).tobytes())
        return pa.table([pa.array(scales, pa.float32()), pa.array(rows, pa.binary())], schema=self.SCHEMA)

    def unpack(self, table: pa.Table, length: int) -> Vector:
        """The blocks one after the other."""
        scales: npt.NDArray[np.float32] = table.column("scale").to_numpy()
        rows: list[bytes] = table.column("levels").to_pylist()
        sizes = [min(BLOCK, length - at) for at in range(0, length, BLOCK)]
        require(len(rows) == len(sizes) and bool((np.isfinite(scales) & (scales >= 0)).all()))
        vector = np.empty(length, np.float32)
        for number, (row, size) in enumerate(zip(rows, sizes, strict=True)):
            require(len(row) == -(-size * self.bits // 8))
            bits = np.unpackbits(np.frombuffer(row, np.uint8), count=size * self.bits).reshape(size, self.bits)
            codes = np.packbits(np.pad(bits, ((0, 0), (8 - self.bits, 0))), axis=1)[:, 0]
            require(int(codes.max()) <= 2 * self.levels)
            levels = codes.astype(np.float64) - self.levels
            vector[number * BLOCK : number * BLOCK + size] = levels * (float(scales[number]) / self.levels)
        return vector

"""Only the largest entries of an update are sent; the others wait at the client until they have grown.

Papers: S. U. Stich, J.-B. Cordonnier, M. Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, definition 2.1 and
algorithm 1; S. P. Karimireddy, Q. Rebjock, S. Stich, M. Jaggi, "Error Feedback Fixes SignSGD and other Gradient
Compression Schemes", ICML 2019, algorithm 2.

    p = update + e;   sent: positions and values of the k entries of p that are largest by magnitude;   e = p - sent

so that |p - sent|^2 <= (1 - k/d) |p|^2 for d entries, and nothing is lost for good. Without e, training need not
converge: entries that are never among a client's largest are never heard of. Cost: 8 bytes for each entry sent.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.calls import Declarative
from ..models.network import Vector
from .base import require


class TopK(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="TopK"):
    """The largest entries, with error feedback.

    Parameters
    ----------
    share : float
        Of the entries that are sent, rounded up.
    """

    share: float = 0.01
    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [pa.field("position", pa.uint32(), nullable=False), pa.field("value", pa.float32(), nullable=False)]
    )
    feedback: ClassVar[bool] = True
    sparse: ClassVar[bool] = True
    sum_refused: ClassVar[str] = (
        "each client has other largest entries, so that a sum would have to be of all entries, and nothing is saved; "
        "which ones they are would be in the clear"
    )

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InvalidArgument(
                f"the share of entries sent is {self.share}", hint="give one above 0 and up to 1, such as 0.01"
            )

    def count(self, length: int) -> int:
        """Entries sent of so many."""
        return max(1, math.ceil(self.share * length - 1e-9))  # 0.07 * 100 is a little above 7 in floating point

    def pack(self, vector: Vector, rng: np.random.Generator) -> pa.Table:
        """A row for each entry, in order of position."""
        count = self.count(len(vector))
        largest = np.sort(np.argpartition(np.abs(vector), len(vector) - count)[len(vector) - count :])
        return pa.table([pa.array(largest.astype(np.uint32)), pa.array(vector[largest])], schema=self.SCHEMA)

    def unpack(self, table: pa.Table, length: int) -> Vector:
        """Zeros but for those entries."""
        positions = table.column("position").to_numpy().astype(np.int64)
        require(len(positions) == self.count(length) and bool((np.diff(positions) > 0).all()))
        require(int(positions[-1]) < length)
        vector = np.zeros(length, np.float32)
        vector[positions] = table.column("value").to_numpy()
        return vector

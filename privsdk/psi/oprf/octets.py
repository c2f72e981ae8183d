"""Arrays of bytes as messages: one row, moved without a copy, of a length that the receiver knows beforehand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import ProtocolViolation

OCTETS = pa.schema([pa.field("octets", pa.large_binary(), nullable=False)])


def to_table(array: npt.NDArray[np.uint64] | npt.NDArray[np.uint8]) -> pa.Table:
    """The array's bytes."""
    content = pa.py_buffer(np.ascontiguousarray(array))
    ends = pa.py_buffer(np.array([0, content.size], np.int64))
    return pa.table([pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, ends, content])], schema=OCTETS)


def octets_of(table: pa.Table, size: int, sender: str) -> npt.NDArray[np.uint8]:
    """The bytes of a received table; raises ProtocolViolation unless they are one row of so many."""
    (row,) = table.column("octets") if table.num_rows == 1 else (None,)
    if row is None or not row.is_valid or row.as_buffer().size != size:  # a peer may send nulls where none belong
        raise ProtocolViolation(f"{sender} sent something else than one row of the bytes that are due")
    return np.frombuffer(row.as_buffer(), np.uint8)

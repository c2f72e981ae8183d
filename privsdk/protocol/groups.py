"""Groups whose keys are public: the caller names them, so none is found in the data. What keys may be, and each row's
group. Rows of other keys and of a null key are in no group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidArgument
from .operation import Kind

Key = str | int | bool
MAX_KEYS = 100_000


def plain_keys(by: str | None, keys: Any) -> tuple[Key, ...] | None:
    """The keys that a notebook gave as plain Python values; None where there are no groups."""
    if by is not None and keys is None:
        raise InvalidArgument(
            f"the groups of {by!r} must be public: groups found in the data would themselves tell who is in it",
            hint=f'list them, for example keys=["a", "b"] for the values of {by!r} that are known to all',
        )
    if keys is None:
        return None
    if by is None:
        raise InvalidArgument("keys are given without by", hint="name the group column: by=...")
    if isinstance(keys, str):
        raise InvalidArgument(f"keys is the text {keys!r}", hint=f"give a list: keys=[{keys!r}]")
    plain = tuple(key.item() if isinstance(key, np.generic) else key for key in keys)
    if not all(isinstance(key, str | int) for key in plain):
        raise InvalidArgument("a group key is neither text nor an integer nor a boolean", hint="group by such a column")
    return plain


def check_keys(by: str | None, keys: tuple[Key, ...] | None) -> None:
    """Raise InvalidArgument unless there are neither, or a column and different keys of one type."""
    if (by is None) != (keys is None):
        raise InvalidArgument("by and keys belong together")
    if keys is None:
        return
    if not 0 < len(keys) <= MAX_KEYS or len(set(keys)) != len(keys):
        raise InvalidArgument(f"{len(keys)} keys", hint=f"give 1 to {MAX_KEYS} different keys")
    if len({type(key) for key in keys}) != 1:
        raise InvalidArgument("keys of different types", hint="give all keys in the group column's type")
    if any(isinstance(key, int) and not -(2**63) <= key < 2**63 for key in keys):
        raise InvalidArgument("a key that no 64-bit integer column can hold", hint="leave it out")


def kind_of(keys: tuple[Key, ...]) -> Kind:
    """What a column must hold to have these keys."""
    return Kind.TEXT if isinstance(keys[0], str) else Kind.BOOLEAN if isinstance(keys[0], bool) else Kind.INTEGER


def groups_of(column: pa.ChunkedArray, keys: tuple[Key, ...]) -> npt.NDArray[np.int64]:
    """For each row the number of its key, -1 where it is in no group."""
    known = pa.array(list(keys))
    if pa.types.is_uint64(column.type):  # those that no key can equal would not fit
        column = pc.if_else(pc.less(column, pa.scalar(2**63, pa.uint64())), column, None)
    if pa.types.is_string(known.type) and not pa.types.is_null(column.type):
        known = known.cast(column.type)
    codes = pc.index_in(column.cast(known.type), value_set=known)
    numbers: npt.NDArray[np.int64] = pc.fill_null(codes, -1).to_numpy().astype(np.int64)
    return numbers

"""From tables and arrays to encrypted columns, and from Arrow back to columns that compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, overload

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...crypto.seal.circuit import Values, encrypt_column
from ...crypto.seal.keys import PublicContext, SecretContext
from ...crypto.seal.parallel import encrypt as encrypt_rows
from ...errors import DataError, InvalidArgument, ProtocolViolation, UnknownName
from ...protocol.columns.arrow import plain
from ...protocol.columns.numbers import reals
from .arrow import EncryptedType, Meta
from .column import Column
from .operands import Vector, is_number, largest, positive, to_numpy, to_units

Key = PublicContext | SecretContext


@overload
def encrypt(
    data: pa.Table,
    bounds: Mapping[str, float],
    key: Key,
    *,
    owner: str = "",
    min_parties: int = 1,
    nulls: str = "refuse",
) -> pa.Table: ...
@overload
def encrypt(
    data: Vector | Sequence[float],
    bounds: float,
    key: Key,
    *,
    owner: str = "",
    min_parties: int = 1,
    nulls: str = "refuse",
) -> Column: ...
def encrypt(
    data: Any, bounds: Any, key: Key, *, owner: str = "", min_parties: int = 1, nulls: str = "refuse"
) -> pa.Table | Column:
    """Encrypt columns of a table, or one array.

    Parameters
    ----------
    data : Arrow table; or an Arrow or NumPy array, or a list of numbers
        Decimals are taken as the nearest floats.
    bounds : mapping of column to float; or float for one array
        The columns to encrypt, and the largest absolute value that each may hold: public, as is the length.
    key : PublicContext or SecretContext
        A secret key encrypts to half the size, with less noise.
    owner : str
        Whose values these are: named in the records of whoever reveals.
    min_parties : int
        The fewest owners that the owner wants to be among when a result is revealed.
    nulls : "refuse" or "public"
        Whether a null is an error, or its position disclosed to everyone who gets the ciphertexts.

    Returns
    -------
    Arrow table with one row for each chunk of values, or a `Column`

    Raises
    ------
    DataError
        A null, NaN, infinity, or a value beyond the bound; names the column, never the value. Nothing is encrypted.

    Learns
    ------
    Who gets the ciphertexts: length, bounds, null positions where those are public. Who holds the key: everything.
    """
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        data = plain(data)
        if not isinstance(bounds, Mapping) or not bounds:
            raise InvalidArgument(
                "which columns to encrypt, and within which bounds?",
                hint='give {"column": largest absolute value, ...}',
            )
        for name in bounds:
            if name not in data.column_names:
                raise UnknownName.among("column", name, data.column_names)
            if data.column_names.count(name) > 1:
                raise DataError(f"there are {data.column_names.count(name)} columns {name}", hint="rename all but one")
        made = {
            name: _encrypted(data[name], name, bound, key, owner, min_parties, nulls).to_arrow()
            for name, bound in bounds.items()
        }
        return pa.table(made)
    if isinstance(bounds, Mapping):
        raise InvalidArgument("bounds by column for a single array", hint="give one number: its largest absolute value")
    return _encrypted(data, "the column", bounds, key, owner, min_parties, nulls)


def columns(table: pa.Table, key: Key) -> dict[str, Column]:
    """The encrypted columns of a table, ready to be computed under their key."""
    found = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if isinstance(field.type, EncryptedType):
            if field.name in found:
                raise InvalidArgument(f"there are two encrypted columns {field.name}", hint="rename one")
            try:
                found[field.name] = Column.from_arrow(column, key)
            except (InvalidArgument, ProtocolViolation) as refused:
                raise type(refused)(f"column {field.name}: {refused.message}", hint=refused.hint) from None
    return found


def restored(column: pa.Array | pa.ChunkedArray, like: EncryptedType | bytes | str) -> pa.Array:
    """Rows that came back without their type, such as BLOBs of DuckDB, as the encrypted column that they were.

    Parameters
    ----------
    column : Arrow array of binary
    like : EncryptedType, or its serialised form
        `table.schema.field(name).type`, or what its `__arrow_ext_serialize__()` gave.
    """
    if not isinstance(like, EncryptedType):
        text = like if isinstance(like, bytes) else like.encode()
        try:
            like = EncryptedType(msgspec.json.decode(text, type=Meta))
        except (msgspec.DecodeError, InvalidArgument):
            raise InvalidArgument("this is no serialised encrypted type of this version") from None
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    try:
        return pa.ExtensionArray.from_storage(like, whole.cast(like.storage_type))
    except pa.ArrowNotImplementedError:
        raise InvalidArgument(f"a column of {whole.type} holds no rows of ciphertexts", hint="give binary") from None
    except pa.ArrowInvalid:
        raise InvalidArgument(f"rows that are not of {like.meta.row_bytes:,} bytes: another column's or cut") from None


def _encrypted(data: Any, name: str, bound: float, key: Key, owner: str, min_parties: int, nulls: str) -> Column:
    if not isinstance(min_parties, int | np.integer) or min_parties < 1:
        raise InvalidArgument(f"min_parties={min_parties!r}", hint="give a whole number of owners, 1 or more")
    if nulls not in ("refuse", "public"):
        raise InvalidArgument(f"nulls={nulls!r}", hint='use "refuse" or "public"')
    if not isinstance(key, PublicContext | SecretContext):
        raise InvalidArgument(
            f"a {type(key).__name__} is no key", hint="make one with he.SecretContext.new(he.choose(...))"
        )
    secret, preset = isinstance(key, SecretContext), key.preset
    public = key.public if isinstance(key, SecretContext) else key
    whose = f"{owner}'s {name}" if owner else name
    if not positive(bound):
        raise InvalidArgument(
            f"{whose} has a bound of {bound!r}", hint="give the largest absolute value it may hold, positive and finite"
        )
    values, valid = _values(data, whose, nulls)
    magnitude = largest(values)
    if not math.isfinite(magnitude):
        raise DataError(f"{whose} holds NaN or infinity: nothing was encrypted", hint="make such values null, or clean")
    if magnitude > bound:
        raise DataError(
            f"{whose} exceeds the declared bound of {bound:g}: nothing was encrypted", hint="declare a larger bound"
        )
    exact = preset.scheme == "exact"
    on_grid = exact and values.dtype.kind in "iub" and preset.resolution <= 1.0
    units: Values = to_units(values, preset.resolution) if exact else values.astype(np.float64, copy=False)
    meta = Meta.fresh(
        public,
        bound,
        length=len(values),
        secret=secret,
        on_grid=on_grid,
        nulls=valid is not None,
        owners=(owner,) if owner else (),
        min_parties=int(min_parties),
    )
    if isinstance(key, SecretContext):
        rows = encrypt_column(preset, key.encryptors, units, symmetric=True)
    else:
        rows = encrypt_rows(public, units)
    return Column.of_rows(meta, rows, public, valid)


def _values(data: Any, whose: str, nulls: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Numbers with zero in place of nulls, and which are none."""
    array = data if isinstance(data, pa.Array | pa.ChunkedArray) else None
    try:
        array = pa.array(data) if array is None else array
    except (TypeError, ValueError, OverflowError, pa.ArrowNotImplementedError):
        raise DataError(
            f"{whose} is not a column of numbers", hint="give one dimension of numbers, whole ones of up to 64 bits"
        ) from None
    if isinstance(array.type, EncryptedType):
        raise InvalidArgument(f"{whose} is encrypted already")
    kind = array.type
    if not is_number(kind):
        raise DataError(f"{whose} is {kind}, which is not numeric", hint="encrypt numeric or boolean columns")
    if not len(array):
        raise DataError(f"{whose} is empty: there is nothing to encrypt")
    valid = None
    if array.null_count:
        if nulls == "refuse":
            raise DataError(
                f"{whose} has {array.null_count:,} nulls",
                hint='drop them, or pass nulls="public": who gets the ciphertexts will see which rows are null',
            )
        valid = to_numpy(array.is_valid())
    if pa.types.is_decimal(kind):
        return np.nan_to_num(reals(array)), valid
    if valid is not None:
        array = pc.fill_null(array, pa.scalar(0).cast(kind))
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    values = to_numpy(array)
    return (values.astype(np.float64) if values.dtype.kind == "f" else values), valid

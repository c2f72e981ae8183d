"""From tables and arrays to encrypted columns, and the choice of parameters from what will be computed of them."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import CircuitTooDeep, DataError, InvalidArgument, ProtocolViolation, UnknownName
from .ciphertexts import EncryptedType, Meta
from .columns import Column, Vector, _Node, largest, to_units
from .evaluation import Values, encrypt_chunk
from .evaluation import encrypt as encrypt_rows
from .keys import PublicContext, SecretContext
from .presets import MAX_LIMBS, MAX_REVEALS, Packing, Preset, Scheme, ckks_chains, exact_chains
from .tracking import Tracker

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
    bounds : mapping of column to float; or float for one array
        The columns to encrypt, and the largest absolute value that each may hold: public, as is the length.
    key : PublicContext or SecretContext
        A secret key encrypts to half the size, with less noise.
    owner : str
        Whose values these are: named in the records of whoever reveals.
    min_parties : int
        The fewest owners that the owner wants to be among when a result is revealed.
    nulls : "refuse" or "public"
        Whether a null is an error, or its position told to everyone who gets the ciphertexts.

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
        if not isinstance(bounds, Mapping) or not bounds:
            raise InvalidArgument("no columns to encrypt", hint='give {"column": largest absolute value, ...}')
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


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a column before it is encrypted, for `choose`.

    Parameters
    ----------
    bound : float
        Largest absolute value.
    length : int
        Number of values.
    integers : bool
        Whether all values are whole numbers.
    nulls : bool
        Whether some may be null, where another column's are not: sums of such columns have to mask them.
    """

    bound: float
    length: int = 1
    integers: bool = False
    nulls: bool = False


def choose(
    circuit: Callable[..., Any],
    *,
    error: float,
    scheme: Scheme | None = None,
    secret: bool = False,
    reveals: int = MAX_REVEALS,
    **inputs: Range | Iterable[Range],
) -> Preset:
    """The cheapest preset that computes a circuit within an error: parameters nobody has to choose.

    Parameters
    ----------
    circuit : callable
        Takes the columns by name and returns the results: the very code that will run on ciphertexts.
    error : float
        Largest difference of a revealed result from exact arithmetic, in the result's unit.
    scheme : "exact" or "ckks", optional
        Default exact where the circuit allows it: sums, and products with whole numbers. It is exact, smaller, faster,
        and its results can be shown to anyone. CKKS is for products of reals and of columns.
    secret : bool
        Whether the columns are encrypted with the secret key, which leaves more room.
    reveals : int
        How many results will be revealed under the key: CKKS's noise grows with its root.
    **inputs : Range, or list of Range
        The columns by the names that the circuit gives them.

    Raises
    ------
    CircuitTooDeep
        No preset computes it within the error; says how near the best comes.

    Examples
    --------
    >>> preset = he.choose(lambda x, y: (x * y).sum(), error=0.1, x=he.Range(bound=100), y=he.Range(bound=1))
    >>> key = he.SecretContext.new(preset)
    """
    if not _positive(error):
        raise InvalidArgument(f"an error of {error}", hint="give a positive, finite number")
    given = {name: list(ranges) if isinstance(ranges, Iterable) else ranges for name, ranges in inputs.items()}
    _check_inputs(circuit, given)
    reasons: list[CircuitTooDeep] = []
    best = math.inf
    if scheme != "ckks":
        preset, best = _exact(circuit, error, secret, given, reasons)
        if preset is not None:
            return preset
    for chain in ckks_chains() if scheme != "exact" else ():
        for packing in ("complex", "real"):
            preset, found = _ckks(circuit, chain, packing, error, secret, reveals, given, reasons)
            if preset is not None and found <= error:
                return preset
            best = min(best, found)
    if best < math.inf:
        raise CircuitTooDeep(
            f"no preset computes this within {error:.3g}; the best comes to {best:.3g}",
            hint="allow a larger error, declare smaller bounds, or reveal less often under one key (reveals=)",
        )
    raise CircuitTooDeep(
        f"no preset computes this; of the largest: {reasons[-1].message}",
        hint="multiply less often one after the other, declare smaller bounds, or reveal something between",
    )


def _exact(
    circuit: Callable[..., Any],
    error: float,
    secret: bool,
    inputs: Mapping[str, Any],
    reasons: list[CircuitTooDeep],
) -> tuple[Preset | None, float]:
    """With a grid as coarse as the error allows, and as few limbs as the totals ask for; and the error it comes to."""
    ranges = [one for given in inputs.values() for one in ([given] if isinstance(given, Range) else given)]
    best = math.inf
    for chain in (*exact_chains(0), *exact_chains(1)):
        probe = Preset(scheme="exact", limbs=MAX_LIMBS, resolution=2.0**-40 if error < 1 else 1.0, **chain)
        try:
            _, found = _trace(circuit, probe, secret, inputs)
            resolution = 1.0
            if found and not (found <= error and all(one.integers for one in ranges)):
                finer = math.log2(error) - math.log2(found) + math.log2(probe.resolution)
                resolution = 2.0 ** max(-1000, min(math.floor(finer), 1000))
            for limbs in range(1, MAX_LIMBS + 1):
                preset = Preset(scheme="exact", limbs=limbs, resolution=resolution, **chain)
                try:
                    found = _trace(circuit, preset, secret, inputs)[1]
                except CircuitTooDeep as refused:
                    reasons.append(refused)
                    continue
                if found <= error:
                    return preset, found
                best = min(best, found)  # what results lose as float64 numbers
                break
        except CircuitTooDeep as refused:
            reasons.append(refused)
    return None, best


def _ckks(
    circuit: Callable[..., Any],
    chain: Mapping[str, Any],
    packing: Packing,
    error: float,
    secret: bool,
    reveals: int,
    inputs: Mapping[str, Any],
    reasons: list[CircuitTooDeep],
) -> tuple[Preset | None, float]:
    """A chain with the largest scale that the circuit's values allow, and the error it comes to."""

    def attempt(bits: int) -> tuple[Preset, float] | None:
        for products in (False, True):
            preset = Preset(
                scheme="ckks", packing=packing, scale_bits=bits, reveals=reveals, products=products, **chain
            )
            try:
                return preset, _trace(circuit, preset, secret, inputs)[1]
            except CircuitTooDeep as refused:
                reasons.append(refused)
            if packing == "complex":
                break
        return None

    if chain["drop"]:
        return attempt(chain["drop"] * chain["data"][-1]) or (None, math.inf)
    low, high, best = 10, sum(chain["data"]) - 2, None
    while low <= high:
        middle = (low + high) // 2
        found = attempt(middle)
        if found is None:
            high = middle - 1
        else:
            low, best = middle + 1, found
    return best or (None, math.inf)


def _trace(
    circuit: Callable[..., Any], preset: Preset, secret: bool, inputs: Mapping[str, Any]
) -> tuple[list[Column], float]:
    """The circuit over columns without ciphertexts, and the largest error of its results."""
    tracker = Tracker(preset)

    nullable = itertools.count()

    def symbol(given: Range) -> Column:
        on_grid = given.integers and preset.scheme == "exact" and preset.resolution <= 1.0
        track = tracker.fresh(given.bound, secret=secret, on_grid=on_grid)
        meta = Meta(preset=preset, key="", track=track, length=given.length, nulls=given.nulls)
        valid = np.ones(given.length, bool) if given.nulls else None
        if valid is not None:  # each column's nulls are elsewhere
            valid[next(nullable) % given.length] = given.length == 1
        return Column(meta, _Node("load", track), None, valid)

    arguments: dict[str, Any] = {
        name: symbol(given) if isinstance(given, Range) else [symbol(one) for one in given]
        for name, given in inputs.items()
    }
    results = _flat(circuit(**arguments))
    if not results:
        raise InvalidArgument(
            "the circuit returns no encrypted column", hint="return what will be revealed: a column, or a list or dict"
        )
    return results, max(result.error for result in results)


def _check_inputs(circuit: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    try:
        inspect.signature(circuit).bind(**inputs)
    except TypeError as error:
        raise InvalidArgument(
            f"the circuit does not take the columns {', '.join(inputs) or 'none'}: {error}",
            hint="give a he.Range for each of its parameters, by name",
        ) from None
    for name, given in inputs.items():
        for one in given if isinstance(given, list) else [given]:
            if not isinstance(one, Range):
                raise InvalidArgument(
                    f"{name} is given as {type(one).__name__}",
                    hint=f"describe it: {name}=he.Range(bound=..., length=...)",
                )
            if not _positive(one.bound):
                raise InvalidArgument(f"{name} has a bound of {one.bound}", hint="give its largest absolute value")


def _positive(number: Any) -> bool:
    return isinstance(number, int | float | np.integer | np.floating) and bool(0 < number < math.inf)


def _flat(result: Any) -> list[Column]:
    if isinstance(result, Column):
        return [result]
    if isinstance(result, Mapping):
        return _flat(list(result.values()))
    return [column for part in result for column in _flat(part)] if isinstance(result, list | tuple) else []


def _encrypted(data: Any, name: str, bound: float, key: Key, owner: str, min_parties: int, nulls: str) -> Column:
    if nulls not in ("refuse", "public"):
        raise InvalidArgument(f"nulls={nulls!r}", hint='use "refuse" or "public"')
    if not isinstance(key, PublicContext | SecretContext):
        raise InvalidArgument(
            f"a {type(key).__name__} is no key", hint="make one with he.SecretContext.new(he.choose(...))"
        )
    secret, preset = isinstance(key, SecretContext), key.preset
    public = key.public if isinstance(key, SecretContext) else key
    whose = f"{owner}'s {name}" if owner else name
    if not _positive(bound):
        raise InvalidArgument(
            f"{whose} has a bound of {bound!r}", hint="give the largest absolute value it may hold, positive and finite"
        )
    values, valid = _values(data, whose, nulls)
    magnitude = largest(values)
    if not math.isfinite(magnitude):
        raise DataError(f"{whose} holds NaN or infinity: nothing was encrypted", hint="make such values null, or clean")
    if magnitude > bound:
        raise DataError(f"{whose} exceeds the declared bound of {bound:g}: nothing was encrypted", hint="declare more")
    exact = preset.scheme == "exact"
    on_grid = exact and values.dtype.kind in "iub" and preset.resolution <= 1.0
    track = Tracker(preset).fresh(bound, secret=secret, on_grid=on_grid)
    units: Values = to_units(values, preset.resolution) if exact else values.astype(np.float64)
    meta = Meta(
        preset=preset,
        key=public.fingerprint,
        track=track,
        length=len(values),
        seeded=secret,
        nulls=valid is not None,
        owners=(owner,) if owner else (),
        min_parties=min_parties,
    )
    if isinstance(key, SecretContext):
        size = preset.values_a_row
        rows = [
            encrypt_chunk(preset, key.encryptors, units[i : i + size], symmetric=True)
            for i in range(0, len(units), size)
        ]
    else:
        rows = encrypt_rows(public, units)
    return Column(meta, _Node("load", track, rows=rows), public, valid)


def _values(data: Any, whose: str, nulls: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Numbers with zero in place of nulls, and which are none."""
    array = data if isinstance(data, pa.Array | pa.ChunkedArray) else None
    try:
        array = pa.array(data) if array is None else array
    except (TypeError, ValueError, pa.ArrowNotImplementedError):
        raise DataError(f"{whose} is not a column of numbers", hint="give one dimension of numbers") from None
    if isinstance(array.type, EncryptedType):
        raise InvalidArgument(f"{whose} is encrypted already")
    kind = array.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
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
        valid = np.asarray(
            array.is_valid().to_numpy(zero_copy_only=False)
            if isinstance(array, pa.Array)
            else array.is_valid().to_numpy()
        )
        array = pc.fill_null(array, pa.scalar(0).cast(kind))
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    values = array.to_numpy(zero_copy_only=False) if isinstance(array, pa.Array) else array.to_numpy()
    return (values.astype(np.float64) if values.dtype.kind == "f" else values), valid

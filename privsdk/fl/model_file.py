"""The file that a trained model is kept in: one Arrow IPC file, readable without privsdk.

Its table is the weights: a column "weight" of float32, flat as in `network`. Its schema's metadata has, under
`privsdk.fl.model`, JSON:

    version   1
    model     the model as in a request: "type" names it, then its features and other parameters
    label     the label's column
    scales    by standardised feature: mean, standard deviation
    best      the round after which it was the model; null where that is not known
    tables    by name, the results that belong to the weights: "columns" of [name, type], and "rows"

Nothing in it is code. What is read is checked as what comes from outside: types, sizes, and that numbers are finite.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from ..atomic import SHARED, replacing
from ..errors import InvalidArgument, PrivsdkError
from .models.features import Scale
from .models.model import Model
from .models.network import Vector

VERSION = 1
KEY = b"privsdk.fl.model"
TABLES = ("history", "evaluation", "curve", "groups", "lost")
WEIGHTS = pa.schema([pa.field("weight", pa.float32(), nullable=False)])
_TYPES = {str(type_): type_ for type_ in (pa.int64(), pa.float64(), pa.string(), pa.bool_())}


class Saved(NamedTuple):
    """What a file holds."""

    model: Model
    label: str
    weights: Vector
    scales: dict[str, Scale]
    tables: dict[str, pa.Table]
    best: int | None = None


class Results(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table as JSON."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]


class ModelHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata."""

    version: int
    model: Model
    label: str
    scales: dict[str, tuple[float, float]]
    tables: dict[str, Results]
    best: int | None = None


class _Version(msgspec.Struct, frozen=True, kw_only=True):
    version: int


def write(path: Path, saved: Saved) -> None:
    """Write a model file, whole or not at all."""
    head = ModelHeader(
        version=VERSION,
        model=saved.model,
        label=saved.label,
        scales=dict(saved.scales),
        best=saved.best,
        tables={name: _results(table) for name, table in saved.tables.items()},
    )
    schema = WEIGHTS.with_metadata({KEY: msgspec.json.encode(head)})
    with (
        replacing(path, mode=SHARED) as draft,
        pa.OSFile(str(draft), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        writer.write_table(pa.table([pa.array(saved.weights, pa.float32())], schema=schema))


def read(path: Path) -> Saved:
    """Read and check a file. Raises InvalidArgument."""
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
            metadata = reader.schema.metadata or {}
            if KEY not in metadata or not reader.schema.equals(WEIGHTS):
                raise _not_a_model(path, "it holds another table")
            head = _head(path, metadata[KEY])
            table = reader.read_all()
            table.validate(full=True)
    except FileNotFoundError:
        raise InvalidArgument(f"there is no file {path}", hint="check the path") from None
    except (OSError, pa.ArrowException):
        raise _not_a_model(path, "it is no Arrow file, or damaged") from None
    weights: Vector = table.column("weight").to_numpy()
    size = head.model.network.size
    if len(weights) != size:
        raise _not_a_model(path, f"it holds {len(weights):,} weights for a model of {size:,}")
    if table.column("weight").null_count or not np.isfinite(weights).all():
        raise _not_a_model(path, "a weight is not finite")
    if set(head.scales) != set(head.model.standardised):
        raise _not_a_model(path, "its scales are not those of its standardised features")
    if not all(math.isfinite(mean) and 0 <= deviation < math.inf for mean, deviation in head.scales.values()):
        raise _not_a_model(path, "a scale is not finite")
    if set(head.tables) != set(TABLES):
        raise _not_a_model(path, f"its tables are not {', '.join(TABLES)}")
    try:
        tables = {name: _table(results) for name, results in head.tables.items()}
    except (pa.ArrowException, TypeError, ValueError, KeyError, OverflowError):
        raise _not_a_model(path, "its tables are damaged") from None
    scales = {name: Scale(*pair) for name, pair in head.scales.items()}
    return Saved(head.model, head.label, weights, scales, tables, head.best)


def _head(path: Path, data: bytes) -> ModelHeader:
    try:
        version = msgspec.json.decode(data, type=_Version).version
        if version == VERSION:
            return msgspec.json.decode(data, type=ModelHeader)
    except msgspec.MsgspecError:  # its message may quote the file
        raise _not_a_model(path, "what it says of the model cannot be read") from None
    except PrivsdkError as error:
        raise _not_a_model(path, error.message) from None
    raise InvalidArgument(
        f"{path} is of version {version}; this privsdk reads version {VERSION}",
        hint="load it with the privsdk that saved it, or a newer one",
    )


def _not_a_model(path: Path, why: str) -> InvalidArgument:
    return InvalidArgument(f"{path} is not a model as Fitted.save writes it: {why}", hint="give such a file to fl.load")


def _results(table: pa.Table) -> Results:
    columns = tuple((field.name, str(field.type)) for field in table.schema)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return Results(columns=columns, rows=tuple(rows))


def _table(results: Results) -> pa.Table:
    schema = pa.schema([pa.field(name, _TYPES[type_]) for name, type_ in results.columns])
    rows = [dict(zip(schema.names, row, strict=True)) for row in results.rows]
    return pa.Table.from_pylist(rows, schema=schema)

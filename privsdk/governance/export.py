"""An audit chain as an Arrow table, from which it can be verified again, and such a table in a file.

The columns that a reader searches by are read off `detail`; only `sequence`, `detail`, `hash` and `signature` are what
was signed, and `rows_of` refuses a table whose other columns say something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from ..atomic import SHARED, replacing
from ..errors import InvalidArgument
from .chain import Row
from .events import (
    JointEnded,
    JointKept,
    KnownEvent,
    LossShown,
    OwnerActed,
    RequestEvent,
    RunEvent,
    RunReserved,
    RunStarted,
    UnknownEvent,
    decode,
    facts_of,
    name_of,
)

PUBLIC_KEY = b"privsdk.public_key"
SCHEMA = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("at", pa.string(), nullable=False),  # ISO 8601, UTC
        pa.field("event", pa.string(), nullable=False),
        pa.field("caller", pa.string()),
        pa.field("run", pa.string()),
        pa.field("operation", pa.string()),
        pa.field("tables", pa.list_(pa.string())),  # of this party; a dataset where the event is about one
        pa.field("detail", pa.large_string(), nullable=False),  # the whole body, JSON, byte for byte as it was signed
        pa.field("hash", pa.binary(), nullable=False),
        pa.field("signature", pa.binary(), nullable=False),
    ]
)


class About(NamedTuple):
    """Whose question an event is about; later events of a run take it from where the run began."""

    caller: str | None
    operation: str | None
    tables: tuple[str, ...]


def audit_table(rows: Iterable[Row], public_key: bytes | None = None) -> pa.Table:
    """The rows of an audit chain as a table, one for one, with the columns of `SCHEMA`.

    Parameters
    ----------
    rows : iterable of Row
    public_key : bytes, optional
        Written into the table's metadata, as a hint to who reads it; a verifier should know the key from elsewhere.

    Raises
    ------
    InvalidArgument
        A row's body is not what privsdk writes. Verify the chain first.
    """
    runs: dict[str, About] = {}
    records = [_record(row, runs) for row in rows]
    metadata = {} if public_key is None else {PUBLIC_KEY: public_key.hex().encode()}
    return pa.Table.from_pylist(records, schema=SCHEMA.with_metadata(metadata))


def rows_of(table: pa.Table) -> list[Row]:
    """The rows of an exported chain, to be verified; raises InvalidArgument where the table is no such export."""
    if not table.schema.remove_metadata().equals(SCHEMA):
        raise InvalidArgument("the table is not an exported audit", hint="python -m privsdk audit export makes one")
    columns = (table[name].to_pylist() for name in ("sequence", "detail", "hash", "signature"))
    rows = [Row(sequence, detail.encode(), *rest) for sequence, detail, *rest in zip(*columns, strict=True)]
    if not audit_table(rows).equals(table):
        raise InvalidArgument(
            "the exported audit has columns that do not say what its details say", hint="ask for the export again"
        )
    return rows


def write_audit(table: pa.Table, path: Path) -> None:
    """Write an exported chain, whole or not at all; the file's name ends with .arrow or .parquet."""
    if path.suffix not in (".arrow", ".parquet"):
        raise InvalidArgument(f"{path.name} is neither .arrow nor .parquet", hint="name the export audit.arrow")
    try:
        with replacing(path, mode=SHARED) as draft:
            if path.suffix == ".parquet":
                import pyarrow.parquet

                pyarrow.parquet.write_table(table, draft)
            else:
                with pa.OSFile(str(draft), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror}", hint="give another place") from None


def read_audit_file(path: Path) -> pa.Table:
    """An exported chain from its .arrow or .parquet file."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path)
        with pa.OSFile(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    except (pa.ArrowException, OSError) as error:
        raise InvalidArgument(
            f"{path} cannot be read as an exported audit ({type(error).__name__})",
            hint="python -m privsdk audit export makes one",
        ) from None


def _record(row: Row, runs: dict[str, About]) -> dict[str, Any]:
    try:
        event = decode(row.body)
        run, about = _about(event)
        if isinstance(event, RunReserved):
            runs[run or ""] = about
        about = runs.get(run or "", about)
        return {
            "sequence": row.sequence,
            "at": event.at,
            "event": name_of(event),
            "caller": about.caller,
            "run": run,
            "operation": about.operation,
            "tables": about.tables,
            "detail": row.body.decode(),
            "hash": row.hash,
            "signature": row.signature,
        }
    except (UnicodeDecodeError, msgspec.DecodeError):
        raise InvalidArgument(
            f"audit row {row.sequence} is not what privsdk writes",
            hint="verify the chain: python -m privsdk audit verify",
        ) from None


def _about(event: KnownEvent | UnknownEvent) -> tuple[str | None, About]:
    """The run and whose question an event is about; of one that this version does not know as far as it says."""
    match event:
        case RequestEvent():
            facts, tables = event.facts, list[str]()
            if isinstance(event, RunReserved):
                tables += event.tables or ()
                tables += [debit.table for debit in event.charges or ()]  # as ledgers of version 1 have it
            tables += [facts.table] if facts.table else []
            return facts.run_id, About(event.caller, facts.operation, tuple(dict.fromkeys(tables)))
        case RunEvent():
            large = event.request if isinstance(event, RunStarted) else None  # whole here, where it has begun
            return event.run, About(None, facts_of(large).operation if large else None, ())
        case OwnerActed(action=action):
            return None, About(None, None, (action.dataset,))
        case JointKept(caller=caller, table=table) | JointEnded(caller=caller, table=table):
            return None, About(caller, None, (table,))
        case LossShown() | UnknownEvent():
            return getattr(event, "run", None) or None, About(event.caller or None, None, ())
    return None, About(None, None, ())

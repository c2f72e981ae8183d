"""party.toml, the owner's file: what a party serves, what it allows and where it keeps its ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from ..display.titles import MOST, is_title
from ..errors import InvalidArgument, PrivsdkError
from ..errors.inputs import NameUnknown, TitleUnfit
from ..errors.sources import SourceUnusable
from ..governance.charges import Budget
from ..governance.policy import Policy
from ..party.sources.csv import PLAIN, CsvFile, CsvFormat
from ..party.sources.duckdb_file import DuckDBFile
from ..party.sources.files import FileSet
from ..party.sources.postgres import ConnectionString, Postgres
from ..party.sources.view import SqlView
from ..protocol.timeouts import CallerTimeouts, Joins, Limits, Timeouts
from ..transport.identities import is_member_name

T = TypeVar("T")


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    authority: str
    certificate: str
    key: str


# What says where a table is, and what may go with it.
_SOURCES = {
    "path": {"csv"},
    "files": {"hive", "csv"},
    "duckdb": {"table", "query"},
    "postgres": {"table", "query"},
    "view": {"sources"},
}


class TableSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a table is: by exactly one of `path`, `files`, `duckdb`, `postgres` and `view`, with what goes with it."""

    path: str = ""
    csv: CsvFormat = PLAIN
    files: str = ""
    hive: dict[str, str] = {}
    duckdb: str = ""
    postgres: ConnectionString | None = None
    table: str = ""
    query: str = ""
    view: str = ""
    sources: dict[str, TableSource] = {}

    def place(self, folder: Path, where: str = "") -> Any:
        """What opens it at a party: paths are relative to the folder of party.toml, addresses are as they are."""
        given = [name for name in TableSource.__struct_fields__ if getattr(self, name) not in (None, "", {}, PLAIN)]
        kind = next((name for name in given if name in _SOURCES), "")
        if not kind or not _SOURCES[kind].issuperset(set(given) - {kind}):
            due = ", ".join(_SOURCES)
            raise InvalidArgument(SourceUnusable(where=where, problem="declared", names=tuple(given), due=due))
        if self.files:
            return FileSet(folder / self.files, self.hive, self.csv)
        if self.duckdb:
            return DuckDBFile(folder / self.duckdb, self.table, self.query)
        if self.postgres is not None:
            file = str(folder / self.postgres.file) if self.postgres.file else ""
            return Postgres(msgspec.structs.replace(self.postgres, file=file), self.table, self.query)
        if self.view:
            sources = {name: each.place(folder, f"{where}.{name}") for name, each in self.sources.items()}
            return SqlView(self.view, sources)
        if "://" in self.path:
            return self.path
        path = folder / self.path
        return CsvFile(path, self.csv) if self.csv != PLAIN else path


class ServedTable(TableSource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table that a party serves, the dataset whose budget it draws on, and ranges of columns that all may know."""

    dataset: str = ""
    ranges: dict[str, tuple[float, float]] = {}


class PartyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of party.toml. Paths are relative to the file.

    Parameters
    ----------
    name : str
    title : str
        What the party calls itself, in any script; shown to callers beside its name.
    listen : str
        Such as "grpc+tls://0.0.0.0:4711"; port 0 takes a free one.
    ledger : str
        SQLite file on a local disk; its signing key is kept beside it.
    federation : str
        The address book with every party's location; read anew whenever a peer is dialled. It also says whom the
        owner works with: a request that names another party is refused.
    tls, tables, policy, budgets
        Certificates; Parquet or CSV files by table name; what is allowed; the cap of each dataset ("*" for any other).
    timeouts, limits, joins
        How long is waited, in seconds; how much callers may keep the party busy with; whether joint tables outlive the
        process.
    """

    name: str
    title: str = ""
    listen: str
    ledger: str
    federation: str
    tls: Tls
    tables: dict[str, ServedTable] = {}
    policy: Policy = Policy()
    budgets: dict[str, Budget] = {}
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    joins: Joins = Joins()


class Analyst(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    purpose: str
    authority: str
    certificate: str
    key: str
    timeouts: CallerTimeouts = CallerTimeouts()


class FederationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of federation.toml: where the parties are, and who the notebook is."""

    parties: dict[str, str]
    analyst: Analyst | None = None


def read_config(path: Path, kind: type[T]) -> T:
    """A party.toml or federation.toml; what is wrong with one is said by its path."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InvalidArgument(
            f"{path} cannot be read ({error.strerror})", hint="give the path of a TOML file"
        ) from None
    except PrivsdkError as error:
        raise error.at(source=str(path)) from None
    except msgspec.DecodeError as error:
        hint = f"{_nearest(str(error), kind)}see the examples in docs/guide/real-machines.md"
        raise InvalidArgument(f"{path}: {error}", hint=hint) from None


def _nearest(message: str, kind: Any) -> str:
    """The field that was likely meant, where msgspec says that one is unknown and where it found it."""
    found = re.fullmatch(r"Object contains unknown field `(.*?)`(?: - at `\$(.*)`)?", message)
    if found is None:
        return ""
    name, place = found.groups()
    for step in re.findall(r"\.(\w+)|\[", place or ""):  # a field, or into a table or list
        kind = get_type_hints(kind)[step] if step else get_args(kind)[-1 if dict in (kind, get_origin(kind)) else 0]
        kind = get_args(kind)[0] if type(None) in get_args(kind) else kind  # an optional one
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    nearest = NameUnknown(kind="field", name=name, known=tuple(fields)).nearest
    return f"did you mean {nearest!r}? " if nearest else f"known: {', '.join(fields)}; "


def reject_names(names: tuple[str, ...]) -> None:
    """Raise InvalidArgument where no member can be called so."""
    for name in names:
        if not is_member_name(name):
            raise InvalidArgument(
                f"{name!r} cannot be a party's name", hint="use letters, digits, - and _, at most 63 of them"
            )


def reject_titles(titles: Iterable[str]) -> None:
    """Raise InvalidArgument where a party cannot call itself so."""
    for title in titles:
        if not isinstance(title, str) or not is_title(title):
            raise InvalidArgument(TitleUnfit(title=str(title), most=MOST))

"""party.toml, the owner's file: what a party serves, what it allows and where it keeps its ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from ..errors import InvalidArgument, PrivsdkError
from ..governance.charges import Budget
from ..governance.policy import Policy

T = TypeVar("T")


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    authority: str
    certificate: str
    key: str


class ServedTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    dataset: str = ""


class PartyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of party.toml. Paths are relative to the file.

    Parameters
    ----------
    name : str
    listen : str
        Such as "grpc+tls://0.0.0.0:4711"; port 0 takes a free one.
    ledger : str
        SQLite file on a local disk; its signing key is kept beside it.
    federation : str
        The address book with every party's location; read anew whenever a peer is dialled.
    tls, tables, policy, budgets
        Certificates; Parquet or CSV files by table name; what is allowed; the cap of each dataset ("*" for any other).
    """

    name: str
    listen: str
    ledger: str
    federation: str
    tls: Tls
    tables: dict[str, ServedTable] = {}
    policy: Policy = Policy()
    budgets: dict[str, Budget] = {}


class Analyst(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    purpose: str
    authority: str
    certificate: str
    key: str


class FederationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of federation.toml: where the parties are, and who the notebook is."""

    parties: dict[str, str]
    analyst: Analyst | None = None


def read_party(path: Path) -> PartyConfig:
    return _read(path, PartyConfig)


def read_federation(path: Path) -> FederationConfig:
    return _read(path, FederationConfig)


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InvalidArgument(
            f"{path} cannot be read ({error.strerror})", hint="give the path of a TOML file"
        ) from None
    except PrivsdkError as error:
        raise error.at(source=str(path)) from None
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"{path}: {error}", hint="see the examples in docs/guide/real-machines.md") from None


def reject_names(names: tuple[str, ...]) -> None:
    """Names of parties go into certificates, file names and displays."""
    for name in names:
        if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii() or len(name) > 63:
            raise InvalidArgument(
                f"{name!r} cannot be a party's name", hint="use letters, digits, - and _, at most 63 of them"
            )

"""Names that ledgers, files and other versions' parties hold stay as they are, byte for byte.

`kept_names.json` was written before the modules moved; a new name is added to it, an old one never changed.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from claims import Cases

import privsdk
from privsdk.errors import PrivsdkError

KEPT: dict[str, list[str]] = json.loads(Path(__file__).with_name("kept_names.json").read_text())


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(privsdk.__path__, "privsdk."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def subclasses(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def present() -> dict[str, set[str]]:
    """What the package holds now, of each kind."""
    loaded = list(modules())
    structs = {s for s in subclasses(msgspec.Struct) if s.__module__.startswith("privsdk.")}
    config = [s.__struct_config__ for s in structs]
    (points,) = {m.FailPoint for m in loaded if hasattr(m, "FailPoint")}
    (operations,) = {id(m._OPERATIONS): m._OPERATIONS for m in loaded if hasattr(m, "_OPERATIONS")}.values()
    return {
        "tags": {f"{c.tag_field}={c.tag}" for c in config if c.tag is not None},
        "errors": {kind.code for kind in {PrivsdkError, *subclasses(PrivsdkError)}},
        "failpoints": {point.value for point in points},
        "operations": set(operations),
        "disclosures": {d.value for d in privsdk.Disclosure},
        "workshop": {m.__name__ for m in loaded if m.__name__.startswith("privsdk.workshop.")},
        "testing": set(importlib.import_module("privsdk.testing").__all__),
    }


@pytest.mark.claim("names in ledgers, files and messages are those of the version before, byte for byte")
@pytest.mark.parametrize("kind", sorted(KEPT))
def test_every_name_is_kept(kind: str, cases: Cases) -> None:
    now = present()[kind]
    assert not set(KEPT[kind]) - now
    cases(len(KEPT[kind]))

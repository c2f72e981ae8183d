"""The file that says where a joint table is: what `psi.load` takes up, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import psi
from privsdk.errors import InvalidArgument, UnknownName


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    table = {"t": pa.table({"id": range(40)})}
    with ps.embedded(north=table, south=table, store=None, quiet=True) as opened:
        yield opened


@pytest.fixture
def saved(fed: ps.Federation, tmp_path: Path) -> Path:
    psi.join(fed["north"]["t"], fed["south"]["t"], on="id").release().value.save(tmp_path / "joint.json")
    return tmp_path / "joint.json"


def test_a_joint_table_that_is_in_memory(fed: ps.Federation, saved: Path) -> None:
    assert psi.load(saved, fed)["south"].count().release().value["count"].to_pylist() == [40]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        (b"", "is not what Joint.save writes"),
        (b"\xff\xfe", "is not what Joint.save writes"),
        (b"[" * 100_000, "is not what Joint.save writes"),
        (b'{"version": 1}', "is not what Joint.save writes"),
        (b'{"version": 2}', "saved by another version"),
    ],
)
def test_files_that_are_none(fed: ps.Federation, saved: Path, content: bytes | None, message: str) -> None:
    path = saved.with_name("other.json")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidArgument, match=message):
        psi.load(path, fed)


@pytest.mark.parametrize(("field", "value"), [("protocol", "none"), ("sides", {}), ("size", "many"), ("more", 1)])
def test_files_that_were_edited(fed: ps.Federation, saved: Path, field: str, value: Any) -> None:
    saved.write_bytes(msgspec.json.encode(msgspec.json.decode(saved.read_bytes()) | {field: value}))
    with pytest.raises(InvalidArgument, match=r"is not what Joint\.save writes"):
        psi.load(saved, fed)


def test_a_federation_without_its_table(saved: Path) -> None:
    others = ps.embedded(north={"t": {"id": [1]}}, south={"other": {"id": [1]}}, store=None, quiet=True)
    with others, pytest.raises(UnknownName, match="no table named 't' at south"):
        psi.load(saved, others)


def test_a_federation_without_its_party(saved: Path) -> None:
    others = ps.embedded(north={"t": {"id": [1]}}, store=None, quiet=True)
    with others, pytest.raises(UnknownName, match="no party named 'south'"):
        psi.load(saved, others)

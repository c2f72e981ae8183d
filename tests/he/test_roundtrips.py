"""Encrypted columns as Arrow data: through files, streams, Flight, Parquet and DuckDB; tampered ones are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest
from claims import Cases
from exact_columns import PRESETS, key_of

from privsdk import he
from privsdk.errors import InvalidArgument, PrivsdkError, ProtocolViolation
from privsdk.he.columns.arrow import EncryptedType
from privsdk.he.columns.column import Column

CLAIM = "he: encrypted columns come back from Arrow, Parquet, Flight and DuckDB as they were"
TAMPERED = "he: malformed ciphertexts are refused and never crash"


def stream(table: pa.Table, folder: Path) -> pa.Table:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def file(table: pa.Table, folder: Path) -> pa.Table:
    with pa.OSFile(str(folder / "t.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.memory_map(str(folder / "t.arrow")) as source:
        return pa.ipc.open_file(source).read_all()


def parquet(table: pa.Table, folder: Path) -> pa.Table:
    pq.write_table(table, folder / "t.parquet", row_group_size=1)
    return pq.read_table(folder / "t.parquet")


def compressed(table: pa.Table, folder: Path) -> pa.Table:
    pq.write_table(table, folder / "t.parquet", compression="zstd")
    return pq.read_table(folder / "t.parquet", memory_map=True)


def flight(table: pa.Table, folder: Path) -> pa.Table:
    class Server(fl.FlightServerBase):  # type: ignore[misc]
        kept: pa.Table

        def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
            self.kept = reader.read_all()

        def do_get(self, context: Any, ticket: Any) -> Any:
            return fl.RecordBatchStream(self.kept)

    with Server("grpc://127.0.0.1:0") as server, fl.connect(f"grpc://127.0.0.1:{server.port}") as client:
        writer, _ = client.do_put(fl.FlightDescriptor.for_path("t"), table.schema)
        writer.write_table(table)
        writer.close()
        return client.do_get(fl.Ticket(b"t")).read_all()


def plain(table: pa.Table) -> pa.Table:
    return pa.table({name: column_of(table, name) for name in table.column_names})


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.storage.cast(pa.binary()) for chunk in table[name].chunks])


def restored(table: pa.Table, back: pa.Table) -> pa.Table:
    types = {name: table.schema.field(name).type for name in table.column_names}
    kept = {name: kind.__arrow_ext_serialize__().decode() for name, kind in types.items()}  # as in a file beside
    assert all(he.restored(back[name], text).type == types[name] for name, text in kept.items())
    return pa.table({name: he.restored(back[name], kind) for name, kind in types.items()})


def in_duckdb(table: pa.Table, folder: Path) -> pa.Table:
    with duckdb.connect(str(folder / "t.duckdb")) as connection:
        connection.register("given", plain(table))
        connection.execute("CREATE TABLE kept AS SELECT * FROM given")
    with duckdb.connect(str(folder / "t.duckdb")) as connection:
        back = connection.sql("SELECT * FROM kept").to_arrow_table()
    return restored(table, back)


def shuffled_in_duckdb(table: pa.Table, folder: Path) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("given", plain(table))
        back = connection.sql("SELECT * FROM given ORDER BY random()").to_arrow_table()
    return restored(table, back)


def through_polars(table: pa.Table, folder: Path) -> pa.Table:
    return restored(table, pl.from_arrow(plain(table)).to_arrow())


def sliced(table: pa.Table, folder: Path) -> pa.Table:
    """Cut out of something longer: buffers with offsets."""
    longer = pa.concat_tables([table, table, table]).combine_chunks()
    return longer.slice(len(table), len(table))


def chunked(table: pa.Table, folder: Path) -> pa.Table:
    return pa.concat_tables([table.slice(i, 1) for i in range(len(table))])


def reversed_(table: pa.Table, folder: Path) -> pa.Table:
    return table.take(pa.array(range(len(table)))[::-1])


WAYS = [
    stream,
    file,
    parquet,
    compressed,
    flight,
    in_duckdb,
    shuffled_in_duckdb,
    through_polars,
    sliced,
    chunked,
    reversed_,
]


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("way", WAYS, ids=[way.__name__.strip("_") for way in WAYS])
@pytest.mark.parametrize("name", ["exact", "complex"])
def test_a_table_comes_back_as_it_was(
    name: str, way: Callable[[pa.Table, Path], pa.Table], tmp_path: Path, cases: Cases
) -> None:
    size, key = PRESETS[name].values_a_row, key_of(name)
    rng = np.random.default_rng(0)
    data = pa.table({
        "whole": rng.integers(-9, 10, 2 * size + 7),
        "holes": pa.array(rng.integers(-9, 10, 2 * size + 7), mask=rng.random(2 * size + 7) < 0.3),
    })  # fmt: skip
    for used in (key, key.public):
        key.uses = 0
        table = he.encrypt(data, {"whole": 9, "holes": 9}, used, owner="north", nulls="public")
        back = he.columns(way(table, tmp_path), key)
        assert list(back) == ["whole", "holes"]
        for column, name_ in zip(back.values(), back, strict=True):
            before = he.columns(table, key)[name_]
            assert column.meta == before.meta
            assert [bytes(row) for row in column.rows()] == [bytes(row) for row in before.rows()]
            assert (column.valid is None) == (name_ == "whole")
            shown = he.reveal(column, key).to_arrow()
            due = data[name_].combine_chunks()
            assert shown.is_null().equals(due.is_null())
            apart = np.abs(shown.drop_null().to_numpy() - due.drop_null().to_numpy())
            assert apart.max() <= column.error
            cases()
        for folder in tmp_path.iterdir():
            folder.unlink()


@pytest.mark.claim(CLAIM)
def test_results_travel_too(tmp_path: Path) -> None:
    key = key_of("growing")
    key.uses = 0
    x = he.encrypt(np.linspace(-1, 1, 5000), 1, key.public, owner="north")
    y = he.encrypt(np.linspace(1, 2, 5000), 2, key, owner="south")
    product = x * y + 1
    table = pa.table({"product": product.to_arrow()})
    back = he.columns(parquet(table, tmp_path), key)["product"]
    assert back.meta == product.meta
    again = back * 2 + back
    shown = he.reveal(again, key)
    assert np.abs(shown.values - 3 * (np.linspace(-1, 1, 5000) * np.linspace(1, 2, 5000) + 1)).max() <= shown.error
    total = (product.sum() / 4).to_arrow()
    assert len(total) == 1
    reopened = Column.from_arrow(total, key)
    assert reopened.meta.folded
    shown = he.reveal(reopened + 1, key)
    due = (np.linspace(-1, 1, 5000) * np.linspace(1, 2, 5000) + 1).sum() / 4 + 1
    assert abs(shown.values - due) <= shown.error


def test_reading_a_column_copies_no_row() -> None:
    key = key_of("exact")
    table = he.encrypt(pa.table({"a": np.arange(9000) % 7}), {"a": 7}, key.public)
    before = pa.total_allocated_bytes()
    column = he.columns(table, key)["a"]
    assert pa.total_allocated_bytes() == before
    start = table["a"].chunk(0).storage.buffers()[1].address
    for i, row in enumerate(column.rows()):
        found = np.frombuffer(row, np.uint8)
        assert found.ctypes.data == start + i * column.meta.row_bytes


def test_a_part_of_a_column_is_refused() -> None:
    key = key_of("exact")
    table = he.encrypt(pa.table({"a": np.arange(9000) % 7}), {"a": 7}, key.public)
    assert len(table) == 3
    parts = {
        "the first": table.slice(0, 1),
        "none": table.slice(0, 0),
        "one twice": pa.concat_tables([table.slice(0, 2), table.slice(1, 1)]),
        "all twice": pa.concat_tables([table, table]),
        "one for another": table.take([0, 1, 1]),
    }
    for kind, part in parts.items():
        with pytest.raises(InvalidArgument, match=r"column a: .* rows.*has 3") as refused:
            he.columns(part, key)
        assert "all of them, each once" in str(refused.value), kind
    with pytest.raises(InvalidArgument, match="null in place of a ciphertext"):
        he.columns(table.take(pa.array([0, 1, None])), key)


def test_columns_under_two_keys_are_no_one_column() -> None:
    one, other = (he.encrypt([1, 2], 3, he.SecretContext.new(PRESETS["exact"])).to_arrow() for _ in range(2))
    assert one.type != other.type
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, TypeError)):
        pa.chunked_array([one, other])
    with pytest.raises(pa.ArrowInvalid):
        pa.concat_tables([pa.table({"a": one}), pa.table({"a": other})])


def test_only_encrypted_columns_are_taken_and_named() -> None:
    key = key_of("exact")
    table = he.encrypt(pa.table({"a": [1, 2]}), {"a": 7}, key.public).append_column("plain", pa.array([7]))
    assert list(he.columns(table, key)) == ["a"]
    with pytest.raises(InvalidArgument, match="column a: a column under the key"):
        he.columns(table, he.SecretContext.new(PRESETS["exact"]))
    with pytest.raises(InvalidArgument, match="not encrypted"):
        Column.from_arrow(table["plain"], key)
    with pytest.raises(InvalidArgument, match="two encrypted columns a"):
        he.columns(table.append_column("a", table["a"]), key)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "another key": ({"key": "0" * 64}, "do not fit"),
    "no key": ({"key": ""}, "do not fit"),
    "a shorter length": ({"length": 5000}, "rows"),
    "a longer length": ({"length": 10**6}, "rows"),
    "a huge length": ({"length": 10**15}, "values"),
    "a length beyond 64 bits": ({"length": 10**30}, "values"),
    "no length": ({"length": 0}, "values"),
    "a negative length": ({"length": -5}, "values"),
    "a fraction": ({"length": 1.5}, "malformed"),
    "another version": ({"version": 2}, "another version"),
    "an unknown field": ({"colour": "blue"}, "another version"),
    "an absurd divisor": ({"divisor": 0.0}, "figures"),
    "a negative divisor": ({"divisor": -1.0}, "figures"),
    "folded": ({"folded": True}, "rows"),
    "seeded": ({"seeded": True}, "due"),
    "nulls": ({"nulls": True}, "due"),
    "nobody": ({"min_parties": 0}, "min_parties"),
    "owners as text": ({"owners": "north"}, "malformed"),
    "level": ({"track.level": 1}, "level 1"),
    "an absurd level": ({"track.level": 10**9}, "level"),
    "a negative level": ({"track.level": -1}, "level"),
    "a bound of nothing": ({"track.bound": None}, "malformed"),
    "a negative bound": ({"track.bound": -1.0}, "figures"),
    "an infinite bound": ({"track.bound": 1e999}, "malformed|figures"),
    "a bound beyond the preset": ({"track.bound": 1e200}, "changed"),
    "no noise": ({"track.noise": 0.0}, "changed"),
    "less noise": ({"track.noise": 1e-5}, "changed"),
    "too much noise": ({"track.noise": 1e30}, "changed"),
    "no summands": ({"track.summands": 0}, "figures"),
    "a larger ring": ({"preset.degree": 8192}, "due|do not fit"),
    "no ring": ({"preset.degree": 3}, "preset"),
    "limbs": ({"preset.limbs": 99}, "preset"),
    "a billion bits": ({"preset.scale_bits": 10**9}, "preset"),
    "no primes": ({"preset.data": []}, "preset"),
    "another grid": ({"preset.resolution": 0.5}, "do not fit"),
}


@pytest.mark.claim(TAMPERED)
@pytest.mark.parametrize("change", CHANGES)
def test_changed_metadata_is_refused(change: str, cases: Cases) -> None:
    key = key_of("exact")
    array = he.encrypt(np.arange(9000) % 7, 7, key.public).to_arrow()
    changed = json.loads(array.type.__arrow_ext_serialize__())
    for path, value in CHANGES[change][0].items():
        *outer, inner = path.split(".")
        (changed[outer[0]] if outer else changed)[inner] = value
    text = json.dumps(changed).replace("Infinity", "1e999")
    field = pa.field("a", array.storage.type, metadata={
        "ARROW:extension:name": "privsdk.encrypted", "ARROW:extension:metadata": text,
    })  # fmt: skip
    table = pa.Table.from_arrays([array.storage], schema=pa.schema([field]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)

    def read() -> None:
        back = pa.ipc.open_stream(sink.getvalue()).read_all()
        he.reveal(he.columns(back, key)["a"].sum(), key)

    with pytest.raises(PrivsdkError, match=CHANGES[change][1]):
        read()
    with pytest.raises(PrivsdkError):
        he.reveal(Column.from_arrow(he.restored(pa.chunked_array([array.storage]), text), key).sum(), key)
    cases()


@pytest.mark.claim(TAMPERED)
@pytest.mark.parametrize(
    "text", [b"", b"garbage", b"{}", b"[]", b"null", b"{" * 100_000, b"\xff\xfe", b'{"version": 1}']
)
def test_metadata_that_is_none_is_refused(text: bytes, cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match="another version or malformed"):
        EncryptedType.__arrow_ext_deserialize__(pa.binary(7), text)
    with pytest.raises(InvalidArgument, match="no serialised encrypted type"):
        he.restored(pa.array([b"x"]), text)
    cases()


def test_rows_that_are_not_the_types_are_refused() -> None:
    kind = he.encrypt([1, 2], 7, key_of("exact").public).to_arrow().type
    for wrong, said in (
        (pa.array([b"short"]), "bytes"), (pa.array([1, 2]), "int64"), (pa.array(["text"]), "bytes"),
        (pa.array([[b"x"]]), "list"),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument, match=said):
            he.restored(wrong, kind)
    with pytest.raises(InvalidArgument, match="null in place"):
        Column.from_arrow(he.restored(pa.array([None], pa.binary()), kind), key_of("exact"))

"""A join of two parties with a million keys each, through gate and link, against DuckDB's."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts

import privsdk as ps
from privsdk import psi


def rows(first: int, keys: int, seed: int) -> pa.Table:
    """A row for each of so many ids in random order, some ids twice, some rows without one."""
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(np.concatenate([np.arange(first, first + keys), np.arange(first, first + 5_000)]))
    ids = pa.array([f"id{n:010d}" for n in numbers], mask=numbers % 1_000 == 7)
    return pa.table({"id": ids, "value": rng.integers(0, 100, len(numbers))})


@pytest.mark.claim("psi.join of a million keys with a million equals DuckDB's join")
def test_a_million_keys(cases: Cases, counts: Counts) -> None:
    keys = counts(200_000, 1_000_000, 1_000_000)
    tables = {"north": {"t": rows(0, keys, 1)}, "south": {"t": rows(keys // 2, keys, 2)}}
    with ps.embedded(tables, store=None, quiet=True) as fed, duckdb.connect() as sql:
        for party in tables:
            sql.register(party, tables[party]["t"])
        joint = psi.join(fed["north"]["t"], fed["south"]["t"], on="id").release().value
        shared = sql.execute("SELECT count(DISTINCT id) FROM north SEMI JOIN south USING (id)").fetchone()
        assert shared == (joint.size,)
        assert joint.protocol == "kkrt"
        cases(joint.size)
        for mine, other in (("north", "south"), ("south", "north")):
            query = f"SELECT count(*), sum(value) FROM {mine} SEMI JOIN {other} USING (id)"  # noqa: S608
            answer = joint[mine].sum("value").release().value
            assert (answer["count"][0].as_py(), answer["sum"][0].as_py()) == sql.execute(query).fetchone()

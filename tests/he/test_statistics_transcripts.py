"""What each party receives of a pooled statistic is what its record says: ciphertexts, and by group the thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, lengthy
from harness import assert_absent, assert_same_shape, traces
from pooling import answer_of, request_for, statistic

from privsdk.governance.learns import Caller, CiphertextsOnly, Parties, Quantity
from privsdk.he.statistics import operation
from privsdk.he.statistics.statistic import LargestMinimum, PartiesByGroup, PooledTotals, ShownGroupNumbers, Statistic
from privsdk.he.statistics.thresholds import Thresholds
from privsdk.protocol.operation import RoleInput, operation_of
from privsdk.protocol.roles import Role, tell
from privsdk.testing import Sent

TRANSCRIPTS = pytest.mark.claim("transcripts: he statistics send ciphertexts, and by group each owner's floors")
GROUPED = {"by": "g", "keys": ("a", "b", "c")}
ASKED = {
    "count": statistic("count", **GROUPED),
    "sum": statistic("sum", ["x"], bound=2.0**56, **GROUPED),
    "mean": statistic("mean", ["x"], bound=2.0**56, **GROUPED),
    "variance": statistic("variance", ["x"], bound=2.0**50, **GROUPED),
    "covariance": statistic("covariance", ["x", "y"], bound=2.0**50),
    "correlation": statistic("correlation", ["x", "y"], bound=2.0**50),
    "histogram": statistic("histogram", ["x"], edges=(-1e16, 0.0, 1e3, 1e16)),
}


def tables(seed: int, groups: str) -> list[pa.Table]:
    """Three parties' rows: other values, other groups, other numbers of nulls, and as many rows as it happens."""
    rng = np.random.default_rng(seed)
    return [
        pa.table(
            {
                "x": pa.array(rng.uniform(-(2.0**49), 2.0**49, n), mask=rng.random(n) < 0.1),
                "y": rng.uniform(-(2.0**49), 2.0**49, n),
                "g": pa.array(rng.choice(list(groups), n)),
            }
        )
        for n in rng.integers(10, 60, 3)
    ]


def run(asked: Statistic, rows: list[pa.Table]) -> list[Sent]:
    transcript: list[Sent] = []
    answer_of(asked, rows, min_count=[3, 2, 4], min_parties=[2, 1, 1], transcript=transcript)
    return transcript


def held(rows: list[pa.Table]) -> list[bytes]:
    """Forms in which a value, or a party's total of values, might be sent."""
    numbers = [v for table in rows for name in "xy" for v in table[name].to_pylist() if v is not None]
    numbers += [sum(v for v in table[name].to_pylist() if v is not None) for table in rows for name in "xy"]
    return traces([[round(number) for number in numbers]]) + [repr(number).encode() for number in numbers]


def check(name: str) -> list[Sent]:
    asked, one, other = ASKED[name], tables(1, "abcd"), tables(2, "ad")
    first, second = run(asked, one), run(asked, other)
    assert_same_shape(first, second)
    for transcript, rows in ((first, one), (second, other)):
        assert_absent(held(rows), transcript)
    for sent in first:
        if sent.tag == "he.floors.Floors":
            body = msgspec.json.decode(sent.header)["body"]
            assert set(body) == {"type", "min_parties"}
            assert body["min_parties"] == [2, 1, 1][int(sent.sender[1])]
    return first


@TRANSCRIPTS
@pytest.mark.parametrize(
    "name", ["count", "sum", *lengthy("mean", "variance", "covariance", "correlation"), "histogram"]
)
def test_transcripts_tell_nothing_of_the_rows(name: str, cases: Cases) -> None:
    transcript = check(name)
    sums = [(sender, to, "he.sums.Encrypted") for sender, to in (("p0", "p2"), ("p1", "p2"), ("p2", "k"))]
    expected = [*((("k", f"p{i}", "he.sums.PublicKeys")) for i in range(3)), *sums]
    if ASKED[name].grouped:
        expected += [*expected, *((f"p{i}", "k", "he.floors.Floors") for i in range(3))]
        expected += [("k", f"p{i}", "he.floors.Shown") for i in range(3)]
    assert sorted((s.sender, s.receiver, s.tag) for s in transcript) == sorted(expected)
    cases()


def leaky(leak: Callable[[RoleInput], Thresholds]) -> Any:
    def tells(given: RoleInput, key_holder: str) -> Role[None]:
        yield from tell(key_holder, leak(given))

    return tells


LEAKS: dict[str, Callable[[RoleInput], Thresholds]] = {
    "the number of rows": lambda given: Thresholds(min_parties=given.table.num_rows),
    "whether a group is there": lambda given: Thresholds(min_parties=int("b" in given.table["g"].to_pylist())),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    monkeypatch.setattr(operation, "send_thresholds", leaky(LEAKS[leak]))
    with pytest.raises(AssertionError):
        check("count")
    cases()


@TRANSCRIPTS
@pytest.mark.parametrize("name", ASKED)
def test_the_answer_is_what_the_record_says(name: str, cases: Cases) -> None:
    """One number for each part and group, null where a group is withheld, and no more than the record names."""
    asked = ASKED[name]
    answer = answer_of(asked, tables(3, "ab"), min_count=5, min_parties=2)
    assert answer.column_names == list(asked.parts)
    assert answer.num_rows == asked.groups
    metadata = {} if not asked.grouped else {b"withheld_groups", b"withheld_because", b"left_out"}
    assert set(answer.schema.metadata or {}) == set(metadata)
    request = request_for(asked, ["p0", "p1", "p2"])
    learns = {item.who: item for item in operation_of(request).learns()}
    holder, caller = learns[Parties(("k",))], learns[Caller("analyst")]
    groups = {"groups": asked.groups, "kind": kind_of_groups(asked)} if asked.grouped else {}
    shown = PooledTotals(statistic=name, **groups)
    if asked.grouped:
        kind = kind_of_groups(asked)
        assert holder.what == (shown, PartiesByGroup(kind=kind))
        assert caller.what == (shown, ShownGroupNumbers(kind=kind), LargestMinimum())
    else:
        assert holder.what == caller.what == (shown,)
    words = {"sum": "total", "rows": "the number of", "product": "products" if asked.pairs[1:] else "squares"}
    assert all(words[part.split()[0]] in str(shown) for part in asked.parts)
    told = (ShownGroupNumbers(kind=kind_of_groups(asked)),) if asked.grouped else ()
    assert learns[Parties(("p0", "p1", "p2"))].what == (CiphertextsOnly(), *told)
    cases()


def kind_of_groups(asked: Statistic) -> Quantity:
    return Quantity.GROUPS if asked.edges is None else Quantity.BINS

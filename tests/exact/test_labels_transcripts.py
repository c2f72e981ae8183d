"""What the owner of the values receives is what Learns says, and the check that says so finds planted leaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from asking import given, request_for
from claims import Cases
from harness import Extra, altered, assert_absent, assert_found, assert_same_shape, hearing, saying, wire_bytes

from privsdk.exact.labels import KeyLabels, schema
from privsdk.exact.operation import JointKeyLabels
from privsdk.governance.learns import MinimumCounts, Parties
from privsdk.protocol.operation import Outcome, RoleInput, operation_of
from privsdk.protocol.roles import Role
from privsdk.testing import Sent, together

REQUEST = request_for("mean", "x", "shop.rank", {"shop.age": (20, 30), "x": (0, None)})
ASKED = operation_of(REQUEST)
BANK = pa.table({"x": list(range(12))}), list(range(12))
TRANSCRIPTS = pytest.mark.claim("transcripts: aggregate sends a partner's labels and nothing beyond its Learns")
Side = Callable[[RoleInput], Role[Any]]


def shop(seed: int) -> tuple[pa.Table, list[int]]:
    """Rows whose keys have the same labels and pass the same filter in every world, and that differ otherwise."""
    rows = [(key, "gold-card" if key % 2 else "iron-card", 20 + (7 * key + seed) % 11) for key in range(8)]
    rows += [(key, f"secret label {seed:04} {key:02}", 40 + seed + key) for key in range(8, 12)]
    rows += [(key, f"secret label {seed:04} x{key:02}", 31 + seed) for key in range(8)]  # no passing row
    rows += [(key, rows[key][1], 21 + seed % 3) for key in range(seed % 5)]  # more passing rows
    rows = rows[seed % 7 :] + rows[: seed % 7]
    columns = list(zip(*rows, strict=True))
    return pa.table({"rank": columns[1], "age": columns[2]}), list(columns[0])


def run(side: Side, seed: int, owner: Side) -> list[Sent]:
    transcript: list[Sent] = []
    together(
        {"bank": owner(given("bank", REQUEST, *BANK)), "shop": side(given("shop", REQUEST, *shop(seed)))}, transcript
    )
    return transcript


def honest(mine: RoleInput) -> Role[Outcome]:
    return ASKED.role(mine)


def check(side: Side, owner: Side = honest, cases: Callable[[], None] = lambda: None) -> None:
    transcripts = [run(side, seed, owner) for seed in range(5)]
    assert len(transcripts[0]) == 1
    message = transcripts[0][0]
    assert (message.sender, message.receiver, message.tag) == ("shop", "bank", "aggregate.Labels")
    assert message.table.to_pydict() == {
        "passes": [True] * 8 + [False] * 4,
        "label 0": ["iron-card", "gold-card"] * 4 + [None] * 4,
    }
    for seed, transcript in enumerate(transcripts):
        assert_same_shape(transcript, transcripts[0])
        assert list(map(wire_bytes, transcript)) == list(map(wire_bytes, transcripts[0]))
        assert_absent([label.encode() for label in shop(seed)[0]["rank"].to_pylist() if "secret" in label], transcript)
        cases()


@TRANSCRIPTS
def test_the_owner_receives_what_learns_says(cases: Cases) -> None:
    check(honest, cases=cases)
    told = {item.who: item for item in ASKED.learns()}
    assert told[Parties(("bank",))].what == (
        JointKeyLabels(partner="shop", where="age between 20 and 30", label=("rank",)),
        MinimumCounts(of=("shop",)),
    )
    assert told[Parties(("bank",))].text == (
        "of each joint key, whether age between 20 and 30 at shop and shop's rank where it is so; "
        "the minimum count of shop"
    )
    assert not told[Parties(("shop",))].tells


def with_table(change: Callable[[RoleInput, pa.Table], pa.Table]) -> Side:
    """The partner with another table in its message."""

    def side(mine: RoleInput) -> Role[Outcome]:
        def changed(_: str, message: KeyLabels) -> KeyLabels:
            return msgspec.structs.replace(message, table=change(mine, message.table))

        return altered(honest(mine), sent=changed)

    return side


def talkative(mine: RoleInput) -> Role[Outcome]:
    return saying(honest(mine), "bank", lambda _: Extra(said=(str(mine.table.num_rows),)))


def listener(mine: RoleInput) -> Role[Outcome]:
    return hearing(honest(mine), "shop")


def all_labels(mine: RoleInput, table: pa.Table) -> pa.Table:
    """The labels of keys that do not pass too."""
    labels = table["label 0"].to_pylist()
    for key, label in zip(mine.keys.tolist(), mine.table["rank"].to_pylist(), strict=True):
        labels[key] = labels[key] or label
    return pa.table({"passes": table["passes"], "label 0": labels}, schema=schema(1))


def counts_of_rows(mine: RoleInput, table: pa.Table) -> pa.Table:
    counts = [f"{label}{mine.keys.tolist().count(key)}" for key, label in enumerate(table["label 0"].to_pylist())]
    return pa.table({"passes": table["passes"], "label 0": counts}, schema=schema(1))


def one_age(mine: RoleInput, table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({"age": str(mine.table["age"][0])})


LEAKS: dict[str, tuple[Side, Side]] = {
    "labels of keys that do not pass": (with_table(all_labels), honest),
    "how many rows a key has": (with_table(counts_of_rows), honest),
    "a value in the metadata": (with_table(one_age), honest),
    "one message more": (talkative, listener),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases) -> None:
    assert_found(lambda: check(*LEAKS[leak]), cases)

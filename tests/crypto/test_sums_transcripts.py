"""An encrypted sum's transcript holds ciphertexts only, and the checks that say so find every planted leak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import Extra, assert_absent, assert_found, assert_same_shape, traces

from privsdk.crypto.seal.keys import PublicContext, SecretContext
from privsdk.crypto.seal.schemes import ApproximateScheme, ExactScheme
from privsdk.crypto.sums.encrypted import BLOBS, Encrypted, EncryptedSum, Scheme
from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Role, hear, tell
from privsdk.testing import Sent, together

PARTIES = ("north", "south", "east")
EXACT = ExactScheme(parties=3, length=2, max_units=2**60)
CKKS = ApproximateScheme(parties=3, length=2, bounds=(2.0**60, 2.0**60))
ONE = [[123_456_789_012_345, -1], [987_654_321_098_765, 2**60], [-555_555_555_555_555, 0]]
OTHER = [[0, 0], [-(2**60), 7_777_777_777_777_777], [424_242_424_242_424, -(2**60)]]


def fixed_bytes(values: Sequence[int]) -> bytes:
    return b"".join(int(value).to_bytes(8, "little", signed=True) for value in values)


LEAKS: dict[str, Callable[[list[int], PublicContext], Message]] = {
    "the vector as text": lambda vector, key: Extra(said=tuple(map(str, vector))),
    "the vector as a table": lambda vector, key: Extra(table=pa.table({"v": vector})),
    "the vector as reals": lambda vector, key: Extra(table=pa.table({"v": [float(v) for v in vector]})),
    "the vector in the place of ciphertexts": lambda vector, key: Encrypted(
        key=key.fingerprint,
        table=pa.table({"blob": [fixed_bytes(vector)]}, schema=BLOBS),
    ),
    "only as much as is not zero": lambda vector, key: Extra(said=("x",) * sum(v != 0 for v in vector)),
}


def run(scheme: Scheme, vectors: list[list[int]], leak: str | None = None) -> list[Sent]:
    def party(me: str) -> Role[Any]:
        sum_ = EncryptedSum(me=me, clients=PARTIES, coordinator="k", scheme=scheme)
        yield from sum_.set_up()
        key = sum_._keys[None].public
        if me == "k":
            total = yield from sum_.collect("totals", PARTIES, scheme.length, 1)
            if leak:
                yield from hear("north", type(LEAKS[leak]([0, 0], key)))
            return total.sums.tolist()
        vector = vectors[PARTIES.index(me)]
        yield from sum_.contribute("totals", PARTIES, np.array(vector), 1)
        if leak and me == "north":
            yield from tell("k", LEAKS[leak](vector, key))
        return None

    transcript: list[Sent] = []
    totals = together({name: party(name) for name in (*PARTIES, "k")}, transcript)["k"]
    tolerance = scheme.error_bound(0) if isinstance(scheme, ApproximateScheme) else 0
    assert totals == pytest.approx([sum(entries) for entries in zip(*vectors, strict=True)], rel=0, abs=tolerance)
    return transcript


def check_transcript(scheme: Scheme, leak: str | None = None) -> list[Sent]:
    first, second = run(scheme, ONE, leak), run(scheme, OTHER, leak)
    assert_same_shape(first, second)
    assert_absent(traces(ONE), first)
    assert_absent(traces(OTHER), second)
    return first


TRANSCRIPTS = pytest.mark.claim("transcripts: he sums send ciphertexts only")


@TRANSCRIPTS
@pytest.mark.parametrize("scheme", [EXACT, CKKS], ids=["exact", "ckks"])
def test_transcripts_tell_nothing_of_the_values(scheme: Scheme, cases: Cases) -> None:
    transcript = check_transcript(scheme)
    assert [(s.sender, s.receiver, s.tag) for s in transcript if s.sender != "k"] == [
        ("north", "east", "he.sums.Encrypted"),
        ("south", "east", "he.sums.Encrypted"),
        ("east", "k", "he.sums.Encrypted"),
    ]
    assert {s.tag for s in transcript if s.sender == "k"} == {"he.sums.PublicKeys"}
    cases()


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases) -> None:
    assert_found(lambda: check_transcript(EXACT, leak), cases)


def assert_key_holder_gets_sums_only(transcript: list[Sent]) -> None:
    """No ciphertext that another contributor made reaches who can open it."""
    made = {
        blob for s in transcript if s.receiver == "east" and s.sender != "k" for blob in s.table["blob"].to_pylist()
    }
    arrived = [blob for s in transcript if s.receiver == "k" for blob in s.table["blob"].to_pylist()]
    assert len(arrived) == EXACT.rows
    assert not made & set(arrived)


@TRANSCRIPTS
def test_the_key_holder_gets_sums_only(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_key_holder_gets_sums_only(run(EXACT, ONE))
    monkeypatch.setattr(
        "privsdk.crypto.sums.encrypted.added", lambda key, summands: list(summands[1])
    )  # an aggregator that forwards
    with pytest.raises(AssertionError):
        assert_key_holder_gets_sums_only(run(EXACT, [[0, 0], ONE[0], [0, 0]]))
    cases(2)


@TRANSCRIPTS
def test_the_length_of_a_ciphertext_does_not_depend_on_its_content(cases: Cases) -> None:
    key = SecretContext.new(EXACT.preset).public
    for vector in ([0, 0], [2**60, -(2**60)], [1, 2**59]):
        drawn = [EXACT.encrypt(key, EXACT.units(vector)) for _ in range(20)]
        assert {len(row) for rows in drawn for row in rows} == {EXACT.preset.row_bytes()}
        cases(len(drawn))

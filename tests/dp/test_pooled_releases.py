"""Releases over several parties: the pooled statistic, and a transcript of ciphertexts and noisy totals only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import Extra, assert_absent, assert_same_shape, hearing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releasing import PARAMETERS, pooled, release, request_for, shared_pmf

from privsdk.crypto.seal.schemes import PRIMES
from privsdk.crypto.sums.base import Totals
from privsdk.crypto.sums.encrypted import BLOBS, Encrypted, EncryptedSum
from privsdk.dp import operation as declaration
from privsdk.dp import pooled as protocol
from privsdk.dp.intervals import finished
from privsdk.dp.operation import ContributionsWithNoise, NoisyFigures, OwnNoise, TotalsWithLessNoise
from privsdk.dp.release import Integers, ReleaseParameters
from privsdk.dp.vectors import exact_vector
from privsdk.errors import InvalidArgument
from privsdk.governance.learns import (
    Caller,
    Coalition,
    Eavesdropper,
    LengthsShow,
    Parties,
    Quantity,
)
from privsdk.protocol.messages import Message
from privsdk.protocol.operation import RoleInput, operation_of
from privsdk.protocol.roles import Role, tell
from privsdk.testing import Sent

PARTIES = ("north", "south", "east")
# A sum whose every party's total is a number that occurs nowhere by chance.
LARGE: dict[str, Any] = {"epsilon": 1.0, "column": "x", "bounds": (0.0, 1e12), "resolution": 1e6}
ONE = {"north": 123_457_000_000, "south": 523_459_000_000, "east": 923_461_000_000}
OTHER = {"north": 0, "south": 999_999_000_000, "east": 1_000_000}


def tables(values: Mapping[str, float], times: int = 1 << 10) -> dict[str, pa.Table]:
    return {party: pa.table({"x": [float(value)] * times}) for party, value in values.items()}


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("statistic", PARAMETERS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.lists(st.tuples(st.none() | st.floats(), st.sampled_from("ab")), max_size=20), min_size=1, max_size=4
    )
)
def test_without_noise_the_answer_is_that_of_all_rows_together(statistic: str, parts: list[Any]) -> None:
    frames = [
        pa.table({"x": pa.array([x for x, _ in p], pa.float64()), "g": pa.array([g for _, g in p], pa.string())})
        for p in parts
    ]
    options = PARAMETERS[statistic] | {"by": "g", "keys": ["a", "b"]}
    together = pooled({f"p{i}": frame for i, frame in enumerate(frames)}, statistic, **options)
    alone = release(pa.concat_tables(frames), statistic, **options)
    assert together.table.equals(finished(alone.release, alone.scales, alone.noisy, together.shape))


@pytest.mark.claim("transcripts: pooled dp releases send ciphertexts only, and noisy totals to the key holder")
@pytest.mark.parametrize("collusion", [1, 2])
def test_the_key_holder_gets_totals_with_the_noise_of_all_shares(collusion: int, cases: Cases) -> None:
    """Over many groups the totals differ from the exact ones by noise of the stated law: neither none, nor more."""
    times = 4_000
    frame = pa.table({"g": list(range(times))})
    options = {"epsilon": 0.5, "by": "g", "keys": list(range(times)), "collusion": collusion}
    released = pooled(dict.fromkeys(PARTIES, frame), "count", **options)
    noise, due = released.noisy[0] - 3, shared_pmf(2.0, 3 / (3 - collusion), 100)
    for z in range(-3, 4):
        assert abs(np.mean(noise == z) - due[100 + z]) <= 5 * math.sqrt(due[100 + z] * (1 - due[100 + z]) / times)
    cases(times)


@pytest.mark.parametrize("size", [10**6, 10**17, 10**30])
def test_noise_beyond_the_encoding_wraps_and_neither_fails_nor_is_cut(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("privsdk.dp.noise.add_shares", lambda values, **_: [v + size for v in values])
    seen: list[int] = []
    collect = EncryptedSum.collect

    def recorded(self: EncryptedSum, *args: Any) -> Role[Totals]:
        totals = yield from collect(self, *args)
        seen.extend(totals.sums.tolist())
        return totals

    monkeypatch.setattr(EncryptedSum, "collect", recorded)
    pooled({party: pa.table({"x": [1.0] * 5}) for party in PARTIES}, "count", epsilon=0.5)
    (total,) = seen
    scheme = protocol.scheme_for(ReleaseParameters(statistic="count", epsilon=0.5), (2.0,), 3)
    modulus = math.prod(PRIMES[: scheme.limbs])
    assert (total - 15 - 3 * size) % modulus == 0
    assert abs(total) <= modulus // 2


@pytest.mark.parametrize("statistic", PARAMETERS)
@pytest.mark.parametrize("epsilon", [1e-6, 0.1, 100.0])
@pytest.mark.parametrize("parties", [2, 1000])
def test_the_encoding_wraps_with_less_than_the_stated_probability(statistic: str, epsilon: float, parties: int) -> None:
    parsed = ReleaseParameters(**(PARAMETERS[statistic] | {"statistic": statistic, "epsilon": epsilon}))
    scales = parsed.scales(parsed.moved(3))
    scheme = protocol.scheme_for(parsed, scales, parties)
    room = parties * scheme.max_units
    assert math.prod(PRIMES[: scheme.limbs]) > 2 * room
    for part, scale in zip(parsed.components, scales, strict=True):
        left = room - (protocol.MOST_ROWS * part.sensitivity)
        v = np.linspace(0.01, 0.99, 99) / scale  # Chernoff's bound, at the best of many
        moments = 1 - (np.sinh(v / 2) / math.sinh(1 / (2 * scale))) ** 2
        log_tail = np.min(math.log(2) - parties / (parties - 1) * np.log(moments) - left * v)
        assert log_tail + math.log(parsed.length) <= -64 * math.log(2)


# What a role may let slip: from whom, to whom, made of its exact totals.
LEAKS: dict[str, tuple[str, Callable[[list[int]], Message]]] = {
    "a contributor's totals as text": ("north", lambda totals: Extra(said=tuple(map(str, totals)))),
    "a contributor's totals as a table": ("south", lambda totals: Extra(table=pa.table({"v": totals}))),
    "the aggregator's totals": ("east", lambda totals: Extra(said=tuple(map(str, totals)))),
    "the totals in the place of ciphertexts": (
        "north",
        lambda totals: Encrypted(
            key="", table=pa.table({"blob": [b"".join(t.to_bytes(8, "little") for t in totals)]}, schema=BLOBS)
        ),
    ),
    "only as much as is not zero": ("north", lambda totals: Extra(said=("x",) * sum(t > 0 for t in totals))),
}


def run(values: Mapping[str, int], leak: str | None = None) -> list[Sent]:
    transcript: list[Sent] = []
    held = tables(values)
    with pytest.MonkeyPatch.context() as patched:
        if leak is not None:
            who, make = LEAKS[leak]
            honest = protocol.role

            def leaky(input_: RoleInput, release: ReleaseParameters, scales: Any) -> Role[list[int]]:
                role = honest(input_, release, scales)
                if input_.party == "k":
                    return (yield from hearing(role, who, type(make([0]))))
                noisy = yield from role
                if input_.party == who:
                    exact = yield from exact_vector(input_.table, release, where=who)
                    yield from tell("k", make([int(v) for part in exact for v in part]))
                return noisy

            patched.setattr(protocol, "role", leaky)
        pooled(held, "sum", transcript, **LARGE)
    return transcript


def traces(values: Mapping[str, int]) -> list[bytes]:
    units = [value // 10**6 * (1 << 10) for value in values.values() if value > 10**9]
    return [
        *(str(u).encode() for u in units),
        *(u.to_bytes(8, order) for u in units for order in ("little", "big")),
        *(np.float64(u).tobytes() for u in units),
    ]


def check_transcript(leak: str | None = None) -> list[Sent]:
    first, second = run(ONE, leak), run(OTHER, leak)
    assert_same_shape(first, second)
    assert_absent(traces(ONE), first)
    assert_absent(traces(OTHER), second)
    return first


TRANSCRIPTS = pytest.mark.claim(
    "transcripts: pooled dp releases send ciphertexts only, and noisy totals to the key holder"
)


@TRANSCRIPTS
def test_transcripts_tell_nothing_of_the_values(cases: Cases) -> None:
    transcript = check_transcript()
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
    with pytest.raises(AssertionError):
        check_transcript(leak)
    cases()


@TRANSCRIPTS
def test_contributors_that_draw_no_noise_are_found(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    def silent(exact: Sequence[Integers], *_: Any) -> Role[list[int]]:
        yield from ()
        return [int(v) for part in exact for v in part]

    def totals() -> list[int]:
        frame = pa.table({"g": list(range(200))})
        released = pooled(dict.fromkeys(PARTIES, frame), "count", epsilon=0.1, by="g", keys=list(range(200)))
        return list(released.noisy[0])

    assert len(set(totals())) > 20
    monkeypatch.setattr(protocol, "noisy_vector", silent)
    assert set(totals()) == {3}
    cases(2)


@TRANSCRIPTS
@pytest.mark.parametrize("statistic", PARAMETERS)
def test_learns_names_everyone_and_who_must_not_collude(statistic: str, cases: Cases) -> None:
    operation = operation_of(request_for(statistic, parties=(*PARTIES, "k"), **PARAMETERS[statistic]))
    learns = {item.who: item.what for item in operation.learns()}
    epsilon = PARAMETERS[statistic]["epsilon"]
    assert learns == {
        Parties(("k",)): (NoisyFigures(statistic=statistic, epsilon=epsilon),),
        Caller("analyst"): (NoisyFigures(statistic=statistic, epsilon=epsilon),),
        Parties(PARTIES): (OwnNoise(shares=len(PARTIES) - 1),),
        Eavesdropper(): (LengthsShow(of=(Quantity.NUMBERS,)),),
        Coalition(("east", "k")): (ContributionsWithNoise(shares=2),),
        Coalition(("analyst",), 2, PARTIES): (TotalsWithLessNoise(left=1, shares=2),),
        Coalition(("k",), 2, PARTIES): (TotalsWithLessNoise(left=1, shares=2),),
    }
    assert operation.contributors() == ()
    cases()


def test_every_contributor_pays_in_full() -> None:
    for statistic in PARAMETERS:
        operation = operation_of(request_for(statistic, parties=(*PARTIES, "k"), **PARAMETERS[statistic]))
        price = operation.price()
        assert set(price) == set(operation.needs()) == set(PARTIES)
        for debits in price.values():
            assert sum(debit.charge.epsilon for debit in debits) == pytest.approx(PARAMETERS[statistic]["epsilon"])


def test_an_answer_beyond_what_64_bits_hold_is_cut() -> None:
    answer = declaration._answer(ReleaseParameters(statistic="count", epsilon=1.0), [10**30])
    assert answer["count"].to_pylist() == [2**62]


@pytest.mark.parametrize("parties", [("north", "north", "k"), ("k", "north")])
def test_requests_of_another_shape_are_refused(parties: tuple[str, ...]) -> None:
    request = request_for("count", parties=parties, epsilon=1.0)
    if parties == ("k", "north"):
        request.operands["north"] = request.operands.pop("k")
    with pytest.raises(InvalidArgument):
        operation_of(request)

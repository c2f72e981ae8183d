"""Packed updates: right on average or made good later, refused where malformed, and as long as the history says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import papers
import pyarrow as pa
import pytest
from claims import Cases
from federating import Run, course_of, each, federate, skewed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rounding import roundoff

from privsdk.errors import InvalidArgument, ProtocolViolation
from privsdk.fl import FedAvg, FedBuff, FedProx, Median, Quantised, TopK
from privsdk.fl.averages import Each, Update, Whole
from privsdk.fl.compression.base import Compression, with_feedback
from privsdk.fl.compression.quantised import BLOCK
from privsdk.fl.fedavg import LocalInput
from privsdk.fl.loops.course import Course
from privsdk.fl.models.network import Rows, Vector
from privsdk.fl.models.training import Pull
from privsdk.fl.parameters import Strategies
from privsdk.protocol.roles import Role
from privsdk.testing import Sent, together

PACKED: list[Compression] = [Whole(), Quantised(bits=8), Quantised(bits=2), TopK(share=0.1), TopK(share=1.0)]
vectors = arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-30, 30, width=32))
bits = st.integers(2, 8)


def roundtrip(compression: Compression, vector: Vector, seed: int = 0) -> Vector:
    return compression.unpack(compression.pack(vector, np.random.default_rng(seed)), len(vector))


@given(vectors, bits, st.integers(0, 2**32))
@pytest.mark.rounding
def test_quantised_entries_are_off_by_less_than_a_level(vector: Vector, number: int, seed: int) -> None:
    level = np.abs(vector).max() / (2 ** (number - 1) - 1)
    off = np.abs(roundtrip(Quantised(bits=number), vector, seed).astype(float) - vector)
    assert (off <= level * (1 + roundoff(4))).all()


@given(vectors, bits)
@pytest.mark.rounding
def test_levels_themselves_are_not_rounded(vector: Vector, number: int) -> None:
    once = roundtrip(Quantised(bits=number), vector)
    top = np.abs(vector).argmax()
    assert once[top] == pytest.approx(vector[top], rel=roundoff(2))
    assert roundtrip(Quantised(bits=number), np.zeros_like(vector)).tolist() == [0.0] * len(vector)


@pytest.mark.claim("fl: quantised updates are right on average (z below 5 for each of 1,537 entries, 2 to 8 bits)")
@pytest.mark.parametrize("number", range(2, 9))
def test_stochastic_rounding_is_unbiased(number: int, cases: Cases) -> None:
    rng = np.random.default_rng(number)
    vector = np.concatenate([rng.normal(0, scale, BLOCK) for scale in (1e-4, 1.0, 9.0)] + [np.array([0.3])]).astype(
        np.float32
    )
    compression, times = Quantised(bits=number), 400
    draws = np.stack([roundtrip(compression, vector, seed) for seed in range(times)]).astype(float)
    scale = np.repeat([np.abs(vector[at : at + BLOCK]).max() for at in range(0, len(vector), BLOCK)], BLOCK)
    level = scale[: len(vector)] / compression.levels
    share = np.abs(vector) / level % 1  # of the way to the next level: rounding is a coin with this chance
    deviation = level * np.sqrt(share * (1 - share) / times)
    z = np.abs(draws.mean(axis=0) - vector) / np.maximum(deviation, 1e-3 * level)
    assert z.max() < 5
    assert (draws.std(axis=0)[share * (1 - share) > 0.1] > 0).all()  # and it is random
    cases.say(f"{number} bits: z up to {z.max():.1f}")
    cases(len(vector))


@given(vectors, st.floats(0.01, 1))
def test_top_k_contracts(vector: Vector, share: float) -> None:
    compression = TopK(share=share)
    kept, d = roundtrip(compression, vector), len(vector)
    k = compression.count(d)
    left = vector.astype(float) - kept
    assert np.count_nonzero(kept) <= k
    assert set(np.flatnonzero(left)).isdisjoint(np.flatnonzero(kept))  # what is sent is sent as it is
    assert np.abs(left).max() <= np.sort(np.abs(vector))[d - k]
    assert (left**2).sum() <= (1 - k / d) * (vector.astype(float) ** 2).sum() * (1 + 1e-6) + 1e-12
    assert roundtrip(compression, kept).tolist() == kept.tolist()  # packing it once more loses nothing


def test_how_many_entries_are_sent() -> None:
    assert [TopK(share=0.07).count(length) for length in (1, 10, 100, 101)] == [1, 1, 7, 8]
    assert TopK(share=1.0).count(9) == 9


SCALE, LEVELS = Quantised().SCHEMA.names
BAD: list[tuple[Compression, Callable[[pa.Table], pa.Table]]] = [
    (Whole(), lambda t: t.slice(1)),
    (Whole(), lambda t: pa.table([pa.array([None, *t["value"].to_pylist()[1:]], pa.float32())], schema=t.schema)),
    (Quantised(), lambda t: t.slice(1)),
    (Quantised(), lambda t: pa.concat_tables([t, t])),
    (Quantised(), lambda t: replaced(t, 0, [-1.0, 1.0])),
    (Quantised(), lambda t: replaced(t, 0, [math.nan, 1.0])),
    (Quantised(), lambda t: replaced(t, 0, [math.inf, 1.0])),
    (Quantised(), lambda t: replaced(t, 0, [33.0, 33.0])),
    (Quantised(), lambda t: replaced(t, 0, [None, 1.0])),
    (Quantised(), lambda t: replaced(t, 1, [None, t[1][1].as_py()])),
    (Quantised(), lambda t: replaced(t, 1, [t[1][0].as_py()[:-1], t[1][1].as_py()])),
    (Quantised(), lambda t: replaced(t, 1, [t[1][0].as_py(), t[1][1].as_py() + b"\0"])),
    (Quantised(), lambda t: replaced(t, 1, [b"\xff" * BLOCK, t[1][1].as_py()])),
    (TopK(), lambda t: t.slice(1)),
    (TopK(), lambda t: replaced(t, 0, [BLOCK + 10, *t[0].to_pylist()[1:]][::-1])),
    (TopK(), lambda t: replaced(t, 0, t[0].to_pylist()[::-1])),
    (TopK(), lambda t: replaced(t, 0, [0] * len(t))),
    (TopK(), lambda t: replaced(t, 0, [*range(len(t) - 1), BLOCK + 10])),
    (TopK(), lambda t: replaced(t, 0, [None, *t[0].to_pylist()[1:]])),
    (TopK(), lambda t: replaced(t, 1, [math.nan, *t[1].to_pylist()[1:]])),
    (TopK(), lambda t: t.rename_columns(["value", "position"])),
    (Quantised(), lambda t: Whole().pack(np.ones(BLOCK + 10, np.float32), np.random.default_rng(0))),
]


def replaced(table: pa.Table, column: int, values: list[Any]) -> pa.Table:
    columns = list(table.columns)
    columns[column] = pa.array(values, table.schema.types[column])
    return pa.table(columns, schema=table.schema)


@pytest.mark.parametrize(("compression", "spoilt"), BAD)
def test_malformed_packed_updates_lose_their_sender(
    compression: Compression, spoilt: Callable[[pa.Table], pa.Table]
) -> None:
    class Spoilt:
        SCHEMA, feedback, sum_refused = compression.SCHEMA, compression.feedback, ""
        unpack = compression.unpack

        def pack(self, vector: Vector, rng: np.random.Generator) -> pa.Table:
            return spoilt(compression.pack(vector, rng))

    length = BLOCK + 10
    update = Update(np.linspace(-1, 1, length).astype(np.float32), 0.5, 0.1)

    def made(packed: Compression) -> Each:
        return Each(coordinator="k", within_s=1, compression=packed)

    outputs = together(
        {
            "a": made(compression).contribute("round 1", ("a", "b"), update),
            "b": made(Spoilt()).contribute("round 1", ("a", "b"), update),
            "k": made(compression).collect("round 1", ("a", "b"), length, FedAvg().combine),
        }
    )
    mean = outputs["k"]
    assert mean.parties == ("a",)
    assert isinstance(mean.lost["b"], ProtocolViolation)
    assert mean.lost["b"].message in (
        "b sent an update that does not fit round 1, or is not finite",
        "b sent a fl.averages.Said with nulls where there are none",
    )


def sizes_on_the_wire(run: Run) -> dict[str, list[int]]:
    """Bytes of the tables of updates, by client, from the transcript: a message is its header and its table."""
    sizes: dict[str, list[int]] = {}
    for sent in run.transcript:
        if sent.tag == "fl.averages.Said":
            assert json.loads(sent.header)["table_bytes"] == sent.size - len(sent.header)
            sizes.setdefault(sent.sender, []).append(sent.size - len(sent.header))
    return sizes


@pytest.mark.claim("fl: update bytes in the history equal those on the wire, for each client and round")
@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("strategy", [FedAvg(), Median(), FedProx(mu=0.1)])
def test_bytes_are_those_on_the_wire(strategy: Strategies, compression: Compression, cases: Cases) -> None:
    clients = skewed(1, [8, 5, 9], 700)
    course = course_of(strategy, 700, rounds=4, participation=0.7, fewest=2, learning_rate=1e-4)
    run = federate(clients, course, each(compression), compression=compression)
    reported: dict[str, list[int]] = {}
    for told in run.trained.rounds:
        for party, size in told["update_bytes"].items():
            reported.setdefault(party, []).append(size)
    assert reported == sizes_on_the_wire(run)
    cases(sum(map(len, reported.values())))


@pytest.mark.claim("fl: update bytes in the history equal those on the wire, for each client and round")
def test_fedbuffs_bytes_are_those_on_the_wire(cases: Cases) -> None:
    clients = skewed(1, [8, 5, 9], 700)
    course = course_of(FedBuff(K=2), 700, rounds=5, learning_rate=1e-4)
    run = federate(clients, course, each(Quantised()))
    wire = {size for sizes in sizes_on_the_wire(run).values() for size in sizes}
    assert len(wire) == 1  # quantised updates are all of one length
    assert sum(sum(told["update_bytes"].values()) for told in run.trained.rounds) == 5 * 2 * wire.pop()
    cases(10)


def test_packed_updates_are_shorter_by_about_their_factor() -> None:
    clients = skewed(1, [8, 5], 20_000)

    def size(compression: Compression) -> int:
        course = course_of(FedAvg(), 20_000, rounds=1, steps=1, learning_rate=1e-6)
        run = federate(clients, course, each(compression), compression=compression)
        return int(run.trained.rounds[0]["update_bytes"]["p0"])

    whole = size(Whole())
    assert 80_000 <= whole < 81_000
    assert 3.8 < whole / size(Quantised(bits=8)) < 4
    assert 7 < whole / size(Quantised(bits=4)) < 8
    assert 40 < whole / size(TopK(share=0.01)) < 50


def torn() -> list[Rows]:
    """Two clients who pull the first weight apart with force, and agree on the others: their largest entries cancel."""
    x = np.zeros((8, 3), np.float32)
    x[:4, 0], x[4:6, 1], x[6:, 2] = 1.0, 0.7, 0.7
    return [Rows(x=x, y=(x @ np.float32([side * 2, 1, -2])).astype(np.float32)) for side in (1, -1)]


@pytest.mark.claim("fl: error feedback converges where top-k without it does not")
def test_error_feedback_converges_where_plain_top_k_does_not(cases: Cases) -> None:
    clients, top = torn(), TopK(share=0.25)
    course = course_of(FedAvg(), 3, rounds=600, steps=1, learning_rate=0.05)
    fed = federate(clients, course, each(top), compression=top).trained
    plain = federate(clients, course, each(top)).trained  # the same packing, and nothing is kept
    away = [float(np.linalg.norm(trained.weights - optimum(clients))) for trained in (fed, plain)]
    assert away[1] > 2  # where it began: (0, 1, -2) are the weights that only the others tell
    assert away[0] < 0.1
    cases.say(f"distance to the optimum {away[0]:.2f}, without feedback {away[1]:.2f}")
    cases(2)


def optimum(clients: list[Rows]) -> npt.NDArray[np.float64]:
    a = np.vstack([np.column_stack([rows.x, np.ones(len(rows))]) for rows in clients]).astype(float)
    return np.linalg.lstsq(a, np.concatenate([rows.y for rows in clients]).astype(float), rcond=None)[0]


@pytest.mark.claim(
    "exactness: top-k with error feedback equals its paper's algorithm to float rounding (float64 reference)"
)
@pytest.mark.parametrize("participation", [1.0, 0.6])
@pytest.mark.rounding
def test_error_feedback_equals_its_paper(participation: float, cases: Cases) -> None:
    clients = skewed(2, [12, 30, 7, 9, 15], 6)
    top = TopK(share=0.3)  # 3 of 7
    course = course_of(FedAvg(), 6, rounds=12, fewest=2, participation=participation, learning_rate=0.05)
    run = federate(clients, course, each(top), compression=top)
    chosen = [[int(name[1:]) for name in names] for names in run.chosen()]
    x = np.zeros(7)
    e = [np.zeros(7) for _ in clients]
    errors: list[float] = []
    s = papers.Setting(0.05)
    for t, drawn in enumerate(chosen):
        step, rows = np.zeros(7), sum(len(clients[i]) for i in drawn)
        for i in drawn:
            a = np.column_stack([clients[i].x.astype(float), np.ones(len(clients[i]))])
            client = papers.Client(a, clients[i].y.astype(float), False, errors)
            y = x.copy()
            for b in papers.batches(s, client, i, t):
                y = y - s.rate * client.gradient(y, b)
            p = y - x + e[i]
            delta = np.where(np.abs(p) >= np.sort(np.abs(p))[-3], p, 0)
            e[i] = p - delta
            step = step + len(clients[i]) / rows * delta
        x = x + step
    assert np.linalg.norm(run.trained.weights - x) < papers.rounding([client], s, x)
    cases()


def test_fedbuffs_clients_keep_their_residual_from_update_to_update() -> None:
    """One client and a buffer of one: the same as rounds, where the test above compares with the paper."""
    clients, top = skewed(2, [20], 6), TopK(share=0.3)
    course = course_of(FedAvg(), 6, rounds=8, learning_rate=0.05)
    in_rounds = federate(clients, course, each(top), compression=top).trained.weights
    buffered = course._replace(strategy=FedBuff(K=1))
    assert federate(clients, buffered, each(top), compression=top).trained.weights.tolist() == in_rounds.tolist()


@pytest.mark.rounding
def test_nothing_is_lost_between_what_is_sent_and_what_is_kept() -> None:
    rng, start = np.random.default_rng(0), np.zeros(10, np.float32)
    kept, sent, wanted, terms = np.zeros(0, np.float32), np.zeros(10), np.zeros(10), np.zeros(10)
    for number in range(20):
        update = rng.normal(0, 1, 10).astype(np.float32)

        def train(pull: Pull, update: Vector = update) -> Role[Vector]:
            yield from ()
            return update

        half = LocalInput(start, start[:0], train, 1, 0.1, kept)
        local = together({"p0": with_feedback(FedAvg().local, TopK(share=0.2), half, 10)})["p0"]
        assert np.count_nonzero(local.update) == 2
        kept, sent, wanted = local.kept, sent + local.update, wanted + update
        terms += np.abs(update)
        assert (np.abs(sent + kept - wanted) <= roundoff(number + 1) * terms).all()


def test_what_a_strategy_keeps_is_kept_beside_the_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(FedAvg):
        def local(self, given: LocalInput) -> Role[Any]:
            local = yield from super().local(given)
            return local._replace(kept=np.float32([len(given.kept), *given.kept]))

    clients, top = skewed(2, [12, 30], 4), TopK(share=0.2)
    states: list[Vector] = []
    inner = Course.local

    def watched(self: Course, given: LocalInput) -> Role[Any]:
        local = yield from inner(self, given)
        states.append(local.kept)
        return local

    monkeypatch.setattr(Course, "local", watched)
    federate(clients, course_of(Counting(), 4, rounds=3), each(top), compression=top)
    assert [state[:-5].tolist() for state in states[::2]] == [[0.0], [1.0, 0.0], [2.0, 1.0, 0.0]]


def test_rounding_is_of_the_public_seed_the_client_and_the_round() -> None:
    clients = skewed(1, [8, 8], 30)
    course = course_of(FedAvg(), 30, rounds=2, steps=1, learning_rate=1e-3)

    def levels(run: Run) -> list[Any]:
        said = [sent.table for sent in run.transcript if sent.tag == "fl.averages.Said"]
        return [table["levels"].to_pylist() for table in said if table is not None]

    once = levels(federate(clients, course, each(Quantised(bits=2))))
    assert once == levels(federate(clients, course, each(Quantised(bits=2))))
    one = Update(np.full(40, 0.3, np.float32) * np.linspace(0, 1, 40).astype(np.float32), 0.5, 0.1)
    tables = []
    for name, seed in (("round 1", (5, 0)), ("round 2", (5, 0)), ("round 1", (5, 1)), ("round 1", (6, 0))):
        transcript: list[Sent] = []
        averages = Each(coordinator="k", within_s=1, compression=Quantised(bits=2), seed=seed)
        together(
            {
                "a": averages.contribute(name, ("a",), one),
                "k": averages.collect(name, ("a",), 40, FedAvg().combine),
            },
            transcript,
        )
        table = transcript[0].table
        assert table is not None
        tables.append(bytes(table["levels"][0].as_py()))
    assert len(set(tables)) == 4


@pytest.mark.parametrize("made", [lambda: Quantised(bits=1), lambda: Quantised(bits=9), lambda: TopK(share=0)])
@pytest.mark.parametrize("also", [lambda: TopK(share=1.1), lambda: TopK(share=math.nan)])
def test_parameters_of_compressions_out_of_range_are_refused(made: Callable[[], Any], also: Callable[[], Any]) -> None:
    for each_ in (made, also):
        with pytest.raises(InvalidArgument) as raised:
            each_()
        assert raised.value.hint


def test_training_with_quantised_updates_ends_near_training_with_whole_ones() -> None:
    clients = skewed(2, [40, 30, 50], 4)
    course = course_of(FedAvg(), 4, rounds=60)
    whole = federate(clients, course, each()).trained.weights
    packed = federate(clients, course, each(Quantised(bits=8))).trained.weights
    assert packed == pytest.approx(whole, abs=5e-3)
    assert packed.tolist() != whole.tolist()

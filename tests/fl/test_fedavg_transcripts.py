"""What federated averaging through an encrypted sum sends: models, facts and ciphertexts; planted leaks are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import training
from claims import Cases
from harness import Extra, assert_absent, assert_found, assert_same_shape, hearing, saying
from training import TALK, Provider, Talk, course_of, encrypted, roles_of

from privsdk.fl.averages import UNIT, VALUES
from privsdk.fl.loops.course import ClientInput, Course, Round
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models.network import Network, Output, Rows
from privsdk.fl.models.training import Schedule, Task, descend
from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Role
from privsdk.testing import Sent, together

SCHEDULE = Schedule(steps=1, learning_rate=0.5)
NETWORK = Network((3, 1), Output.SIGMOID)
SIZES, ROUNDS = [12, 9, 15], 2


def update_of(rows: Rows) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A party's update in the first round, which starts from zero."""
    start = np.zeros(NETWORK.size, np.float32)
    return descend(Task(NETWORK, start, rows, SCHEDULE, np.random.default_rng()), start, [None]) - start


def traces(parties: list[Rows]) -> list[bytes]:
    """Rows, local updates and units of the grid, those that do not occur by chance."""
    found: list[bytes] = []
    for rows in parties:
        weighted = (update_of(rows) * np.float32(len(rows) / sum(SIZES))).astype(np.float64)
        units = np.rint(weighted / UNIT).astype(np.int64)
        for real in np.concatenate([rows.x.ravel(), update_of(rows)]):
            found += [np.float64(real).tobytes(), repr(float(real)).encode()]
        found += [units.tobytes(), update_of(rows).tobytes(), rows.x[0].tobytes()]
    return [form for form in found if len(form) >= 8 and len(set(form)) >= 5]


def check_transcript(provider: Provider, talk: Talk = TALK, **more: Any) -> list[Sent]:
    transcripts = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        parties = [training.make_rows(rng, count, NETWORK.size) for count in SIZES]
        transcript: list[Sent] = []
        roles = roles_of(parties, course_of(parties, SCHEDULE, ROUNDS), provider, talk)
        for name, listener in more.items():
            roles[name] = listener(roles[name])
        together(roles, transcript)
        assert_absent(traces(parties), transcript)
        transcripts.append(transcript)
    assert_same_shape(*transcripts)
    return transcripts[0]


TRANSCRIPTS = pytest.mark.claim("transcripts: fl.fit through an encrypted sum sends models and ciphertexts only")


@TRANSCRIPTS
def test_transcript_holds_models_and_ciphertexts_only(cases: Cases) -> None:
    transcript = check_transcript(encrypted)
    assert {(s.sender, s.tag) for s in transcript} == {
        ("k", "he.sums.PublicKeys"),
        ("k", "fl.rounds.Facts"),
        ("k", "fl.rounds.Go"),
        ("k", "fl.rounds.Round"),
        *((f"p{i}", f"fl.rounds.{tag}") for i in range(3) for tag in ("Kept", "Ready")),
        *((f"p{i}", "he.sums.Encrypted") for i in range(3)),
    }
    facts = [s.table["units"].to_pylist() for s in transcript if s.tag == "fl.rounds.Facts"]
    assert facts == [[sum(SIZES)]] * 3
    models = [s.table["value"].to_pylist() for s in transcript if s.tag == "fl.rounds.Round"]
    assert models[0] == [0.0] * NETWORK.size
    assert all(models[i : i + 3] == [models[i]] * 3 for i in range(0, len(models), 3))  # everyone the same
    assert len(models) == 3 * (ROUNDS + 1)
    cases()


LEAKS: dict[str, Callable[[Rows], Message]] = {
    "its own weights as a model": lambda rows: Round(
        number=1, parties=(), last=False, table=pa.table([pa.array(update_of(rows))], schema=VALUES)
    ),
    "its own weights as text": lambda rows: Extra(said=tuple(repr(float(w)) for w in update_of(rows))),
    "its update": lambda rows: Extra(table=pa.table({"update": update_of(rows)})),
    "one row": lambda rows: Extra(table=pa.table({"row": rows.x[0]})),
    "how many labels are 1": lambda rows: Extra(said=("x",) * int(rows.y.sum())),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases) -> None:
    def talkative(course: Course, given: ClientInput) -> Role[Any]:
        role = Synchronous().client(course, given)
        if given.me != "p1":
            return role
        assert isinstance(given.prepared, training.Held)
        return saying(role, "k", lambda _: LEAKS[leak](given.prepared.training))

    def listening(role: Role[Any]) -> Role[Any]:
        return hearing(role, "p1", Round if leak == "its own weights as a model" else Extra)

    assert_found(lambda: check_transcript(encrypted, talkative, k=listening), cases)


@TRANSCRIPTS
@pytest.mark.parametrize("provider", [training.clear, training.each])
def test_a_sum_in_the_clear_is_found(provider: Provider, cases: Cases) -> None:
    assert_found(lambda: check_transcript(provider), cases)

"""A training's transcript holds averaged models and ciphertexts, and the checks that say so find every planted leak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import training
from claims import Cases
from harness import assert_absent, assert_same_shape
from training import encrypted, problem, train

from privsdk.fl.fedavg import GRID, Model, Schedule, _model, contributor, coordinator
from privsdk.fl.models import Rows, mean_gradient, mean_loss
from privsdk.messages import Message
from privsdk.protocol import Role, hear, tell
from privsdk.testing import Sent

SCHEDULE = Schedule(rounds=2, local_steps=1, batch_size=0, learning_rate=0.5)
SIZES, FEATURES = [12, 9, 15], 4
LEAST = 7  # bytes: shorter ones, such as "-1.0", occur in 60 kB of ciphertext by chance


class Extra(Message, frozen=True, kw_only=True, tag="test.Extra"):
    said: tuple[str, ...] = ()
    table: pa.Table | None = None


def update_of(rows: Rows) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A party's update in the first round, which starts from zero."""
    return -SCHEDULE.learning_rate * mean_gradient(np.zeros(FEATURES), rows)


def units_of(rows: Rows) -> list[int]:
    update = np.append(update_of(rows), mean_loss(np.zeros(FEATURES), rows))
    return GRID.to_units(len(rows) * update).tolist()  # type: ignore[no-any-return]


def traces(parties: list[Rows]) -> list[bytes]:
    """Rows, local weights and updates as floats and as units of the grid, of those that do not occur by chance."""
    found = []
    for rows in parties:
        reals = np.concatenate([rows.x[:, :-1].ravel(), update_of(rows), len(rows) * update_of(rows)])
        found += [form for real in reals for form in (real.tobytes(), repr(float(real)).encode())]
        found += [form for n in units_of(rows) for form in (str(n).encode(), n.to_bytes(8, "little", signed=True))]
    return [form for form in found if len(form) >= 8 and len(set(form)) >= 5]


def check_transcript() -> list[Sent]:
    transcripts = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        parties = [training.make_rows(rng, count, FEATURES) for count in SIZES]
        transcript: list[Sent] = []
        train(parties, SCHEDULE, encrypted, transcript)
        assert_absent(traces(parties), transcript)
        transcripts.append(transcript)
    assert_same_shape(*transcripts)
    return transcripts[0]


TRANSCRIPTS = pytest.mark.claim("transcripts: fl.fit sends averaged models and ciphertexts only")


@TRANSCRIPTS
def test_transcript_holds_models_and_ciphertexts_only(cases: Cases) -> None:
    transcript = check_transcript()
    assert {(s.sender, s.tag) for s in transcript} == {
        ("k", "he.sums.PublicKeys"),
        ("k", "fl.fedavg.Model"),
        *((f"p{i}", "he.sums.Encrypted") for i in range(3)),
    }
    models = [s.table["weight"].to_pylist() for s in transcript if s.tag == "fl.fedavg.Model"]
    assert models[0] == [0.0] * FEATURES
    assert all(models[i : i + 3] == [models[i]] * 3 for i in range(0, len(models), 3))  # everyone the same
    assert len(models) == 3 * (SCHEDULE.rounds + 1)
    cases()


LEAKS: dict[str, Callable[[Rows], Message]] = {
    "its own weights as a model": lambda rows: _model(1, update_of(rows)),
    "its own weights as text": lambda rows: Extra(said=tuple(repr(float(w)) for w in update_of(rows))),
    "its weighted update": lambda rows: Extra(table=pa.table({"units": units_of(rows)})),
    "one row": lambda rows: Extra(table=pa.table({"row": rows.x[3]})),
    "how many labels are 1": lambda rows: Extra(said=("x",) * int(rows.y.sum())),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    def talkative(summation: Any, *, training: Rows, **given: Any) -> Role[Any]:
        result = yield from contributor(summation, training=training, **given)
        if given["party"] == "p1":
            yield from tell("k", LEAKS[leak](training))
        return result

    def listener(summation: Any, **given: Any) -> Role[Any]:
        trained = yield from coordinator(summation, **given)
        yield from hear("p1", Model if leak == "its own weights as a model" else Extra)
        return trained

    monkeypatch.setattr(training, "contributor", talkative)
    monkeypatch.setattr(training, "coordinator", listener)
    with pytest.raises(AssertionError):
        check_transcript()
    cases()


@TRANSCRIPTS
def test_a_sum_in_the_clear_is_found(cases: Cases) -> None:
    transcript: list[Sent] = []
    parties = problem(SIZES, FEATURES)
    train(parties, SCHEDULE, training.clear, transcript)
    with pytest.raises(AssertionError):
        assert_absent(traces(parties), transcript)
    cases()

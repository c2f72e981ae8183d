"""Sums from all to all equal NumPy's at every client; what is sent is uniform; whoever is lost ends the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from claims import Cases
from harness import looks_uniform, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from summing import LARGEST, NAMES, SESSION, both, caught, changing, ending, same, vectors_of

from privsdk.crypto.sums.all_to_all import PeerSum, alone
from privsdk.errors import InvalidArgument, PeerGone, ProtocolViolation
from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Role, Step, colocated, hear, tell_all
from privsdk.testing import Numbers, SeededEntropy, Sent, together


def everyone(
    vectors: dict[str, Any],
    *,
    largest: int = LARGEST,
    rounds: tuple[str, ...] = ("round 1",),
    wrapped: dict[str, Any] | None = None,
    transcript: list[Sent] | None = None,
) -> dict[str, Any]:
    """What each client ends with: its own totals, or the error that ended it."""
    names = tuple(vectors)
    length = len(next(iter(vectors.values())))

    def contribute(name: str) -> Role[None]:
        sum_ = PeerSum(me=name, clients=names, session=SESSION, entropy=SeededEntropy(name.encode()))
        yield from sum_.set_up()
        for each in rounds:
            yield from sum_.contribute(each, names, vectors[name], largest)

    def collect(name: str) -> Role[Any]:
        sum_ = PeerSum(me=name, clients=names, session=SESSION, entropy=SeededEntropy(b"never used"))
        found = []
        for each in rounds:
            found.append((yield from sum_.collect(each, names, length, largest)))
        return found

    wrapped = wrapped or {}
    roles = {name: both(name, collect(name), wrapped.get(name, same)(contribute(name))) for name in names}
    return together({name: caught(role) for name, role in roles.items()}, transcript)


@pytest.mark.claim("fl.alltoall: sums are exact at every client")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clients=st.integers(2, 10),
    length=st.integers(0, 100),
    largest=st.sampled_from([10, LARGEST, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 100]),
    seed=st.integers(0, 1 << 32),
)
def test_exact(clients: int, length: int, largest: int, seed: int, cases: Cases) -> None:
    vectors = vectors_of(np.random.default_rng(seed), clients, length, largest)
    outputs = everyone(vectors, largest=largest, rounds=("round 1", "round 2"))
    for name in vectors:
        for sums, parties, lost in outputs[name]:
            assert (sums == sum(vectors.values())).all()
            assert (parties, lost) == (tuple(vectors), {})
        cases()


@pytest.mark.claim("fl.alltoall: whoever is lost at any step ends the run at all the others")
@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_loss_ends_the_run(step: int, cases: Cases) -> None:
    vectors = vectors_of(np.random.default_rng(1), 4, 10)
    outputs = everyone(vectors, rounds=("round 1", "round 2"), wrapped={"b": ending(step)})
    for name in "acd":
        assert isinstance(outputs[name], PeerGone)
        cases()


@pytest.mark.claim("fl.alltoall: single messages, and sums of some of them, are uniform at alpha 1e-6")
def test_messages_are_uniform(cases: Cases) -> None:
    vectors = {name: np.full(60_000, 7) for name in "abcd"}
    transcript: list[Sent] = []
    everyone(vectors, rounds=("round 1", "round 2"), transcript=transcript)
    masked = {}
    for sent in transcript:
        assert sent.tag in ("fl.alltoall.Key", "fl.masked.Masked32")
        if sent.tag != "fl.alltoall.Key":
            masked.setdefault((sent.sender, sent.receiver), []).append(words(sent))
    assert len(masked) == 4 * 3
    for sender in "abcd":
        heard = [each for (one, _), each in masked.items() if one == sender]
        assert all((each[0] == heard[0][0]).all() for each in heard)
        assert looks_uniform(heard[0][0])
        assert looks_uniform(heard[0][1] - heard[0][0])  # round 1 and 2 have masks of their own
        cases()
    for pair in ("ab", "cd", "ad"):  # who colludes with the others sees the sum of two, and here they know neither
        both_of = masked[pair[0], pair[1]][0] + masked[pair[1], pair[0]][0]
        assert looks_uniform(both_of)
        cases()


def test_what_does_not_fit_names_its_sender() -> None:
    vectors = vectors_of(np.random.default_rng(1), 3, 10)
    changes = [
        (1, lambda message: replace(message, name="round 7")),
        (1, lambda message: replace(message, table=message.table.slice(1))),
    ]
    for number, change in changes:
        outputs = everyone(vectors, wrapped={"b": changing(number, change)})
        for name in "ac":
            assert isinstance(outputs[name], ProtocolViolation)
            assert "b sent a vector that does not fit" in outputs[name].message
    for key in (b"", bytes(31), bytes(32)):
        outputs = everyone(vectors, wrapped={"b": changing(0, lambda message, key=key: replace(message, key=key))})
        assert all(isinstance(outputs[name], ProtocolViolation) for name in "ac")
    stolen: list[bytes] = []

    def remember(message: Any) -> Message:
        stolen.append(message.key)
        return message

    outputs = everyone(
        vectors,
        wrapped={
            "a": changing(0, remember),
            "b": changing(0, lambda message: replace(message, key=stolen[0])),
        },
    )
    assert isinstance(outputs["c"], ProtocolViolation)
    assert "a client's key is none, or that of another" in outputs["c"].message


def test_how_many() -> None:
    for names in (("a",), (*NAMES, "z"), ("a", "a")):
        with pytest.raises(InvalidArgument, match="from all to all"):
            PeerSum(me="a", clients=names, session=SESSION, entropy=SeededEntropy(b""))
    sum_ = PeerSum(me="a", clients=("a", "b", "c"), session=SESSION, entropy=SeededEntropy(b""))
    with pytest.raises(InvalidArgument, match="of all clients"):
        next(sum_.contribute("round 1", ("a", "b"), np.zeros(3, np.int64), LARGEST))


def test_a_name_is_summed_once() -> None:
    outputs = everyone(vectors_of(np.random.default_rng(1), 3, 10), rounds=("round 1", "round 1"))
    assert all(isinstance(output, ProtocolViolation | PeerGone) for output in outputs.values())
    assert any(isinstance(output, ProtocolViolation) for output in outputs.values())


def test_alone_speaks_to_its_own_party() -> None:
    """A coordinator's messages to all go to its own client; what others send it, it hears."""

    def leader() -> Role[str]:
        heard = yield from hear("b", Numbers)
        yield from tell_all({"a": heard, "b": heard})
        return "led"

    def client() -> Role[Any]:
        return (yield from hear("a", Numbers)).values

    def other() -> Role[Any]:
        yield Step({"a": Numbers(values=("1",))}, {})
        return "told"

    transcript: list[Sent] = []
    outputs = together({"a": colocated("a", alone("a", leader()), client()), "b": other()}, transcript)
    assert outputs == {"a": ("led", ("1",)), "b": "told"}
    assert [(sent.sender, sent.receiver) for sent in transcript] == [("b", "a")]

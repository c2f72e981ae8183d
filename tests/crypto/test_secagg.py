"""Masked sums equal NumPy's for any drop-outs, or end cleanly; what does not fit is refused by whoever sees it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from summing import (
    LARGEST,
    MEMBERS,
    NAMES,
    NEVER,
    SENDS,
    before_send,
    changing,
    ending,
    late,
    masked_sum,
    total,
    vectors_of,
)

from privsdk.crypto.sums.base import integers
from privsdk.crypto.sums.masked import Directory, Unmask
from privsdk.crypto.sums.masker import Context, Masker, Public, Secret
from privsdk.errors import IdentityRefused, InvalidArgument, PeerGone, PolicyRefused, PrivsdkError, ProtocolViolation
from privsdk.protocol.roles import Heard, Role, Step
from privsdk.testing import SeededEntropy

EXACT = pytest.mark.claim("fl.secagg: sums are exact, in 32 and in 64 bits, with any clients lost")
PATTERNS = pytest.mark.claim("fl.secagg: five clients lost at any steps: recovered exactly, or ended cleanly")
LATE = pytest.mark.claim("fl.secagg: what arrives after its sender was declared lost is discarded")
REFUSED = pytest.mark.claim("fl.secagg: messages that do not fit are refused and their sender named")


def expected(vectors: dict[str, Any], without: str = "") -> Any:
    return sum(vector for name, vector in vectors.items() if name not in without)


@EXACT
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clients=st.integers(2, 8),
    length=st.integers(0, 300),
    largest=st.sampled_from(
        [8, 1000, LARGEST, (1 << 31) - 1, 1 << 31, 1 << 61, (1 << 63) - 1, 1 << 63, (1 << 127) - 1, 1 << 180]
    ),
    seed=st.integers(0, 1 << 32),
    data=st.data(),
)
def test_exact(clients: int, length: int, largest: int, seed: int, data: st.DataObject, cases: Cases) -> None:
    vectors = vectors_of(np.random.default_rng(seed), clients, length, largest)
    most = clients - (clients // 2 + 1)
    lost = data.draw(st.dictionaries(st.sampled_from(NAMES[:clients]), st.integers(0, 3), max_size=most))
    leader = data.draw(st.sampled_from(["k", *(name for name in vectors if name not in lost)]))
    wrapped = {name: ending(step) for name, step in lost.items()}
    outputs = total(vectors, wrapped=wrapped, coordinator=leader, largest=largest)
    ((sums, parties, gone),) = outputs[leader]
    inside = tuple(name for name in vectors if lost.get(name, NEVER) > SENDS.index("Masked"))
    assert (sums == sum((vectors[name] for name in inside), np.zeros(length, np.int64))).all()
    assert (parties, gone.keys()) == (inside, lost.keys())
    cases()


@EXACT
def test_extremes(cases: Cases) -> None:
    """Totals at both ends of what was declared, from one client alone or from several."""
    for largest in (LARGEST, (1 << 31) - 1, (1 << 63) - 1, 1 << 63, (1 << 127) - 1, (1 << 255) - 1):
        ends = integers([largest, -largest])
        for parts in ([ends, 0 * ends, 0 * ends], [ends // 2, ends - ends // 2, 0 * ends]):
            vectors = dict(zip("abc", parts, strict=True))
            ((sums, _, _),) = total(vectors, largest=largest)["k"]
            assert (sums == sum(vectors.values())).all()
            cases()


def patterns() -> Iterator[tuple[int, ...]]:
    return itertools.product(range(NEVER + 1), repeat=5)


def some_patterns() -> list[tuple[int, ...]]:
    """Up to two lost at every pair of steps, all lost at one step, and a spread over the rest."""
    chosen = {tuple(np.roll([a, b, *[NEVER] * 3], shift)) for a in range(5) for b in range(5) for shift in (0, 3)}
    chosen |= {(step,) * lost + (NEVER,) * (5 - lost) for step in range(5) for lost in range(6)}
    chosen |= set(itertools.islice(patterns(), 7, None, 29))
    return sorted(tuple(int(step) for step in pattern) for pattern in chosen)


@PATTERNS
def test_drop_out_patterns(soak: bool, cases: Cases) -> None:
    vectors = vectors_of(np.random.default_rng(5), 5, 20)
    tried = list(patterns()) if soak else some_patterns()
    assert len(tried) >= 150
    for pattern in tried:
        steps = dict(zip(vectors, pattern, strict=True))
        outputs = total(vectors, wrapped={name: ending(step) for name, step in steps.items() if step < NEVER})
        outcome = outputs.pop("k")
        lost = {name for name, step in steps.items() if step < NEVER}
        inside = tuple(name for name, step in steps.items() if step > SENDS.index("Masked"))
        if len(vectors) - len(lost) >= 3:
            ((sums, parties, gone),) = outcome
            assert parties == inside, pattern
            assert (sums == sum(vectors[name] for name in inside)).all(), pattern
            assert gone.keys() == lost, pattern
            assert all(outputs[name] is None for name in vectors if name not in lost), pattern
        else:
            assert isinstance(outcome, PeerGone), pattern
            named = next(step for step in range(NEVER) if sum(s > step for s in pattern) < 3)  # where it ended
            for name, step in steps.items():
                assert (f"{name}: nothing comes from {name}" in outcome.message) == (step <= named), pattern
            assert "unmasking takes 3" in outcome.message
        cases()


@LATE
@pytest.mark.parametrize("coordinator", ["k", "e"])
def test_late_arrivals(coordinator: str, cases: Cases) -> None:
    """Each client's each message comes after the coordinator has gone on; one or two clients of five."""
    vectors = vectors_of(np.random.default_rng(6), 5, 20)
    others = [name for name in vectors if name != coordinator]
    single = [{name: step} for name in others for step in range(NEVER)]
    pairs = [{"a": i, "b": j} for i in range(NEVER) for j in range(NEVER)]
    for lateness in single + pairs:
        outputs = total(
            vectors,
            wrapped={name: late(step) for name, step in lateness.items()},
            coordinator=coordinator,
            within_s=1,
        )
        ((sums, parties, lost),) = outputs[coordinator]
        without = "".join(name for name, step in lateness.items() if step <= SENDS.index("Masked"))
        assert (sums == expected(vectors, without)).all()
        assert parties == tuple(name for name in vectors if name not in without)
        assert lost.keys() == lateness.keys()
        cases()


@LATE
def test_a_late_vector_put_before_the_coordinator_is_not_looked_at(cases: Cases) -> None:
    """A driver that kept nobody lost would hand it over at the next step: it changes nothing."""
    vectors = vectors_of(np.random.default_rng(6), 5, 20)
    saved: dict[str, Any] = {}

    def keep(message: Any) -> Any:
        saved["a"] = message
        return message

    def inject(role: Role[Any]) -> Role[Any]:
        step = next(role)
        while True:
            heard: Heard = yield step
            if "a" in saved and "a" not in step.receive and step.receive:
                heard = {**heard, "a": saved["a"]}
                cases()
            try:
                step = role.send(heard)
            except StopIteration as stop:
                return stop.value

    def tardy(role: Role[Any]) -> Role[Any]:
        return changing(2, keep)(late(2)(role))

    outputs = total(vectors, wrapped={"a": tardy, "leader": inject}, within_s=1)
    ((sums, parties, lost),) = outputs["k"]
    assert (sums == expected(vectors, "a")).all()
    assert (parties, set(lost)) == (("b", "c", "d", "e"), {"a"})


def test_several_rounds_shrink_with_their_clients() -> None:
    """The next sum is of those that are left, with a threshold of its own."""
    vectors = vectors_of(np.random.default_rng(7), 5, 10)
    sums = {name: masked_sum(name) for name in (*vectors, "k")}
    ((_, parties, lost),) = total(vectors, sums=sums, wrapped={"a": ending(2), "b": ending(0)})["k"]
    assert (parties, set(lost)) == (("c", "d", "e"), {"a", "b"})
    left = {name: vectors[name] for name in parties}
    ((found, parties, lost),) = total(left, sums=sums, rounds=["round 2"], wrapped={"e": ending(3)})["k"]
    assert (found == sum(left.values())).all()
    assert (parties, set(lost)) == (("c", "d", "e"), {"e"})
    left = {name: vectors[name] for name in "cd"}
    ((found, _, _),) = total(left, sums=sums, rounds=["round 3"])["k"]
    assert (found == sum(left.values())).all()
    error = total(left, sums=sums, rounds=["round 4"], wrapped={"d": ending(0)})["k"]
    assert isinstance(error, PeerGone)  # of two clients nobody may be lost


def test_one_client_is_refused() -> None:
    outputs = total(vectors_of(np.random.default_rng(0), 1, 3))
    for name in ("a", "k"):
        assert isinstance(outputs[name], InvalidArgument)
        assert "the sum of one client is its input" in outputs[name].message


def test_thresholds() -> None:
    """What all want, and what one owner wants, beyond half of the clients."""
    vectors = vectors_of(np.random.default_rng(8), 5, 3)
    lost = {"a": ending(2)}
    ((_, parties, _),) = total(vectors, wrapped=lost, fewest=4)["k"]
    assert len(parties) == 4
    error = total(vectors, wrapped=lost, fewest=5)["k"]
    assert isinstance(error, PeerGone)
    assert "unmasking takes 5" in error.message
    sums = {name: masked_sum(name) for name in (*vectors, "k")} | {"c": masked_sum("c", floor=5)}
    outputs = total(vectors, sums=sums, wrapped=lost)
    assert isinstance(outputs["c"], PolicyRefused)
    assert "4 clients are left in round 1, and c tells nothing for fewer than 5" in outputs["c"].message
    ((_, parties, gone),) = outputs["k"]  # the vector of c is in, masked with the others'; c reveals nothing
    assert (parties, set(gone)) == (("b", "c", "d", "e"), {"a", "c"})
    sums = {name: masked_sum(name, floor=5) for name in (*vectors, "k")}
    outputs = total(vectors, sums=sums, wrapped=lost)
    assert isinstance(outputs["k"], PeerGone)


def rows_changed(message: Any, change: Any) -> Any:
    """A message with other rows in its table."""
    rows = change(message.table.to_pylist())
    return replace(message, table=pa.Table.from_pylist(rows, schema=message.table.schema))


def renamed(message: Any) -> Any:
    return replace(message, name="round 2")


def first_again(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rows[0], *rows]


def bytes_changed(column: str, change: Any) -> Any:
    return lambda message: rows_changed(message, lambda rows: [{**row, column: change(row[column])} for row in rows])


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


CLIENT_LIES = {
    "another sum": (0, renamed),
    "short key": (0, lambda m: replace(m, box_key=m.box_key[:-1])),
    "long mask key": (0, lambda m: replace(m, mask_key=m.mask_key + b"x")),
    "keys that it did not sign": (0, lambda m: replace(m, mask_key=flipped(m.mask_key))),
    "keys in the other order": (0, lambda m: replace(m, mask_key=m.box_key, box_key=m.mask_key)),
    "no signature": (0, lambda m: replace(m, token=b"")),
    "boxes for another sum": (1, renamed),
    "a box too few": (1, lambda m: rows_changed(m, lambda rows: rows[1:])),
    "a box twice": (1, lambda m: rows_changed(m, first_again)),
    "a box for a stranger": (1, lambda m: rows_changed(m, lambda rows: [*rows[1:], {**rows[0], "party": "z"}])),
    "long boxes": (1, bytes_changed("box", lambda box: box + b"x")),
    "a vector of another sum": (2, renamed),
    "a short vector": (2, lambda m: rows_changed(m, lambda rows: rows[1:])),
    "shares of another sum": (3, renamed),
    "a share too few": (3, lambda m: rows_changed(m, lambda rows: rows[1:])),
    "a share twice": (3, lambda m: rows_changed(m, first_again)),
}


@REFUSED
@pytest.mark.parametrize("lie", CLIENT_LIES)
def test_what_a_client_sends_wrong_costs_the_client_alone(lie: str, cases: Cases) -> None:
    number, change = CLIENT_LIES[lie]
    vectors = vectors_of(np.random.default_rng(9), 4, 5)
    ((sums, parties, lost),) = total(vectors, wrapped={"b": changing(number, change)})["k"]
    assert set(lost) == {"b"}
    assert isinstance(lost["b"], ProtocolViolation | IdentityRefused)
    assert "b" in lost["b"].message or "names a party twice" in lost["b"].message
    without = "b" if number <= SENDS.index("Masked") else ""
    assert (sums == expected(vectors, without)).all()
    assert ("b" in parties) == (number == SENDS.index("Revealed"))
    cases()


@REFUSED
def test_nonsense_that_fits_ends_the_sum(cases: Cases) -> None:
    """Words, shares or boxes that are wrong but of the right shape give no sum instead of a wrong one."""
    vectors = vectors_of(np.random.default_rng(9), 4, 200)

    def noisy(message: Any) -> Any:
        return rows_changed(message, lambda rows: [{"word": (row["word"] * 2654435761) % 2**32} for row in rows])

    outputs = total(vectors, wrapped={"b": changing(2, noisy)})
    assert isinstance(outputs["k"], ProtocolViolation)
    assert "one was not made as agreed" in outputs["k"].message
    cases()
    wrong = bytes_changed("share", lambda share: bytes(32) + b"\x05")
    outputs = total(vectors, wrapped={"a": changing(3, wrong), "d": ending(2)})
    assert isinstance(outputs["k"], ProtocolViolation)
    cases()
    outputs = total(vectors, wrapped={"b": changing(1, bytes_changed("box", flipped))})
    for name in "acd":
        assert isinstance(outputs[name], ProtocolViolation)
        assert "a box of b" in outputs[name].message
    assert isinstance(outputs["k"], PeerGone)
    cases()


def test_a_key_that_its_shares_do_not_give_is_found() -> None:
    """Another's key pair behind a key that was signed: what is recovered is compared with it."""
    vectors = vectors_of(np.random.default_rng(9), 4, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Secret, "to_share", lambda self: bytes(range(32)))
        outputs = total(vectors, wrapped={"d": ending(2)})
    assert isinstance(outputs["k"], ProtocolViolation)
    assert "the shares of d's key in round 1 do not give its key" in outputs["k"].message


def leading(number: int, change: Any) -> dict[str, Any]:
    """A coordinator that changes what it sends at one of its three steps, to everyone."""
    return {"leader": changing(number, change)}


COORDINATOR_LIES = {
    "keys of another sum": (0, renamed),
    "a party twice": (0, lambda m: rows_changed(m, first_again)),
    "a stranger": (0, lambda m: rows_changed(m, lambda rows: [*rows, {**rows[0], "party": "z"}])),
    "too few": (0, lambda m: rows_changed(m, lambda rows: rows[:2])),
    "its own keys for all": (0, bytes_changed("mask_key", lambda _: bytes(range(32)))),
    "one's keys for all": (
        0,
        lambda m: rows_changed(m, lambda rows: [{**rows[0], "party": row["party"]} for row in rows]),
    ),
    "boxes of another sum": (1, renamed),
    "too few boxes": (1, lambda m: rows_changed(m, lambda rows: rows[:1])),
    "boxes of a stranger": (1, lambda m: rows_changed(m, lambda rows: [*rows, {**rows[0], "party": "z"}])),
    "boxes in another's name": (
        1,
        lambda m: rows_changed(
            m, lambda rows: [{**a, "party": b["party"]} for a, b in zip(rows, rows[::-1], strict=True)]
        ),
    ),
    "the end of another sum": (2, renamed),
    "survivors too few": (2, lambda m: replace(m, survivors=m.survivors[:2], dropped=m.survivors[2:])),
    "everyone lost": (2, lambda m: replace(m, survivors=(), dropped=m.survivors)),
    "one forgotten": (2, lambda m: replace(m, survivors=m.survivors[:-1])),
    "a stranger survives": (2, lambda m: replace(m, survivors=(*m.survivors, "z"))),
    "one survives twice": (2, lambda m: replace(m, survivors=(*m.survivors, m.survivors[0]))),
    "both of one": (2, lambda m: replace(m, dropped=m.survivors[:1])),
    "both of all": (2, lambda m: replace(m, dropped=m.survivors)),
}


@REFUSED
@pytest.mark.parametrize("lie", COORDINATOR_LIES)
def test_what_a_coordinator_sends_wrong_ends_its_clients(lie: str, cases: Cases) -> None:
    number, change = COORDINATOR_LIES[lie]
    outputs = total(vectors_of(np.random.default_rng(9), 5, 5), wrapped=leading(number, change))
    for name in NAMES[:5]:
        error = outputs[name]
        assert isinstance(error, ProtocolViolation | IdentityRefused | PolicyRefused), (name, error)
    assert isinstance(outputs["k"], PeerGone)
    cases()


@pytest.mark.claim("fl.secagg: a coordinator in the middle of the key exchange is refused, for each pair and key")
def test_a_coordinator_in_the_middle_is_refused(cases: Cases) -> None:
    """It puts keys of its own in the place of one client's, towards the others or all but that one."""
    own = Secret(b"\7" * 32).public
    vectors = vectors_of(np.random.default_rng(9), 4, 5)
    for victim in vectors:
        for column in ("box_key", "mask_key"):

            def put(message: Any, victim: str = victim, column: str = column) -> Any:
                return rows_changed(
                    message,
                    lambda rows: [{**row, column: own} if row["party"] == victim else row for row in rows],
                )

            outputs = total(vectors, wrapped=leading(0, put))
            for name in vectors:
                if name == victim:
                    assert isinstance(outputs[name], ProtocolViolation | IdentityRefused)
                else:
                    assert isinstance(outputs[name], IdentityRefused)
                    assert victim in outputs[name].message
                cases()


@pytest.mark.parametrize("what", ["session", "round", "threshold", "form"])
def test_signatures_are_of_one_sum(what: str) -> None:
    """Keys that were signed for another run, round, threshold or form are not believed."""
    vectors = vectors_of(np.random.default_rng(9), 4, 5)
    other = {"session": {"session": bytes(32)}, "threshold": {"fewest": 4}}.get(what, {})
    sums = {name: masked_sum(name) for name in (*vectors, "k")} | {"b": masked_sum("b", **other)}
    if what in ("session", "threshold"):
        ((_, parties, lost),) = total(vectors, sums=sums)["k"]
        assert (parties, set(lost)) == (("a", "c", "d"), {"b"})
        assert isinstance(lost["b"], IdentityRefused)
        return
    kept: list[Any] = []
    total(vectors, wrapped={"b": changing(0, lambda m: kept.append(m) or m)})
    (old,) = kept
    again = {"round": {"rounds": ["round 2"]}, "form": {"largest": 1 << 40}}[what]
    outputs = total(vectors, wrapped={"b": changing(0, lambda m: replace(old, name=m.name))}, **again)
    ((_, _, lost),) = outputs["k"]
    assert isinstance(lost["b"], IdentityRefused)


def masker(me: str = "a", parties: tuple[str, ...] = ("a", "b", "c")) -> tuple[Masker, dict[str, tuple[bytes, ...]]]:
    """A client past the keys and boxes of a sum, and its box of each other client."""
    context = Context(b"s", "round 1", parties, "k", 2, 3, 32)
    made = {name: Masker(name, context, SeededEntropy(name.encode()), 2) for name in parties}
    rows: dict[str, tuple[bytes, ...]] = {}
    for name, each in made.items():
        public, token = each.advertised(MEMBERS.of(name))
        rows[name] = (*public, token)
    boxes = {}
    for name, each in made.items():
        role = each.boxes(rows, MEMBERS.of(name))
        step: Step | None = next(role)
        while step is not None:
            try:
                step = role.send({})
            except StopIteration as stop:
                boxes[name], step = stop.value, None
    mail = {name: boxes[name][me] for name in parties if name != me}
    made[me].masks(mail)
    return made[me], mail


def test_a_client_remembers_what_it_revealed() -> None:
    client, _ = masker()
    first = client.revealed(("a", "b"), ("c",))
    assert client.revealed(("a", "b"), ("c",)) == first  # the same again tells nothing new
    for survivors, dropped in ((("a", "b", "c"), ()), (("a", "c"), ("b",))):
        with pytest.raises(ProtocolViolation, match="asks a for both of"):
            client.revealed(survivors, dropped)
    client, _ = masker()
    for survivors, dropped in ((("a", "b"), ("b", "c")), (("a", "b", "c"), ("a",))):
        with pytest.raises(ProtocolViolation, match="for both of"):
            client.revealed(survivors, dropped)


def advertised(*parties: str) -> tuple[dict[str, Masker], dict[str, tuple[bytes, ...]]]:
    """Clients of a sum of five, and the rows of a directory of some."""
    context = Context(b"s", "round 1", tuple("abcde"), "k", 3, 3, 32)
    made = {name: Masker(name, context, SeededEntropy(name.encode()), 3) for name in parties}
    given = {name: each.advertised(MEMBERS.of(name)) for name, each in made.items()}
    return made, {name: (*public, token) for name, (public, token) in given.items()}


class Believing:
    """An identity that believes everyone: what else is checked has to hold without signatures."""

    def sign(self, statement: bytes) -> bytes:
        return b""

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        """All is well."""


@REFUSED
def test_a_client_checks_keys_that_are_signed_too(cases: Cases) -> None:
    """It is left out, or has other keys of its own; or two parties have one key."""
    made, rows = advertised("a", "b", "c", "d")
    others = {name: row for name, row in rows.items() if name != "a"}
    with pytest.raises(ProtocolViolation, match="sent a other keys than its own"):
        play(made["a"].boxes(others, MEMBERS.of("a")))
    cases()
    other_own = rows | {"a": (rows["a"][0], Secret(b"\1" * 32).public, b"")}
    with pytest.raises(ProtocolViolation, match="sent a other keys than its own"):
        play(advertised("a")[0]["a"].boxes(other_own, Believing()))
    cases()
    for twice in ((*rows["c"][:2], b""), (rows["c"][0], rows["b"][1], b""), (rows["c"][1], rows["b"][1], b"")):
        with pytest.raises(ProtocolViolation, match="two keys of round 1 are the same"):
            play(advertised("a")[0]["a"].boxes(rows | {"b": twice}, Believing()))
        cases()


@REFUSED
def test_a_client_counts_boxes_and_knows_that_it_is_there(cases: Cases) -> None:
    client, mail = masker()
    with pytest.raises(ProtocolViolation, match="says that a is lost, which it is not"):
        client.revealed(("b", "c"), ("a",))
    cases()
    made, rows = advertised("a", "b", "c", "d")
    play(made["a"].boxes(rows, MEMBERS.of("a")))
    with pytest.raises(PolicyRefused, match="1 clients are left in round 1"):
        made["a"].masks({})
    with pytest.raises(ProtocolViolation, match="who is not in this sum"):
        made["a"].masks({"e": mail["b"]})
    cases()


def test_a_refused_question_leaves_nothing_revealed() -> None:
    client, _ = masker()
    with pytest.raises(PrivsdkError):
        client.revealed(("a",), ("b", "c"))


def test_a_name_is_summed_once() -> None:
    vectors = vectors_of(np.random.default_rng(9), 3, 5)
    outputs = total(vectors, rounds=["round 1", "round 1"])
    assert all(isinstance(outputs[name], ProtocolViolation) for name in vectors)
    assert isinstance(outputs["k"], PeerGone)


def test_a_vector_beyond_what_was_declared_is_not_sent() -> None:
    vectors = vectors_of(np.random.default_rng(9), 3, 5) | {"b": np.array([0, 0, -LARGEST - 1, 0, 0])}
    outputs = total(vectors)
    assert isinstance(outputs["b"], InvalidArgument)
    ((_, parties, _),) = outputs["k"]
    assert parties == ("a", "c")
    with pytest.raises(InvalidArgument, match="255 bits"):
        next(masked_sum("a").contribute("x", ("a", "b"), vectors["a"], 1 << 255))


def test_a_key_of_low_order_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="b sent a public key that is none"):
        Secret(b"\1" * 32).shared("b", bytes(32))
    assert Public(b"", b"") == (b"", b"")


def test_messages_are_named() -> None:
    tags = {Directory.__struct_config__.tag, Unmask.__struct_config__.tag}
    assert tags == {"fl.secagg.Directory", "fl.secagg.Unmask"}


def test_ended_clients_end_quietly() -> None:
    """A client whose coordinator is gone raises PeerGone at each of its steps."""
    vectors = vectors_of(np.random.default_rng(9), 3, 5)

    def stop(step: Step) -> Any:
        yield from ()
        return None

    for number in range(3):
        outputs = total(vectors, wrapped={"leader": before_send(number, stop)})
        assert all(isinstance(outputs[name], PeerGone) for name in vectors)

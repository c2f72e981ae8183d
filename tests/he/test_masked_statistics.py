"""Statistics over masked sums: bit by bit those of encrypted ones, and what the party that adds up receives is uniform
but for the totals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import assert_absent, assert_same_shape, looks_uniform, words
from msgspec.structs import replace
from pooling import answer_of, request_for, statistic
from test_statistics_transcripts import ASKED, held, tables

import privsdk as ps
from privsdk import he
from privsdk.crypto.sums.masker import Masker
from privsdk.errors import InvalidArgument, PeerGone, ProtocolViolation, UnknownName
from privsdk.he.statistics.statistic import Statistic
from privsdk.protocol.operation import operation_of
from privsdk.protocol.roles import Role
from privsdk.testing import Sent

EQUAL = pytest.mark.claim("he: masked sums give the answers of encrypted ones, bit by bit")
UNIFORM = pytest.mark.claim("he: masked totals are uniform at alpha 1e-6 for the party that adds them up")
BINS = 4000
WIDE = {
    "words of 32 bits": statistic("histogram", ["x"], edges=tuple(range(BINS + 1)), max_rows=1000),
    "entries of 128 bits": statistic("variance", ["x"], bound=2.0**20, by="g", keys=tuple(range(500))),
}


def masked(asked: Statistic) -> Statistic:
    return replace(asked, aggregation="masked")


@EQUAL
@pytest.mark.parametrize("name", ASKED)
def test_answers_are_those_of_encrypted_sums(name: str, cases: Cases) -> None:
    """Values, what is withheld, and what is said of it: with owners of other minima, and rows that are the caller's."""
    thresholds: dict[str, Any] = {"min_count": [3, 5, 4], "min_parties": [2, 1, 1]}
    for seed, caller in ((1, "analyst"), (2, "p1")):
        rows = tables(seed, "abcd")
        encrypted, over_masks = (
            answer_of(asked, rows, caller=caller, **thresholds) for asked in (ASKED[name], masked(ASKED[name]))
        )
        assert over_masks.equals(encrypted, check_metadata=True)
        cases()


@EQUAL
def test_totals_at_their_bounds(cases: Cases) -> None:
    """Of 4 and of 22 bytes, on either side of zero."""
    for bound, resolution in ((1000.0, 1.0), (2.0**62, 1.0), (2.0**40, 2.0**-20)):
        for end in (bound, -bound):
            rows = [pa.table({"x": [end] * 3}) for _ in range(3)]
            asked = statistic("variance", ["x"], bound=bound, resolution=resolution, max_rows=3)
            assert answer_of(masked(asked), rows).equals(answer_of(asked, rows))
            cases()


def spread(seed: int) -> list[pa.Table]:
    rng = np.random.default_rng(seed)
    return [pa.table({"x": rng.uniform(0, BINS, 300), "g": rng.integers(0, 500, 300)}) for _ in range(3)]


def received(asked: Statistic, rows: Sequence[pa.Table], **options: Any) -> list[Sent]:
    transcript: list[Sent] = []
    answer_of(masked(asked), rows, transcript=transcript, **options)
    return [sent for sent in transcript if sent.receiver == "k"]


def assert_uniform(transcript: Sequence[Sent]) -> None:
    """Each party's vector is uniform, and so are the sums of any two."""
    vectors = [words(sent) for sent in transcript if "Masked" in sent.tag]
    assert len(vectors) == 6  # the parties in each group, then the totals
    for of_one in (vectors[:3], vectors[3:]):
        for count in (1, 2):
            for some in combinations(of_one, count):
                assert looks_uniform(np.sum(some, axis=0, dtype=of_one[0].dtype))


@UNIFORM
@pytest.mark.parametrize("asked", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("caller", ["analyst", "p0"])
def test_what_is_added_up_is_uniform(asked: Statistic, caller: str, cases: Cases) -> None:
    """Whoever of the parties asks; of rows that are spread out and of none in any group."""
    nothing = [pa.table({"x": [-1.0] * 9, "g": [-1] * 9}) for _ in range(3)]
    for rows in (spread(1), nothing):
        assert_uniform(received(asked, rows, caller=caller))
        cases()


@UNIFORM
def test_the_caller_may_add_up_what_has_no_groups(cases: Cases) -> None:
    """It then receives the messages that another would: keys, boxes, one masked vector and one share of each kind."""
    asked, rows = statistic("mean", ["x"]), spread(2)
    for caller in ("k", "analyst"):
        kinds = [sent.tag.rpartition(".")[2] for sent in received(asked, rows, caller=caller)]
        assert kinds == [kind for kind in ("Advertised", "Boxes", "Masked64", "Revealed") for _ in rows]
        cases()


@UNIFORM
@pytest.mark.parametrize("asked", WIDE.values(), ids=WIDE)
def test_a_party_that_does_not_mask_is_found(asked: Statistic, cases: Cases) -> None:
    transcript: list[Sent] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = Masker.masks
        patch.setattr(Masker, "masks", lambda self, boxes: whole(self, boxes)[: 0 if self._me == "p1" else None])
        with pytest.raises(ProtocolViolation, match="do not add up"):
            answer_of(masked(asked), spread(1), transcript=transcript)
    with pytest.raises(AssertionError):
        assert_uniform([sent for sent in transcript if sent.receiver == "k"])
    cases()


@pytest.mark.claim("transcripts: he statistics over masks send no value, and the same messages whatever the rows")
@pytest.mark.parametrize("name", ASKED)
def test_transcripts_tell_nothing_of_the_rows(name: str, cases: Cases) -> None:
    asked, one, other = masked(ASKED[name]), tables(1, "abcd"), tables(2, "ad")
    transcripts: list[list[Sent]] = [[], []]
    for transcript, rows in zip(transcripts, (one, other), strict=True):
        answer_of(asked, rows, min_count=[3, 2, 4], min_parties=[2, 1, 1], transcript=transcript)
        assert_absent(held(rows), transcript)
        assert {sent.sender for sent in transcript if sent.receiver != "k"} == {"k"}
    assert_same_shape(*transcripts)
    cases()


def before(tag: str) -> Callable[[Role[Any]], Role[Any]]:
    """A party that is lost before it sends a message of this tag."""

    def wrapper(role: Role[Any]) -> Role[Any]:
        step = next(role)
        while not any(type(message).__name__.startswith(tag) for message in step.send.values()):
            step = role.send((yield step))
        role.close()

    return wrapper


@pytest.mark.claim("he: a masked sum is of all parties, or there is none")
@pytest.mark.parametrize("tag", ["Advertised", "Boxes", "Masked", "Revealed"])
def test_a_lost_party_ends_the_run(tag: str, cases: Cases) -> None:
    """More than half could unmask what is left; its difference to a sum of all would be the lost one's total."""
    with pytest.raises(PeerGone):
        answer_of(masked(statistic("sum", ["x"], bound=2.0**56)), tables(1, "a"), wrapped={"p1": before(tag)})
    cases()


def test_what_has_no_masked_form_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="asks for approximate reals"):
        replace(statistic("sum", ["x"], preset="ckks"), aggregation="masked").__post_init__()
    with pytest.raises(UnknownName, match="encrypted, masked"):
        statistic("sum", ["x"], aggregation="clear")
    for asked, parties, caller, match in (
        (statistic("sum", ["x"]), ["p0"], "analyst", "contributes alone"),
        (ASKED["count"], ["p0", "p1"], "k", "adds them up"),
    ):
        with pytest.raises(InvalidArgument, match=match):
            operation_of(request_for(masked(asked), parties, caller=caller))


@EQUAL
def test_in_a_federation(cases: Cases) -> None:
    """Same values, prices and cards but for how it is added; who learns what is in the preview, before it runs."""
    held = {name: {"t": rows} for name, rows in zip(("north", "south", "east"), spread(3), strict=True)}
    with ps.embedded({**held, "keeper": {}}, store=None, quiet=True) as fed:
        group = fed.tables("t")

        def plans(**options: Any) -> list[Any]:
            return [
                he.count(group, by="g", keys=list(range(9)), **options),
                he.sum(group, "x", by="g", keys=list(range(9)), **options),
                he.mean(group, "x", **options),
                he.variance(group, "x", bound=BINS, **options),
                he.covariance(group, ["x", "g"], bound=BINS, **options),
                he.correlation(group, ["x", "g"], bound=BINS, **options),
                he.histogram(group, "x", edges=[0, 1000, BINS], **options),
            ]

        for encrypted, over_masks in zip(plans(), plans(aggregation="masked"), strict=True):
            assert "aggregation" not in encrypted.request.parameters
            prices = [operation_of(plan.request).price() for plan in (encrypted, over_masks)]
            assert prices[0] == prices[1]
            values = [plan.release().value for plan in (encrypted, over_masks)]
            assert repr(values[0]) == repr(values[1])
            if hasattr(values[0], "equals"):
                assert values[0].equals(values[1])
            cases()
        plan = he.sum(group, "x", bound=2.0**40, aggregation="masked")
        coalition = operation_of(plan.request).learns()[-1]
        assert str(coalition.who) == "coalition of keeper and any 2 of north, south and east"
        for card in (str(plan), str(plan.preview())):
            assert coalition.text == "no more than the total over the other contributors"
            assert coalition.text in card
        assert "masks of 64 bits" in str(plan)

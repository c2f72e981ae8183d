"""What plans and results of joins say, in words."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import psi


@pytest.fixture(scope="module")
def fed() -> Iterator[ps.Federation]:
    table = pa.table({"id": [f"k{n}" for n in range(64)], "town": [*["a"] * 5, *["b"] * 20, *["c"] * 39]})
    with ps.embedded({party: {"people": table} for party in "ABCD"}, store=None, quiet=True) as opened:
        yield opened


def test_a_party_is_told_of_the_others_by_name(fed: ps.Federation) -> None:
    tables = [fed[party]["people"] for party in "ABCD"]
    told = [psi.join(*tables[:n], on="id").learns[0].text for n in (2, 3, 4)]
    assert told == [
        "which of its own keys B has; how many distinct keys B has; the minimum count of B",
        "which of its own keys B and C both have; how many distinct keys each has; each one's minimum count",
        "which of its own keys B, C and D all have; how many distinct keys each has; each one's minimum count",
    ]


def test_a_result_says_once_which_protocol_ran(fed: ps.Federation) -> None:
    plan = psi.join(fed["A"]["people"], fed["B"]["people"], fed["C"]["people"], on="id")
    result = plan.release()
    (said,) = [text for label, text in result._card().facts if label == "protocol"]
    assert said.startswith("KMPRT17")
    assert str(result.value) == "joint table of A, B and C: 64 shared keys"


def test_the_key_that_can_be_listed_is_warned_of_in_one_sentence(fed: ps.Federation) -> None:
    both = fed["A"]["people"], fed["B"]["people"]
    assert "warning" not in dict(psi.join(*both, on="id").notes)
    assert "warning" not in dict(psi.join(*both, on=psi.key("id", normalise="first 8")).notes)
    assert "warning" in dict(psi.join(*both, on=psi.key("id", normalise="first 4")).notes)
    warning = dict(psi.join(*both, on=psi.key("id", normalise=("digits", "last 9"))).notes)["warning"]
    assert "can be listed" in warning
    assert len(warning) < 180


def test_suppressed_groups_are_not_all_said_to_be_small(fed: ps.Federation) -> None:
    """The second is large enough, and goes with the first, which would follow from the total."""
    joint = psi.join(fed["A"]["people"], fed["B"]["people"], on="id").release().value
    counted = joint["A"].count(by="town").release()
    assert counted.value.to_pylist() == [{"town": "c", "count": 39}]
    said = dict(counted._card().facts)["suppressed"]
    assert said == "2 groups: below the minimum count, or the next smallest to one that is"

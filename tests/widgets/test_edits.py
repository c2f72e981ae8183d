"""Edits of JSON values: they make the new value of the old one, and are few where little changed."""

from __future__ import annotations

import copy
from typing import Any

from applying import applied
from hypothesis import given
from hypothesis import strategies as st

from privsdk.widgets.panel import edits

scalars = st.none() | st.integers(-3, 3) | st.text("ab", max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc", max_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(values, values)
def test_they_make_the_new_value_of_the_old(old: Any, new: Any) -> None:
    assert applied(old, edits(old, new)) == new


bits = st.lists(st.integers(0, 1), max_size=6)  # with much in common at both ends


@given(bits, bits)
def test_lists_that_are_much_alike(old: list[int], new: list[int]) -> None:
    assert applied({"all": old}, edits({"all": old}, {"all": new})) == {"all": new}


@given(values)
def test_nothing_for_what_stays(value: Any) -> None:
    assert edits(value, copy.deepcopy(value)) == []


def test_little_for_little() -> None:
    old = {"runs": [{"id": "a", "curve": (1, 2, 3), "state": "running"}], "events": ["x", "y"], "gone": 1}
    new = {"runs": [{"id": "a", "curve": (1, 2, 3, 4), "state": "running"}], "events": ["z", "x", "y"]}
    assert edits(old, new) == [
        ["drop", ["gone"]],
        ["cut", ["runs", 0, "curve"], 3, 0, [4]],
        ["cut", ["events"], 0, 0, ["z"]],
    ]

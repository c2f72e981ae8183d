"""Waiting for the first of several in one thread: in the order in which they are named, and nobody where time is up."""

from __future__ import annotations

import pytest

from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Role, colocated, hear, next_of, tell
from privsdk.testing import together


class Said(Message, frozen=True, kw_only=True, tag="test.first_of.Said"):
    what: str


def says(to: str, *said: str) -> Role[None]:
    for what in said:
        yield from tell(to, Said(what=what))


def test_where_time_is_up_nobody_is_lost() -> None:
    def waits() -> Role[str]:
        assert (yield from next_of(("b",), Said, within_s=1)) == ({}, {})
        yield from tell("b", Said(what="go on"))
        return (yield from next_of(("b",), Said, within_s=1)).messages["b"].what

    def answers() -> Role[None]:
        yield from hear("a", Said)
        yield from says("a", "here")

    assert together({"a": waits(), "b": answers()})["a"] == "here"


def test_who_has_ended_is_lost() -> None:
    def waits() -> Role[list[str]]:
        return sorted((yield from next_of(("b",), Said, within_s=1)).lost)

    assert together({"a": waits(), "b": says("a")})["a"] == ["b"]


@pytest.mark.parametrize(("order", "heard"), [(("me", "b"), ["mine", "b1", "b2"]), (("b", "me"), ["b1", "b2", "mine"])])
def test_a_role_beside_another_hears_them_in_the_order_in_which_they_are_named(
    order: tuple[str, ...], heard: list[str]
) -> None:
    def first() -> Role[list[str]]:
        left, came = {"me": 1, "b": 2}, []
        while any(left.values()):
            arrived = yield from next_of([name for name in order if left[name]], Said, within_s=1)
            for sender, message in arrived.messages.items():
                left[sender] -= 1
                came.append(message.what)
        return came

    outputs = together({"me": colocated("me", first(), says("me", "mine")), "b": says("me", "b1", "b2")})
    assert outputs["me"][0] == heard


def test_who_only_waits_is_not_lost_with_who_has_ended() -> None:
    def waits() -> Role[list[str]]:
        assert list((yield from next_of(("b", "c"), Said, within_s=1)).lost) == ["b"]
        yield from tell("c", Said(what="go on"))
        return list((yield from next_of(("c",), Said, within_s=1)).messages)

    def answers() -> Role[None]:
        yield from hear("a", Said)
        yield from says("a", "here")

    assert together({"a": waits(), "b": says("a"), "c": answers()})["a"] == ["c"]

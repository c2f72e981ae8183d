"""Of the errors of a run, the one that made the others; and who kept whom waiting."""

from __future__ import annotations

from privsdk.client.root_cause import lost_in_turn, root_cause
from privsdk.errors import (
    Cancelled,
    DataError,
    PeerFailed,
    PeerGone,
    PolicyRefused,
    PrivsdkError,
    ProtocolViolation,
    ReadTimeout,
)
from privsdk.errors.refusals import TooFewLeft
from privsdk.errors.sessions import RunCancelled, SessionEnded, StreamEnded, TimedOut


def late(party: str, peer: str) -> PrivsdkError:
    return ReadTimeout(TimedOut(peer=peer, seconds=4, wait="read"), party=party)


def cancelled(party: str, *waited_for: str) -> PrivsdkError:
    return Cancelled(RunCancelled(waited_for=waited_for), party=party)


def test_who_does_not_answer_comes_before_who_waited_and_after_who_failed() -> None:
    silent = PeerGone("b: it did not answer")  # the caller's own link says so, no party
    errors = {"a": late("a", "c"), "b": silent, "c": PeerFailed(SessionEnded(peer="a"), party="c")}
    assert root_cause(errors) == ("b", silent)
    own = DataError("a column is missing", party="d")
    assert root_cause({**errors, "d": own}) == ("d", own)


def test_who_saw_it_comes_before_who_lost_that_one() -> None:
    lost = PeerGone(StreamEnded(peer="c", how="closed"), party="b")
    seen = ProtocolViolation("a sent message 1 where 0 was due", party="c")
    for errors in ({"b": lost, "c": seen}, {"c": seen, "b": lost}):
        assert root_cause(errors) == ("c", seen)


def test_who_kept_all_waiting_is_named() -> None:
    errors = {"a": late("a", "b"), "b": cancelled("b", "c"), "c": cancelled("c", "d"), "d": cancelled("d")}
    told = errors["a"].with_others(lost_in_turn("a", errors)).message
    assert told.splitlines()[1:] == [
        "  b: the run was cancelled while it waited for c",
        "  c: the run was cancelled while it waited for d",
    ]


def test_who_lost_one_that_lost_another_names_both() -> None:
    errors = {"b": PeerGone(StreamEnded(peer="c", how="closed"), party="b"), "c": late("c", "a")}
    assert lost_in_turn("b", errors) == [errors["c"]]


def test_what_the_last_one_says_for_itself_is_told() -> None:
    own = PeerGone("2 of 3 are left, and unmasking takes 3 (d: nothing came)", party="c")
    assert lost_in_turn("b", {"b": late("b", "c"), "c": own}) == [own]
    assert lost_in_turn("b", {"b": late("b", "c"), "c": cancelled("c")}) == []


def test_two_that_wait_for_each_other_are_both_named() -> None:
    errors = {"a": late("a", "b"), "b": cancelled("b", "a")}
    assert [str(each.detail) for each in lost_in_turn("a", errors)] == [str(errors["b"].detail)]
    assert lost_in_turn("b", errors) == []


def without(error: PrivsdkError, *lost: str) -> PrivsdkError:
    error.lost = lost
    return error


def test_whom_one_went_on_without_is_named() -> None:
    """As they came of masked sums: k lost b, went on, and was cancelled or failed as others had lost k meanwhile."""
    k = without(cancelled("k", "c"), "b")
    given_up = PeerFailed(SessionEnded(peer="k", code="peer.gone.read"), party="b")
    for b, c in ((given_up, cancelled("c", "k")), (cancelled("b", "k"), late("c", "k"))):
        assert lost_in_turn("a", {"a": late("a", "k"), "b": b, "c": c, "k": k}) == [k, b]
    few = without(PeerGone("1 of 2 are left, and unmasking takes 2 (c: c ended the session)", party="k"), "b")
    assert lost_in_turn("k", {"a": cancelled("a", "k"), "b": given_up, "c": late("c", "k"), "k": few}) == [given_up]
    told = late("d", "a").with_others([k, few]).message
    assert told.splitlines()[1:] == [
        "  k: the run was cancelled while it waited for c (without b)",
        "  k: 1 of 2 are left, and unmasking takes 2 (c: c ended the session) (without b)",
    ]


def test_why_one_is_missing_where_too_few_are_left_is_told() -> None:
    refused = PolicyRefused(TooFewLeft(party="b", where="round 2", left=1, fewest=2, missing=("a",)), party="b")
    gone = PeerGone(StreamEnded(peer="k", how="broke"), party="a")
    assert lost_in_turn("b", {"a": gone, "b": refused, "k": without(cancelled("k", "b"), "a")})[0] is gone

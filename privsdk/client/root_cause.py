"""Of the errors of a run's parties, the one that the others follow from, and those that say who kept whom waiting."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Cancelled, PeerError, PeerFailed, PrivsdkError, ProtocolViolation
from ..errors.sessions import RunCancelled, SessionEnded, StreamEnded, TimedOut


def root_cause(errors: Mapping[str, BaseException]) -> tuple[str, BaseException]:
    """The error that made the others: what a peer's failure or a cancelled run follows from, if that is there."""
    following = (PeerError, PeerFailed, Cancelled)  # the later ones from the earlier

    def rank(item: tuple[str, BaseException]) -> float:
        error = item[1]
        if isinstance(error, ProtocolViolation):  # seen by itself; another who lost this party names only it
            return 0.25
        place = max((place for place, kind in enumerate(following, 1) if isinstance(error, kind)), default=0)
        unheard = isinstance(error, PeerError) and not error.party  # no party says so: its own reply did not come
        return place - 0.5 if unheard else place

    return min(errors.items(), key=rank)


def lost_in_turn(party: str, errors: Mapping[str, BaseException]) -> list[PrivsdkError]:
    """Where a party lost another: the errors of those who lost or waited for one in turn, up to the first."""
    chain, found = [party], list[PrivsdkError]()
    while isinstance(error := errors.get(chain[-1]), PrivsdkError):
        detail = error.detail
        awaited: tuple[str, ...] = (detail.peer,) if isinstance(detail, TimedOut | StreamEnded | SessionEnded) else ()
        if isinstance(detail, RunCancelled) and found:
            awaited = (*detail.lost, *detail.waited_for)
        if awaited or (found and not isinstance(error, Cancelled | PeerFailed)):  # or it says itself what happened
            found.append(error.at(party=chain[-1]))
        if not awaited or awaited[0] in chain:
            break
        chain.append(awaited[0])
    return found[1:]

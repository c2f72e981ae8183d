"""Of the errors of a run's parties, the one that the others follow from, and those that say who kept whom waiting."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Cancelled, PeerError, PeerFailed, PrivsdkError, ProtocolViolation
from ..errors.refusals import TooFewLeft
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
        awaited = () if isinstance(error, Cancelled) and not found else _awaited(error)
        if awaited or (found and not isinstance(error, Cancelled | PeerFailed)):  # or it says itself what happened
            found.append(error.at(party=chain[-1]))
        if not awaited or awaited[0] in chain:
            break
        chain.append(awaited[0])
    return found[1:]


def _awaited(error: PrivsdkError) -> tuple[str, ...]:
    """For whom the party of this error waited in vain: whom it lost first, then for whom it waited at its end."""
    match error.detail:
        case TimedOut(peer=peer) | StreamEnded(peer=peer) | SessionEnded(peer=peer):
            return (*error.lost, peer)
        case RunCancelled(waited_for=parties) | TooFewLeft(missing=parties):
            return (*error.lost, *parties)
    return error.lost

"""Clients that go wrong on purpose, to see what a training does about it; only for parties embedded in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import DataError
from ..fl.fedavg import LocalInput, LocalUpdate
from ..fl.loops.course import ClientInput, Course
from ..fl.loops.rounds import Ready, Synchronous
from ..fl.models.network import Vector
from ..protocol.roles import Role, Step, altered


@contextmanager
def lost(party: str, *, in_round: int) -> Iterator[None]:
    """Within it, this client of a training fails in that round, once it is paid and trained."""
    honest = Synchronous.client

    def client(self: Synchronous, course: Course, given: ClientInput) -> Role[Vector]:
        role = honest(self, course, given)
        return _failing(role, party, in_round - 1) if given.me == party else role

    with _instead(client):
        yield


@contextmanager
def poisoned(party: str, *, times: float = -5.0) -> Iterator[None]:
    """Within it, this client sends its update times a number, such as one that undoes what the others do."""
    honest = Synchronous.client

    def client(self: Synchronous, course: Course, given: ClientInput) -> Role[Vector]:
        if given.me == party:
            scaled: Any = _Scaled(course.strategy, times)
            course = course._replace(strategy=scaled)
        return honest(self, course, given)

    with _instead(client):
        yield


@contextmanager
def _instead(client: Callable[..., Role[Any]]) -> Iterator[None]:
    honest = Synchronous.client
    Synchronous.client = client  # type: ignore[method-assign]
    try:
        yield
    finally:
        Synchronous.client = honest  # type: ignore[method-assign]


def _failing(role: Role[Any], party: str, number: int) -> Role[Any]:
    def unless_ready(step: Step) -> Step:
        if any(isinstance(message, Ready) and message.number == number for message in step.send.values()):
            raise DataError(f"{party} was switched off for the tutorial")
        return step

    return altered(role, unless_ready)


class _Scaled:
    """A strategy whose client's half makes more of its update."""

    def __init__(self, strategy: Any, times: float) -> None:
        self._strategy = strategy
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        local: LocalUpdate = yield from self._strategy.local(given)
        return local._replace(update=local.update * local.update.dtype.type(self._times))

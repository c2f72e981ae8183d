"""Sums over clients that end, come late or lie at a step of choice, in one thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

from privsdk.crypto.sums.base import Integers, Sum
from privsdk.crypto.sums.masked import MaskedSum
from privsdk.errors import PrivsdkError
from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Heard, Role, Step, colocated
from privsdk.protocol.services import Identity
from privsdk.testing import Members, Numbers, SeededEntropy, Sent, together

SENDS = ("Advertised", "Boxes", "Masked", "Revealed")  # a client's messages in a masked sum
NEVER = len(SENDS)
NAMES = tuple("abcdefghij")
SESSION = bytes(range(32))
LARGEST = 1 << 30

MEMBERS = Members((*NAMES, "k"))
Wrapper = Callable[[Role[Any]], Role[Any]]


def vectors_of(rng: np.random.Generator, clients: int, length: int, largest: int = LARGEST) -> dict[str, Integers]:
    """Vectors whose sums, of all or some of them, are within +-largest."""
    most = largest // clients
    if largest >= 1 << 63:
        drawn = [[int.from_bytes(rng.bytes(40), "little") for _ in range(length)] for _ in range(clients)]
        return {
            name: np.array([entry % (2 * most + 1) - most for entry in mine], object)
            for name, mine in zip(NAMES, drawn, strict=False)
        }
    return {name: rng.integers(-most, most, length, endpoint=True) for name in NAMES[:clients]}


def masked_sum(me: str, *, seed: bytes = b"", identity: Identity | None = None, **options: Any) -> MaskedSum:
    entropy = SeededEntropy(seed + me.encode())
    options = {"coordinator": "k", "session": SESSION} | options
    return MaskedSum(me=me, entropy=entropy, identity=identity or MEMBERS.of(me), **options)


def total(
    vectors: Mapping[str, Integers],
    *,
    sums: Mapping[str, Sum] | None = None,
    wrapped: Mapping[str, Wrapper] | None = None,
    coordinator: str = "k",
    largest: int = LARGEST,
    rounds: Sequence[str] = ("round 1",),
    transcript: list[Sent] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """What each role ends with: its output, or the error that ended it; the coordinator's is a list of totals."""
    names, wrapped = tuple(vectors), wrapped or {}
    length = len(next(iter(vectors.values())))
    made = sums or {
        name: masked_sum(name, coordinator=coordinator, **options) for name in dict.fromkeys((*names, coordinator))
    }

    def client(name: str) -> Role[Any]:
        yield from made[name].set_up()
        for each in rounds:
            yield from made[name].contribute(each, names, vectors[name], largest)

    def leader() -> Role[Any]:
        yield from made[coordinator].set_up()
        found = []
        for each in rounds:
            found.append((yield from made[coordinator].collect(each, names, length, largest)))
        return found

    roles = {name: wrapped.get(name, same)(client(name)) for name in names}
    leading = wrapped.get("leader", same)(leader())
    roles[coordinator] = both(coordinator, leading, roles[coordinator]) if coordinator in names else leading
    return together({name: caught(role) for name, role in roles.items()}, transcript)


def both(me: str, leading: Role[Any], role: Role[Any]) -> Role[Any]:
    found, _ = yield from colocated(me, leading, role)
    return found


def same(role: Role[Any]) -> Role[Any]:
    return role


def caught(role: Role[Any]) -> Role[Any]:
    """A role whose errors are its output."""
    try:
        return (yield from role)
    except PrivsdkError as error:
        return error


def before_send(number: int, act: Callable[[Step], Generator[Step, Heard, Step | None]]) -> Wrapper:
    """Do something before a role's message of this number; it ends where that gives no step to go on with."""

    def wrapper(role: Role[Any]) -> Role[Any]:
        sent, heard = 0, None
        while True:
            try:
                step: Step | None = next(role) if heard is None else role.send(heard)
            except StopIteration as stop:
                return stop.value
            if step is not None and step.send:
                step = (yield from act(step)) if sent == number else step
                sent += 1
            if step is None:
                role.close()
                return "ended"
            heard = yield step

    return wrapper


def ending(number: int) -> Wrapper:
    """A client that ends before its message of this number."""

    def act(step: Step) -> Generator[Step, Heard, Step | None]:
        yield from ()
        return None

    return before_send(number, act)


def late(number: int) -> Wrapper:
    """A client whose message of this number comes after everyone's patience is at its end."""

    def act(step: Step) -> Generator[Step, Heard, Step | None]:
        yield Step({}, {"nobody": Numbers}, tolerant=True, within_s=1)
        return step

    return before_send(number, act)


def changing(number: int, change: Callable[[Any], Message]) -> Wrapper:
    """A role that sends something else in place of its message of this number, to everyone."""

    def act(step: Step) -> Generator[Step, Heard, Step | None]:
        yield from ()
        return step._replace(send={peer: change(message) for peer, message in step.send.items()})

    return before_send(number, act)

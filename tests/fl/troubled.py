"""A small training over four clients and a coordinator, and clients that go wrong in a round, each in its own way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import fl
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.fl.averages import VALUES, ClientUpdate
from privsdk.fl.loops import rounds
from privsdk.fl.loops.course import ClientInput, Course
from privsdk.fl.loops.resuming import Kept
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models.network import Vector
from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Role, Step

CLIENTS = ("ams", "bru", "cdg", "dub")
LEADER = "zrh"
UPDATES = ps.Grant(table="*", columns={"*": "model update"})
POLICY = msgspec.structs.replace(WORKSHOP_POLICY, grants=(*WORKSHOP_POLICY.grants, UPDATES))
BUDGET = ps.Budget(exact=100_000)
MODEL = fl.Logistic(features={"x": (-4, 4), "z": (-4, 4)})


def tables(rows: int = 80) -> dict[str, dict[str, pa.Table]]:
    rng = np.random.default_rng(11)

    def table() -> pa.Table:
        x, z = rng.normal(size=rows), rng.normal(size=rows)
        return pa.table({"x": x, "z": z, "y": (x - z + rng.normal(size=rows) > 0).astype(int)})

    return {**{name: {"t": table()} for name in CLIENTS}, LEADER: {}}


def embedded(**options: Any) -> ps.Federation:
    given = {"store": None, "policy": POLICY, "budget": BUDGET, "quiet": True} | options
    return ps.embedded(tables(), **given)


def plan(fed: ps.Federation, **options: Any) -> ps.Plan[fl.Fitted]:
    given: dict[str, Any] = {"rounds": 6, "aggregation": "clear", "local_steps": 3, "batch_size": 20} | options
    learners = [fed[name]["t"] for name in CLIENTS]
    return fl.fit(MODEL, learners, label="y", coordinator=LEADER, **given)


HONEST = Synchronous.client
Trouble = Callable[[int, Message], Message | None]


def goes_wrong(monkeypatch: pytest.MonkeyPatch, troubles: Mapping[str, Trouble]) -> None:
    """Clients whose messages to the coordinator pass through their trouble, which may alter one, raise or block."""

    def client(self: Synchronous, course: Course, given: ClientInput) -> Role[Vector]:
        role = HONEST(self, course, given)
        return altered(role, troubles[given.me]) if given.me in troubles else role

    monkeypatch.setattr(Synchronous, "client", client)


def altered(role: Role[Any], trouble: Trouble) -> Role[Any]:
    heard, number = None, 0
    while True:
        try:
            step: Step = role.send(heard) if heard is not None else next(role)
        except StopIteration as stop:
            return stop.value
        if step.progress is not None and step.progress.figures is not None:
            number = step.progress.done + 1
        send = {to: sent for to, message in step.send.items() if (sent := trouble(number, message)) is not None}
        heard = yield step._replace(send=send)


def at_update(number: int, change: Callable[[ClientUpdate], Message | None]) -> Trouble:
    """Trouble with the update of one round."""

    def trouble(now: int, message: Message) -> Message | None:
        return change(message) if isinstance(message, ClientUpdate) and now == number else message

    return trouble


def at_ready(number: int, change: Callable[[rounds.Ready], Message | None]) -> Trouble:
    """Trouble once a round is paid and trained."""

    def trouble(now: int, message: Message) -> Message | None:
        return change(message) if isinstance(message, rounds.Ready) and now == number else message

    return trouble


def with_values(said: ClientUpdate, values: list[float]) -> ClientUpdate:
    table = pa.table([pa.array(values, pa.float32())], schema=VALUES)
    return msgspec.structs.replace(said, table=table)


def not_a_number(said: ClientUpdate) -> ClientUpdate:
    return with_values(said, [float("nan")] * said.table.num_rows)


def too_short(said: ClientUpdate) -> ClientUpdate:
    return with_values(said, [0.0])


def of_another_round(said: ClientUpdate) -> ClientUpdate:
    return msgspec.structs.replace(said, name="round 99")


def garbage(said: ClientUpdate) -> Message:
    return Kept(numbers=(1, 2, 3))


def silent(message: Message) -> None:
    return None


def dies(message: Message) -> Message:
    raise RuntimeError("the value 1234 is in here")


class Blocked:
    """Blocks its role, as heavy work or a dead disk would, until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def __call__(self, message: Message) -> Message:
        self.let_go.wait(60)
        return message

"""What plans need of a federation, and who of it holds a key or coordinates where nobody is named: the first party that
could and whose policy has the operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..display.titles import Titles
from ..errors import InvalidArgument, Refused, UnknownName
from ..protocol.control import Description, Quoted
from ..protocol.operation import Request
from .progress import Live
from .results import Answers


class Runner(Protocol):
    """What a plan needs of a federation."""

    caller: str
    purpose: str

    @property
    def parties(self) -> tuple[str, ...]: ...

    @property
    def titles(self) -> Titles:
        """What the parties call themselves."""

    def describe(self) -> Mapping[str, Description]:
        """What each party that can be reached says of itself."""

    def quote(self, requests: Sequence[Request]) -> dict[str, Quoted | Refused]:
        """Ask every party of the requests whether it would allow them all; reserves nothing."""

    def execute(self, live: Live) -> Answers:
        """Run its request to its end, or until it is cancelled; returns each party's answer, and fills `live`."""


def willing(runner: Runner, candidates: Sequence[str], operation: str) -> str:
    """The first of them whose owner allows the operation, as far as it can be reached; the first where none does, whose
    refusal says why."""
    if len(candidates) > 1:
        described = runner.describe()
        for party in candidates:
            if party in described and operation in described[party].operations:
                return party
    return candidates[0]


def pick_key_holder(runner: Runner, contributors: tuple[str, ...], wanted: str | None, operation: str) -> str:
    """The named party, or the first of the federation that contributes nothing and allows the operation."""
    free = [party for party in runner.parties if party not in contributors]
    if wanted is None:
        if not free:
            raise InvalidArgument(
                f"all parties contribute ({', '.join(contributors)}): nobody is left to hold the key",
                hint="add a party without this table, such as ps.embedded(..., notary={}), or leave one table out",
            )
        return willing(runner, free, operation)
    if wanted in contributors:
        raise InvalidArgument(
            f"{wanted} contributes and cannot hold the key: it would decrypt the others' values",
            hint=f"choose one that contributes nothing: {', '.join(free) or 'none yet'}",
        )
    if wanted not in free:
        raise UnknownName.among("party", wanted, runner.parties)
    return wanted

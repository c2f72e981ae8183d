"""The key-holder topology of an encrypted sum: contributors, the aggregator last of them, and a key holder that brings
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from ...errors import InvalidArgument
from ...governance.learns import (
    Caller,
    CiphertextsOnly,
    Coalition,
    Eavesdropper,
    EveryContribution,
    Knowledge,
    Learns,
    Parties,
)
from ...protocol.operation import Operation, Request

P = TypeVar("P", bound=msgspec.Struct)


def check_key_holder(request: Request) -> None:
    """Raise InvalidArgument unless a request has contributors with a table each and then a key holder without."""
    contributors, holder = request.parties[:-1], request.parties[-1:]
    if not contributors or set(request.operands) != set(contributors) or holder[0] in request.operands:
        raise InvalidArgument(f"{request.operation} takes contributors with a table each and a key holder without")


class KeyHolderSum(Operation[P]):
    """An operation whose answer is a sum that the key holder decrypts for the caller."""

    @property
    def key_holder(self) -> str:
        return self.request.parties[-1]

    def check(self) -> None:
        check_key_holder(self.request)

    def contributors(self) -> tuple[str, ...]:
        return self.request.parties[:-1]

    def recipients(self) -> tuple[str, ...]:
        return (self.key_holder, self.request.caller)

    def learned(
        self, holder: Sequence[Knowledge], caller: Sequence[Knowledge], eavesdropper: Knowledge
    ) -> tuple[Learns, ...]:
        """Who learns what, where these are what the key holder, the caller and an eavesdropper learn."""
        return (
            Learns.of(Parties((self.key_holder,)), *holder),
            Learns.of(Caller(self.request.caller), *caller),
            Learns.of(Parties(self.contributors()), self.seen_by_contributors()),
            Learns.of(Eavesdropper(), eavesdropper),
            self.coalition(),
        )

    def seen_by_contributors(self) -> Knowledge:
        """What a contributor receives."""
        return CiphertextsOnly()

    def coalition(self) -> Learns:
        """What parties learn who put together what they hold."""
        members = Coalition((self.contributors()[-1], self.key_holder))
        return Learns.of(members, EveryContribution(contribution="totals"))

"""The shape of an encrypted sum: contributors, the aggregator last of them, and a key holder that brings nothing."""

from __future__ import annotations

from ...errors import InvalidArgument
from ...governance.policy import Learns
from ...protocol.operation import Request


def check_star(request: Request) -> None:
    """Raise InvalidArgument unless a request has contributors with a table each and then a key holder without."""
    contributors, holder = request.parties[:-1], request.parties[-1:]
    if not contributors or set(request.operands) != set(contributors) or holder[0] in request.operands:
        raise InvalidArgument(f"{request.operation} takes contributors with a table each and a key holder without")


def star_contributors(request: Request, parameters: object) -> tuple[str, ...]:
    return request.parties[:-1]


def star_recipients(request: Request, parameters: object) -> tuple[str, ...]:
    return (request.parties[-1], request.caller)


def star_learns(request: Request, holder: str, caller: str, onlooker: str) -> tuple[Learns, ...]:
    """Who learns what, where these are what the key holder, the caller and an onlooker learn."""
    contributors, key_holder = request.parties[:-1], request.parties[-1]
    return (
        Learns(who=key_holder, what=holder),
        Learns(who=request.caller, what=caller),
        Learns(who=", ".join(contributors), what="nothing; ciphertexts they cannot open"),
        Learns(who="onlooker", what=onlooker),
        Learns(
            who=f"{contributors[-1]} and {key_holder} together",
            what="every party's total: the collusion threshold is 1",
        ),
    )

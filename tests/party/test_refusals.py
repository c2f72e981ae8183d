"""What a refused or a large request leaves in the audit: bounded, so that no member fills the owner's disk for free."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import pytest
from claims import Cases
from house import House, prepare

from privsdk.client.tables import new_request
from privsdk.errors import DataError, IdentityRefused, Refused
from privsdk.party.ledger.requests import KEPT_BYTES, cut, summary
from privsdk.party.runs import Inputs
from privsdk.protocol import control
from privsdk.protocol.operation import Operand, Request

HUGE = 1 << 20
CLAIM = pytest.mark.claim("audit: requests that cost nothing leave at most 32 KiB each, whatever their size")
BOUND = 32 << 10


def rows(house: House) -> list[dict[str, Any]]:
    return [msgspec.json.decode(row.body) for row in house.gates["south"]._books._ledger.snapshot().rows]


def grown(house: House, since: int) -> int:
    return sum(len(row.body) for row in house.gates["south"]._books._ledger.snapshot().rows[since:])


def huge(house: House) -> list[Request]:
    """Requests that are large in each of their parts."""
    plain, text = house.request(), "\x01" * HUGE  # six bytes each in JSON
    many = tuple(str(n) + "\x01" * 1000 for n in range(HUGE // 1000))
    replace = msgspec.structs.replace
    return [
        replace(plain, purpose=text),
        replace(plain, run_id=text),
        replace(plain, parties=("south", *many)),
        replace(plain, parameters={"protocol": text}),
        replace(
            plain,
            operands={"south": Operand(table="t", columns=("id", "x")), "north": Operand(table=text, columns=many)},
        ),
    ]


@CLAIM
def test_a_refused_request(house: House, cases: Cases) -> None:
    for request in huge(house):
        before = len(rows(house))
        with pytest.raises(Refused):
            house.ask(prepare(request), caller="bob")  # in another's name
        (told,) = rows(house)[before:]
        assert grown(house, before) < BOUND
        assert told["request"]["digest"] == request.digest()
        assert told["request"]["bytes"] == len(request.canonical()) > HUGE
        assert (told["event"], told["caller"], told["request"]["operation"]) == ("refused", "bob", "psi.join")
        cases()
    before = len(rows(house))
    with pytest.raises(IdentityRefused):
        house.ask(prepare(msgspec.structs.replace(house.request(), caller="y" * HUGE)))
    assert grown(house, before) < BOUND


@CLAIM
def test_a_reservation_that_is_given_back(house: House, cases: Cases) -> None:
    for letter in "xy":
        request = large_request(house, letter)
        before = len(rows(house))
        house.ask(prepare(request))
        house.ask(control.Release(run_id=request.run_id))
        assert [row["event"] for row in rows(house)[before:]] == ["reserved", "released"]
        assert grown(house, before) < BOUND
        cases()
    assert house.spent() == 0


def large_request(house: House, letter: str = "x") -> Request:
    """One that could be allowed."""
    return new_request(
        house.fed,
        "dp.count",
        parties=("south",),
        operands={"south": Operand(table="t", columns=("id",))},
        parameters={
            "statistic": "count",
            "epsilon": 0.1,
            "by": "id",
            "keys": [letter * 1000 + f"{n}" for n in range(2000)],
        },
    )


@pytest.mark.parametrize("size", [0, KEPT_BYTES])
def test_what_is_paid_for_is_kept_whole(house: House, size: int) -> None:
    """In the reservation, or for a large request where its run starts."""
    request = large_request(house) if size else house.request()
    nonces = {party: house.ask(prepare(request), party=party).nonce for party in request.parties}
    unread = mock.Mock(side_effect=DataError("unreadable"))
    with mock.patch.object(Inputs, "of", unread), pytest.raises(DataError):
        house.ask(house.start(request, nonces))  # after its start, from where it is paid for
    reserved, started = [row for row in rows(house) if row["event"] in ("reserved", "started")]
    whole = started if size else reserved
    assert msgspec.convert(whole["request"], Request) == request
    assert ("request" in started) == bool(size)
    assert reserved["request"]["run_id"] == request.run_id


def test_the_summary_names_what_was_wanted_of_this_party(house: House) -> None:
    request = house.request()
    assert summary(request, "south") == {
        "run_id": request.run_id,
        "operation": "psi.join",
        "purpose": "study",
        "parties": ["north", "south"],
        "digest": request.digest(),
        "bytes": len(request.canonical()),
        "table": "t",
        "columns": ["id"],
    }
    assert "table" not in summary(request, "keeper")
    assert cut("x" * 250) == "x" * 100 + "... (150 more)"

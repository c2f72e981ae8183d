"""Runs of a party: limits, lifetimes, who may start or give back a run and who may open a stream in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from house import House, prepare
from waiting import until

from privsdk.errors import (
    AnswerLost,
    Busy,
    ConnectTimeout,
    IdentityRefused,
    InvalidArgument,
    PeerError,
    PeerFailed,
    PeerGone,
    PrivsdkError,
    ProtocolViolation,
    UnknownName,
)
from privsdk.errors.sessions import SessionEnded
from privsdk.governance.events import RunStarted
from privsdk.governance.policy import NO_KEY_BOUNDS
from privsdk.party.run import PartyRun
from privsdk.protocol import control
from privsdk.protocol.messages import Frame, Message
from privsdk.protocol.operation import Operand, Request
from privsdk.protocol.roles import collect, hear
from privsdk.protocol.timeouts import Limits, Timeouts


@pytest.mark.parametrize("limits", [Limits(runs=2)])
def test_a_party_with_all_places_taken_is_busy_and_charges_nothing(house: House) -> None:
    first, second, third = (house.request() for _ in range(3))
    house.ask(prepare(first))
    house.ask(prepare(second))
    with pytest.raises(Busy, match="south has 2 runs already"):
        house.ask(prepare(third))
    assert house.spent() == 2
    house.ask(control.Release(run_id=first.run_id))
    house.ask(prepare(third))
    assert house.spent() == 2


@pytest.mark.parametrize("limits", [Limits(runs=5)])
def test_callers_who_come_at_once_do_not_pass_the_limit(house: House) -> None:
    def attempt(_: int) -> bool:
        try:
            house.ask(prepare(house.request()))
        except Busy:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(64))) == 5
    assert house.spent() == 5


@pytest.mark.parametrize("timeouts", [Timeouts(prepared_s=3.0)])
def test_what_nobody_starts_in_time_is_given_back(house: House) -> None:
    request = house.request()
    nonce = house.ask(prepare(request)).nonce
    assert house.spent() == 1
    until(lambda: house.spent() == 0)
    with pytest.raises(AnswerLost, match=r"was not charged \(released\)"):
        house.ask(house.start(request, {"north": "n", "south": nonce}))
    with pytest.raises(AnswerLost, match="was released before"):
        house.ask(prepare(request))
    assert house.spent() == 0


def test_only_its_caller_gives_a_reservation_back_or_starts_it(house: House) -> None:
    request = house.request()
    nonce = house.ask(prepare(request)).nonce
    house.ask(control.Release(run_id=request.run_id), caller="bob")
    assert house.spent() == 1
    with pytest.raises(UnknownName, match=r"south has no run .* of bob"):
        house.ask(house.start(request, {"north": "n", "south": nonce}), caller="bob")
    house.ask(control.Release(run_id=request.run_id))
    assert house.spent() == 0


@pytest.mark.parametrize(
    "nonces", [{}, {"south": "mine"}, {"north": "n", "south": "other"}, {"north": "n", "east": "e"}]
)
def test_nonces_that_do_not_fit_start_nothing_and_cost_nothing(house: House, nonces: dict[str, str]) -> None:
    request = house.request()
    nonce = house.ask(prepare(request)).nonce
    given = {party: nonce if value == "mine" else value for party, value in nonces.items()}
    with pytest.raises(ProtocolViolation, match="the nonces are not those"):
        house.ask(house.start(request, given))
    assert house.spent() == 0


@pytest.mark.parametrize("timeouts", [Timeouts(connect_s=0.05)])
def test_a_peer_that_never_comes_is_gone_and_the_charge_stands(house: House) -> None:
    request = house.request()
    nonce = house.ask(prepare(request)).nonce
    with pytest.raises(ConnectTimeout, match=r"north did not connect within 0\.05 s") as late:
        house.ask(house.start(request, {"north": "n", "south": nonce}))
    assert (late.value.party, late.value.phase) == ("south", "connecting")
    assert house.spent() == 1


def test_a_run_id_belongs_to_one_request_and_never_runs_again(house: House) -> None:
    request = house.request()
    house.ask(prepare(request))
    with pytest.raises(AnswerLost, match="was charged and reserved before"):
        house.ask(prepare(request))
    changed = msgspec.structs.replace(request, purpose="another")
    with pytest.raises(InvalidArgument, match="was used for another request"):
        house.ask(prepare(changed))
    assert house.spent() == 1


def test_a_caller_asks_in_its_own_name_only(house: House) -> None:
    with pytest.raises(IdentityRefused, match="bob sent a request in the name of ann"):
        house.ask(prepare(house.request()), caller="bob")
    assert house.spent() == 0


class Probe(Message, frozen=True, kw_only=True, tag="test.Probe"):
    """What nobody sends."""


class DeadChannel:
    """A channel on which nothing comes."""

    closed = heard = False

    def __init__(self, error: PeerError | None = None) -> None:
        self._error = error or PeerGone("nothing comes")

    def send(self, frame: Frame) -> None: ...

    def listen(self) -> None:
        self.heard = True

    def receive(self, timeout_s: float) -> Frame:
        raise self._error

    def interrupt(self, error: PrivsdkError) -> None: ...

    def close(self) -> None:
        self.closed = True


def run_at(party: str, timeouts: Timeouts) -> PartyRun:
    operands = {p: Operand(table="t", columns=("id",)) for p in ("north", "south", "east")}
    request = Request(
        run_id="r", operation="o", caller="ann", purpose="p", parties=tuple(operands), operands=operands, parameters={}
    )
    operation: Any = SimpleNamespace(request=request)
    made = PartyRun(party, operation, 0, NO_KEY_BOUNDS, timeouts)
    made.begin({"north": made.nonce, "south": made.nonce, "east": made.nonce})
    return made


def no_dial(peer: str, hello: control.Hello) -> DeadChannel:
    raise AssertionError(f"{peer} is to dial")


@pytest.mark.parametrize("peer", ["south", "east", "stranger"])
def test_only_earlier_parties_of_the_run_open_streams(peer: str) -> None:
    here = run_at("south", Timeouts())
    with pytest.raises(ProtocolViolation, match=f"{peer} is not to open a stream to south"):
        here.arrive(peer, control.Hello(run_id="r", session=here.session), DeadChannel())


def test_a_second_stream_of_one_peer_is_refused() -> None:
    here = run_at("south", Timeouts())
    hello = control.Hello(run_id="r", session=here.session)
    here.arrive("north", hello, DeadChannel())
    with pytest.raises(ProtocolViolation, match="north opened a second stream"):
        here.arrive("north", hello, DeadChannel())


def test_a_stream_of_another_session_is_refused_and_closed() -> None:
    here, channel = run_at("south", Timeouts()), DeadChannel()
    here.arrive("north", control.Hello(run_id="r", session="0" * 64), channel)
    with pytest.raises(ProtocolViolation, match="north approved another request or session"):
        here.conversation("north", no_dial)
    here.move(RunStarted)
    here.end(None, lambda peer, hello: pytest.fail("nobody is waited for"))
    assert channel.closed


def test_whom_a_run_lost_is_known() -> None:
    failed, cancelled = (PeerFailed(SessionEnded(peer="south", code=code)) for code in ("peer.gone.read", "cancelled"))
    for error, lost in ((failed, ("east", "south")), (cancelled, ("east",))):
        channels = {"south": DeadChannel(error), "east": DeadChannel()}
        here = run_at("north", Timeouts())
        here.drive(collect(("south", "east"), Probe), lambda peer, hello, to=channels: to[peer])
        assert here.lost == lost
    here = run_at("north", Timeouts())
    with pytest.raises(PeerGone):
        here.drive(hear("south", Probe), lambda peer, hello: DeadChannel())
    assert here.lost == ("south",)


def test_two_runs_of_one_request_have_different_sessions() -> None:
    first, second = run_at("south", Timeouts()), run_at("south", Timeouts())
    assert first.digest == second.digest
    assert first.session != second.session


def test_a_stream_for_a_run_that_is_not_there(house: House) -> None:
    with pytest.raises(UnknownName, match="south has no run nothing that north could join"):
        house.gates["south"].accept("north", control.Hello(run_id="nothing", session=""), DeadChannel())

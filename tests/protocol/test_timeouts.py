"""Timeouts and limits: readable from party.toml, passed down, and told apart when they pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from claims import Cases

from privsdk.deploy.config import FederationConfig, PartyConfig, read_config
from privsdk.errors import (
    ConnectTimeout,
    InvalidArgument,
    PeerGone,
    PrivsdkError,
    ReadTimeout,
    StepTimeout,
)
from privsdk.errors.record import ErrorRecord
from privsdk.protocol.conversation import Conversation, Inbox
from privsdk.protocol.messages import Binding, Message
from privsdk.protocol.roles import drive, hear
from privsdk.protocol.timeouts import CallerTimeouts, Limits, Timeouts
from privsdk.transport.local import LocalChannel

PARTY = """
name = "north"
listen = "grpc+tls://0.0.0.0:4711"
ledger = "north.sqlite"
federation = "federation.toml"
tls = { authority = "ca.pem", certificate = "north.pem", key = "north.key" }
"""
FEDERATION = """
[parties]
north = "grpc+tls://localhost:4711"
[analyst]
purpose = "p"
authority = "ca.pem"
certificate = "a.pem"
key = "a.key"
"""


class Word(Message, frozen=True, kw_only=True, tag="test.Word"):
    value: str


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "a.toml").write_text(text)
        return tmp_path / "a.toml"

    return write


def test_the_defaults_stay(config: Callable[[str], Path]) -> None:
    read = read_config(config(PARTY), PartyConfig)
    assert msgspec.structs.astuple(read.timeouts) == (60.0, 30.0, 600.0, math.inf, 40.0, 20.0)
    assert msgspec.structs.astuple(read.limits) == (64, 1000, 28800.0, 32, 128, 1024, 10.0)
    analyst = read_config(config(FEDERATION), FederationConfig).analyst
    assert analyst is not None
    assert analyst.timeouts == CallerTimeouts(call_s=30.0, stragglers_s=5.0, keepalive_s=40.0)


def test_they_are_read(config: Callable[[str], Path]) -> None:
    read = read_config(config(f"{PARTY}\n[timeouts]\nread_s = 5\nstep_s = inf\n[limits]\nruns = 3"), PartyConfig)
    assert (read.timeouts, read.limits) == (Timeouts(read_s=5), Limits(runs=3))
    analyst = read_config(config(f"{FEDERATION}timeouts = {{ call_s = 2 }}"), FederationConfig).analyst
    assert analyst is not None
    assert analyst.timeouts.call_s == 2


@pytest.mark.parametrize(
    ("more", "said", "hint"),
    [
        ("[timeouts]\nconect_s = 3", r"unknown field `conect_s` - at `\$.timeouts`", "did you mean 'connect_s'?"),
        ("[limits]\nalignments = 3", "unknown field `alignments`", "known: runs, joint_tables, joint_table_s"),
        ("timeout = 3", "unknown field `timeout`", "did you mean 'timeouts'?"),
        ("[tables.sales]\npaht = 'x'", "unknown field `paht`", "did you mean 'path'?"),
        ("[[policy.grants]]\ntable = 'x'\ncolumn = {}", "unknown field `column`", "did you mean 'columns'?"),
        ("[budgets.x]\nlimits = [{ analist = 'x' }]", "unknown field `analist`", "did you mean 'analyst'?"),
        ("[timeouts]\nread_s = 0", "the timeout read_s is 0", "above 0"),
        ("[limits]\nruns = -1", "the limit runs is -1", "above 0"),
        ("[timeouts]\nstep_s = nan", "the timeout step_s is nan", "above 0"),
        ("[timeouts]\nkeepalive_s = 0.5", "the timeout keepalive_s is 0.5", "1 at least"),
        ("[timeouts]\nkeepalive_s = inf", "the timeout keepalive_s is inf", "a finite number"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_nearest_match(
    config: Callable[[str], Path], more: str, said: str, hint: str
) -> None:
    with pytest.raises(InvalidArgument, match=said) as refused:
        read_config(config(f"{PARTY}\n{more}"), PartyConfig)
    assert hint in str(refused.value)


def talk(timeout_s: float) -> tuple[Conversation, Conversation]:
    a, b = Inbox("b"), Inbox("a")
    bound = {name: Binding(session="s", request="r", sender=name) for name in "ab"}
    here = Conversation(LocalChannel(a, b, "a"), bound["a"], bound["b"], timeout_s=timeout_s)
    return here, Conversation(LocalChannel(b, a, "b"), bound["b"], bound["a"], timeout_s=5)


@pytest.mark.claim(
    "a peer that is late is told apart: it did not connect, nothing came from it, or a step took too long"
)
@pytest.mark.parametrize(
    ("read_s", "step_s", "kind", "said"),
    [
        (0.05, math.inf, ReadTimeout, r"nothing came from b for 0\.05 s"),
        (5.0, 0.05, StepTimeout, r"no message came from b within the 0\.05 s of the step"),
    ],
)
def test_read_and_step(read_s: float, step_s: float, kind: type[PeerGone], said: str, cases: Cases) -> None:
    here, _ = talk(read_s)
    with pytest.raises(kind, match=said):
        drive(hear("b", Word), lambda _: here, lambda _: None, step_s)
    cases()


@pytest.mark.parametrize("kind", [ConnectTimeout, ReadTimeout, StepTimeout])
def test_each_is_a_lost_peer_on_the_wire_too(kind: type[PeerGone]) -> None:
    error = PrivsdkError.from_record(kind("x", phase="blinding").at(party="north").to_record())
    assert type(error) is kind
    assert isinstance(error, PeerGone)
    assert str(error) == f"north: x\n  [{kind.code}, phase blinding]"


def test_a_kind_of_a_later_version_is_of_the_kind_above_it() -> None:
    for code, kind in (("peer.gone.write", PeerGone), ("peer.gone", PeerGone), ("else", PrivsdkError)):
        assert type(PrivsdkError.from_record(ErrorRecord(code=code, message="x"))) is kind

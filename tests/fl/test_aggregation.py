"""Aggregation modes: a new one is one class, and one that nobody registered is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import msgspec
import numpy as np
import pytest
from troubled import CLIENTS, LEADER, MODEL, embedded, plan

from privsdk import fl
from privsdk.crypto.sums.base import PlainSum, Sum
from privsdk.errors import InvalidArgument, PrivsdkError, UnknownName
from privsdk.fl.aggregation import MODES, AggregationMode, Participants, mode_named, register
from privsdk.fl.operation import EachUpdate
from privsdk.fl.parameters import Aggregation
from privsdk.governance.learns import Coalition, Learns
from privsdk.protocol.operation import RoleInput, operation_named


class TrustedMode(AggregationMode):
    """A mode as somebody else would add one: a sum that a trusted coordinator takes, of three clients or more."""

    name = "trusted"

    def sum(self, given: RoleInput, participants: Participants, *, within_s: float) -> Sum:
        return PlainSum(coordinator=participants.coordinator, within_s=within_s)

    def check(self, participants: Participants, sums: Sequence[tuple[int, int]]) -> None:
        if len(participants.clients) < 3:
            raise InvalidArgument("too few to trust anybody", hint="use more clients")

    def keys(self, coordinator: str) -> str:
        return f"{coordinator} is trusted"

    def coalition(self, participants: Participants, *, noisy: bool) -> Learns:
        return Learns.of(Coalition((participants.coordinator,)), EachUpdate())


@pytest.fixture
def trusted() -> Iterator[None]:
    register(TrustedMode)
    try:
        yield
    finally:
        del MODES["trusted"]


def test_the_signature_names_the_modes_that_there_are() -> None:
    assert set(get_args(Aggregation)) == set(MODES)
    assert all(mode.name == name for name, mode in MODES.items())


@pytest.mark.usefixtures("trusted")
def test_a_mode_is_one_class_that_is_registered() -> None:
    with embedded() as fed:
        planned = plan(fed, aggregation="trusted")
        assert ("keys", f"{LEADER} is trusted") in planned.notes
        assert Coalition((LEADER,)) in [each.who for each in planned.learns]
        weights = planned.release().value.weights
        masked = plan(fed, aggregation="masked").release().value.weights
        assert np.array_equal(weights, masked)
        with pytest.raises(InvalidArgument, match="too few to trust"):
            fl.fit(MODEL, [fed[name]["t"] for name in CLIENTS[:2]], label="y", aggregation="trusted").preview()  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="cannot go with trusted updates"):
            plan(fed, aggregation="trusted", strategy=fl.Median())


@pytest.mark.usefixtures("trusted")
def test_a_name_stands_for_one_mode() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        register(TrustedMode)


def test_a_mode_that_forgets_what_it_lets_out_is_not_registered() -> None:
    class Forgetful(AggregationMode):
        name = "forgetful"
        sum, keys = TrustedMode.sum, TrustedMode.keys

    with pytest.raises(TypeError, match="coalition"):
        register(Forgetful)
    assert "forgetful" not in MODES


@pytest.mark.parametrize("name", ["trusted", "", "Masked", None, ["masked"]])
def test_a_mode_that_is_not_registered_is_refused(name: object) -> None:
    with pytest.raises(UnknownName, match="no aggregation named"):
        mode_named(name)  # type: ignore[arg-type]
    with embedded() as fed:
        with pytest.raises(UnknownName, match="no aggregation named"):
            plan(fed, aggregation=name)
        planned = plan(fed)
        changed = msgspec.structs.replace(
            planned.request, parameters=planned.request.parameters | {"aggregation": name}
        )
        with pytest.raises(PrivsdkError, match=r"no aggregation named|Expected `str`"):
            operation_named("fl.fit").parse(changed)

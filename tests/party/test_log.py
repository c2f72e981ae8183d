"""What a caller can read of a party's audit: its own requests, all of them, and nobody else's."""

from __future__ import annotations

import pytest
from people import north

import privsdk as ps
from privsdk import dp
from privsdk.errors import PolicyRefused, PrivsdkError
from privsdk.protocol import control


def test_own_requests_are_told_latest_first(fed: ps.Federation) -> None:
    asked = dp.count(north(fed), epsilon=0.1)
    asked.release()
    with pytest.raises(PolicyRefused):
        dp.count(north(fed), epsilon=2.0).release()
    log = fed.audit_log()
    refused, finished, started, reserved = log["north"].rows
    assert [row.event for row in log["north"].rows] == ["refused", "finished", "started", "reserved"]
    assert {row.run for row in (finished, started, reserved)} == {asked.request.run_id}
    assert {row.operation for row in log["north"].rows} == {asked.request.operation}
    assert "epsilon" in refused.why
    assert reserved.tables == ("people",)
    assert log["north"].head == fed["north"]._description.head
    assert log["south"].rows == ()
    table = log.to_arrow()
    assert table.num_rows == 4
    assert table["party"].to_pylist() == ["north"] * 4
    assert asked.request.run_id in repr(log)


def test_only_so_many_and_no_one_elses(fed: ps.Federation) -> None:
    for _ in range(3):
        dp.count(north(fed), epsilon=0.01).release()
    (endpoint,) = (fed._link._endpoints["north"],)  # type: ignore[attr-defined]
    mine = endpoint.handle(fed.caller, control.ReadAudit(most=4)).rows
    assert [row.event for row in mine] == ["finished", "started", "reserved", "finished"]
    assert len(endpoint.handle(fed.caller, control.ReadAudit(most=1000)).rows) == 9
    assert endpoint.handle("another", control.ReadAudit()).rows == ()


@pytest.mark.parametrize("most", [0, 1001])
def test_a_bounded_number_of_rows(fed: ps.Federation, most: int) -> None:
    with pytest.raises(PrivsdkError, match="audit rows"):
        fed.audit_log(most=most)

"""What a join leaves at a party: who may use it, for how long, and StaleJoin for everything else."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec
import pytest
from house import House, prepare

from privsdk.errors import StaleJoin
from privsdk.protocol.operation import Request
from privsdk.protocol.timeouts import Limits
from privsdk.psi.joint import Joint


def use(house: House, joint: Joint, **changes: Any) -> Request:
    """A count over south's matched rows, with changes to the request or its operand."""
    request = joint["south"].count().request
    operand = request.operands["south"]
    for field in ("table", "alignment"):
        if field in changes:
            operand = msgspec.structs.replace(operand, **{field: changes.pop(field)})
    return msgspec.structs.replace(request, operands={"south": operand}, **changes)


def refusal(house: House, request: Request, caller: str = "ann") -> str:
    before = house.spent(), house.spent("u")
    with pytest.raises(StaleJoin) as stale:
        house.ask(prepare(request), caller=caller)
    assert (house.spent(), house.spent("u")) == before
    assert "psi.join (a new charge)" in stale.value.hint
    return stale.value.message


def test_a_joint_table_serves_its_caller_purpose_and_table_only(house: House) -> None:
    joint = house.join()
    house.ask(prepare(use(house, joint)))
    other = "belongs to another caller, purpose or table"
    assert other in refusal(house, use(house, joint, caller="bob"), caller="bob")
    assert other in refusal(house, use(house, joint, purpose="marketing"))
    assert other in refusal(house, use(house, joint, table="u"))
    assert "no longer has this joint table" in refusal(house, use(house, joint, alignment="0" * 32))


def test_a_joint_table_ends_when_its_table_changes(house: House) -> None:
    joint = house.join()
    started = use(house, joint)
    nonce = house.ask(prepare(started)).nonce
    touched = house.files["south"].stat().st_mtime_ns + 1_000_000
    os.utime(house.files["south"], ns=(touched, touched))
    assert "south/t has changed since the join" in refusal(house, use(house, joint, run_id="later"))
    with pytest.raises(StaleJoin):  # prepared before the change, read after it
        house.ask(house.start(started, {"south": nonce}))
    assert house.spent() == 2  # the join and the started run


@pytest.mark.parametrize("limits", [Limits(joint_table_s=0.2)])
def test_a_joint_table_expires(house: House) -> None:
    joint = house.join()
    time.sleep(0.25)
    assert "for as long as its owner allows, and no longer" in refusal(house, use(house, joint))


@pytest.mark.parametrize("limits", [Limits(joint_tables=1)])
def test_the_oldest_joint_table_gives_way(house: House) -> None:
    first, second = house.join(), house.join()
    assert "no longer has this joint table" in refusal(house, use(house, first))
    assert second["south"].count().release().value["count"].to_pylist() == [30]

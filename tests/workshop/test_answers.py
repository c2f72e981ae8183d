"""Operations of a single party: no message to other parties, and an answer that is what Learns says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from claims import Cases

from privsdk.protocol.control import Finished, encode_reply
from privsdk.protocol.operation import Operand, Outcome, Request, RoleInput, operation_named
from privsdk.protocol.roles import Role, tell
from privsdk.protocol.services import UNGUARDED
from privsdk.testing import Numbers, SeededEntropy, Sent, together

CLAIM = pytest.mark.claim("transcripts: dp and aggregate send nothing to parties and answer what Learns says")
RELEASE = {"epsilon": 1.0, "by": "group", "keys": ["a", "b"]}
BOUNDED = RELEASE | {"column": "value", "bounds": [0.0, 100.0]}
BINNED = RELEASE | {"column": "value", "edges": [0.0, 50.0, 100.0]}
PARAMETERS: dict[str, dict[str, Any]] = {
    "dp.count": RELEASE | {"statistic": "count"},
    "dp.sum": BOUNDED | {"statistic": "sum"},
    "dp.mean": BOUNDED | {"statistic": "mean"},
    "dp.variance": BOUNDED | {"statistic": "variance"},
    "dp.histogram": BINNED | {"statistic": "histogram"},
    "dp.quantile": BINNED | {"statistic": "quantile", "quantile": 0.5},
    "aggregate": {
        "statistic": "mean",
        "party": "north",
        "column": "value",
        "by": {"party": "north", "column": "group"},
        "where": [],
    },
}
COLUMNS = {
    "dp.count": ["count"],  # noisy integers, in the order of the public keys
    "dp.sum": ["sum"],
    "dp.mean": ["count", "sum"],
    "dp.variance": ["count", "sum", "squares"],
    "dp.histogram": ["count"],
    "dp.quantile": ["count"],
    "aggregate": ["group", "count", "mean"],
}
Play = Callable[[RoleInput], Role[Outcome]]


def world(seed: int) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Rows and joint keys that differ with the seed, and whose groups have the same counts and means in every world."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 50, 20)
    table = pa.table({"group": ["a"] * 40 + ["b"] * 40, "value": [*values, *(100 - values)] * 2})
    order = rng.permutation(80)
    first = 40 * (seed % 2)  # a row of group a in one world, of b in the other
    order = np.append(first, order[order != first])
    return table.take(order), rng.permutation(80)


def given(operation: str, seed: int) -> RoleInput:
    table, keys = world(seed)
    joint = operation == "aggregate"
    request = Request(
        run_id="r",
        operation=operation,
        caller="analyst",
        purpose="test",
        parties=("north",),
        operands={"north": Operand(table="t", columns=tuple(table.column_names), alignment="x" if joint else "")},
        parameters=PARAMETERS[operation],
    )
    return RoleInput(
        request=request,
        party="north",
        session=b"",
        table=table,
        keys=keys if joint else None,
        min_count=10,
        entropy=SeededEntropy(b""),
        services=UNGUARDED,
    )


def honest(operation: str, mine: RoleInput) -> Role[Outcome]:
    declared = operation_named(operation)
    parameters = msgspec.convert(mine.request.parameters, declared.parameters_type)
    return declared(mine.request, parameters).role(mine)


def check(operation: str, play: Play) -> None:
    """Fail if a message goes to a party, or if the answers of two worlds equal in Learns differ where they may not."""
    answers = []
    for seed in (1, 2):
        transcript: list[Sent] = []
        outcome = together({"north": play(given(operation, seed)), "onlooker": onlooker()}, transcript)["north"]
        assert transcript == [], "a message went to another party"
        assert outcome.value == {}
        assert outcome.keep is None
        assert outcome.table.column_names == COLUMNS[operation]
        answers.append(outcome)
    exact = operation == "aggregate"
    wire = [list(encode_reply("north", Finished(value=a.value, table=a.table))) for a in answers]
    assert [len(frame.chunk) for frame in wire[0]] == [len(frame.chunk) for frame in wire[1]]
    assert [frame.header for frame in wire[0]] == [frame.header for frame in wire[1]]
    assert not exact or wire[0] == wire[1]
    assert answers[0].table.schema.equals(answers[1].table.schema, check_metadata=True)
    assert not exact or answers[0].table["group"].equals(answers[1].table["group"])


def onlooker() -> Role[None]:
    yield from ()


@CLAIM
@pytest.mark.parametrize("operation", PARAMETERS)
def test_answers_hold_what_learns_says(operation: str, cases: Cases) -> None:
    check(operation, functools.partial(honest, operation))
    cases(2)


def tells_a_party(operation: str, mine: RoleInput) -> Role[Outcome]:
    yield from tell("onlooker", Numbers(values=(str(mine.table.num_rows),)))
    return (yield from honest(operation, mine))


def answers_in_row_order(operation: str, mine: RoleInput) -> Role[Outcome]:
    outcome = yield from honest(operation, mine)
    first = mine.table["group"][0].as_py()
    order = [0, 1] if outcome.table["group"][0].as_py() == first else [1, 0]
    return replace(outcome, table=outcome.table.take(order))


def adds_the_largest(operation: str, mine: RoleInput) -> Role[Outcome]:
    outcome = yield from honest(operation, mine)
    largest = max(mine.table["value"].to_pylist())
    table = outcome.table.append_column("max", pa.array([largest] * outcome.table.num_rows))
    return replace(outcome, table=table)


def hides_a_row_in_metadata(operation: str, mine: RoleInput) -> Role[Outcome]:
    outcome = yield from honest(operation, mine)
    return replace(outcome, table=outcome.table.replace_schema_metadata({"x": str(mine.table["value"][0])}))


@CLAIM
@pytest.mark.parametrize("operation", PARAMETERS)
@pytest.mark.parametrize("mutant", [tells_a_party, adds_the_largest, hides_a_row_in_metadata])
def test_every_planted_leak_is_found(
    operation: str, mutant: Callable[[str, RoleInput], Role[Outcome]], cases: Cases
) -> None:
    with pytest.raises(AssertionError):
        check(operation, functools.partial(mutant, operation))
    cases()


@CLAIM
def test_an_answer_in_the_order_of_the_rows_is_found(cases: Cases) -> None:
    with pytest.raises(AssertionError):
        check("aggregate", functools.partial(answers_in_row_order, "aggregate"))
    cases()

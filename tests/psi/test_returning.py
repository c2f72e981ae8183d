"""The difference equals DuckDB's anti join; who is not to learn does not; rows leave under a grant alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import duckdb
import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from harness import assert_same_shape, digest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import privsdk as ps
from privsdk import psi
from privsdk.client.plan import Plan
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import InvalidArgument, PolicyRefused, UnknownName, UsageError
from privsdk.protocol.control import Prepare, Prepared
from privsdk.protocol.operation import Outcome, Request, RoleInput, operation_of
from privsdk.protocol.services import UNGUARDED
from privsdk.testing import SeededEntropy, Sent, together

ANTI = pytest.mark.claim("psi.difference equals DuckDB's anti join: the rows whose keys the other party lacks")
LEARNER = pytest.mark.claim("transcripts: psi.difference tells the other party sizes and nothing else")
GRANTED = pytest.mark.claim("psi.difference returns columns that are granted as row return, and no others")
K = 2  # the least that a grant may ask for


def grant(*returned: str, min_count: int = K, table: str = "*", key: str = "id") -> ps.Grant:
    ways = {key: ("join key",)} | dict.fromkeys(returned, ("row return",))
    if key in returned:
        ways[key] = ("join key", "row return")
    return ps.Grant(table=table, columns=ways, min_count=min_count)


def policy(*grants: ps.Grant) -> ps.Policy:
    return ps.Policy(operations=("psi.difference", "psi.join"), grants=grants)


ALL = policy(grant("id", "x", "y", "name", "real"))


@contextmanager
def opened(mine: pa.Table, yours: pa.Table, rules: Any = ALL, **options: Any) -> Iterator[ps.Federation]:
    parties = {"rail": {"t": mine}, "park": {"t": yours}}
    with ps.embedded(parties, policy=rules, quiet=True, **{"store": None, **options}) as fed:
        yield fed


# equality


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, pa.Table]:
    """Keys of several rows, nulls, NaN; two keys that each party has beside, to reach the minimum count."""
    keys = st.none() | st.integers(0, 9)

    def column(rows: int, values: st.SearchStrategy[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)

    rows = draw(st.integers(0, 14))
    ids = draw(st.lists(keys, min_size=rows, max_size=rows))
    mine = pa.table(
        {
            "id": pa.array([*ids, 100, 101], pa.int64()),
            "x": column(rows + 2, st.none() | st.integers(0, 3), pa.int8()),
            "y": column(rows + 2, st.none() | st.sampled_from(["a", "b"]), pa.string()),
            "real": column(rows + 2, st.none() | st.sampled_from([0.5, float("nan"), 2.0]), pa.float64()),
        }
    )
    return mine, pa.table({"id": pa.array([*draw(st.lists(keys, max_size=14)), 200, 201], pa.int32())})


WHERE: dict[str, tuple[dict[str, Any], str]] = {
    "all": ({}, "TRUE"),
    "equal": ({"x": 1}, "x = 1"),
    "a list": ({"y": ["a", "c"]}, "y IN ('a', 'c')"),
    "a range of the key": ({"id": (2, 7)}, "id BETWEEN 2 AND 7"),
    "an open range of reals": ({"real": (1, None)}, "real >= 1 AND NOT isnan(real)"),
    "two": ({"real": (None, 2), "y": "b"}, "real <= 2 AND NOT isnan(real) AND y = 'b'"),
    "nothing": ({"x": 77}, "x = 77"),
}


def outcome_of(plan: Plan[Any], mine: pa.Table, yours: pa.Table, transcript: list[Sent] | None = None) -> Outcome:
    """The roles of a plan's request with fixed entropy, without gates."""
    found: Outcome = run(plan.request, mine, yours, transcript)["rail"]
    return found


def run(request: Request, mine: pa.Table, yours: pa.Table, transcript: list[Sent] | None = None) -> dict[str, Any]:
    operation = operation_of(request)
    return together(
        {
            party: operation.role(
                RoleInput(
                    request=request,
                    party=party,
                    session=bytes(32),
                    table=table.select(list(request.operands[party].columns)),
                    keys=None,
                    min_count=K,
                    entropy=SeededEntropy(party.encode()),
                    services=UNGUARDED,
                )
            )
            for party, table in (("rail", mine), ("park", yours))
        },
        transcript,
    )


def sortable(rows: list[tuple[Any, ...]]) -> list[str]:
    return sorted(map(repr, rows))  # NaN equals nothing, null sorts nowhere


@ANTI
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(both=tables(), where=st.sampled_from(list(WHERE)), columns=st.sampled_from([["id"], ["x", "id"], ["real", "y"]]))
def test_equals_the_anti_join(
    both: tuple[pa.Table, pa.Table], where: str, columns: list[str], cases: Cases, shared: ps.Federation
) -> None:
    conditions, sql = WHERE[where]
    plan = psi.difference(
        shared["rail"]["t"], shared["park"]["t"], on="id", columns=columns, where=conditions, protocol="ddh"
    )
    outcome = outcome_of(plan, *both)
    with duckdb.connect() as database:
        database.register("mine", both[0])
        database.register("yours", both[1])
        chosen = f"FROM mine WHERE id IS NOT NULL AND {sql} AND id"
        lacking = "NOT IN (SELECT id FROM yours WHERE id >= 0)"
        rows = database.execute(f"SELECT {', '.join(columns)} {chosen} {lacking}")
        expected = sortable(rows.fetchall())
        held = database.execute(f"SELECT count(DISTINCT id) {chosen} IN (SELECT id FROM yours)")  # noqa: S608
        counted = held.fetchone()
    assert counted is not None
    assert outcome.table is not None
    assert outcome.table.column_names == columns
    assert sortable(list(zip(*outcome.table.to_pydict().values(), strict=True))) == expected
    assert outcome.value == {"masked": counted[0] if counted[0] >= K else None, "min_count": K}
    assert outcome.keep is None
    cases()


@pytest.fixture(scope="module")
def shared() -> Iterator[ps.Federation]:
    """For requests alone: its tables have the columns of those that are drawn."""
    empty = pa.schema([("id", pa.int64()), ("x", pa.int8()), ("y", pa.string()), ("real", pa.float64())])
    with opened(empty.empty_table(), empty.empty_table()) as fed:
        yield fed


@ANTI
@pytest.mark.parametrize("protocol", ["auto", "ddh", "kkrt"])
def test_equals_the_anti_join_by_each_protocol(protocol: Literal["auto", "ddh", "kkrt"], cases: Cases) -> None:
    """By gates and a link; a key of two columns, normalised, of which one is returned as it stands."""
    mine = pa.table({"id": [n // 2 for n in range(1_200)], "name": [f"Ann {n % 2} " for n in range(1_200)]})
    yours = pa.table({"id": [n // 3 for n in range(900)], "name": [f"aNN  {n % 3}" for n in range(900)]})
    rules = policy(ps.Grant(table="t", columns={"id": "join key", "name": ("join key", "row return")}))
    key = psi.key("id", "name", normalise=("lower", "spaces"))
    with opened(mine, yours, rules) as fed:
        plan = psi.difference(fed["rail"]["t"], fed["park"]["t"], on=key, columns=["name"], protocol=protocol)
        found = plan.release().value
    assert found.table["name"].to_pylist() == [row["name"] for row in mine.to_pylist() if row["id"] >= 300]
    assert (found.masked, found.min_count) == (600, 10)
    cases()


@ANTI
def test_rows_are_returned_and_keys_counted(cases: Cases) -> None:
    """Three rows of each key: all of a key's rows go or stay, and its masked rows count once."""
    mine = pa.table({"id": [n // 3 for n in range(60)], "x": range(60)})
    with opened(mine, pa.table({"id": [5, 5, 6, 7, 8, 9, 99]})) as fed:
        found = psi.difference(fed["rail"]["t"], fed["park"]["t"], on="id", columns=["x"]).release().value
    assert found.table["x"].to_pylist() == [*range(15), *range(30, 60)]  # in the order of the table
    assert found.masked == 5
    cases()


def test_an_empty_answer_has_its_columns() -> None:
    both = pa.table({"id": range(9), "x": range(9)})
    with opened(both, both) as fed:
        found = psi.difference(fed["rail"]["t"], fed["park"]["t"], on="id", columns=["x"]).release().value
    assert found.table.equals(both.slice(0, 0).select(["x"]))
    assert found.masked == 9


# transcripts: who is not to learn


@LEARNER
@pytest.mark.parametrize("protocol", ["ddh", "kkrt"])
def test_the_other_party_receives_nothing_that_depends_on_what_is_shared(
    protocol: Literal["ddh", "kkrt"], shared: ps.Federation, cases: Cases
) -> None:
    """Messages of the same kinds and lengths whatever the owner holds and filters; and no outcome."""
    yours = table_of(range(40))
    worlds = {"disjoint": range(100, 130), "nested": range(30), "some": range(20, 50)}
    ask = functools.partial(
        psi.difference, shared["rail"]["t"], shared["park"]["t"], on="id", columns=["x"], protocol=protocol
    )
    request = ask().request
    transcripts: dict[str, list[Sent]] = {name: [] for name in worlds}
    for name, numbers in worlds.items():
        outcomes = run(request, table_of(numbers), yours, transcripts[name])
        assert outcomes["park"] == Outcome(value={"min_count": K})
        assert outcomes["rail"].table.num_rows == len(set(numbers) - set(range(40)))
        cases()
    for name in worlds:
        to_park = [sent for sent in transcripts[name] if sent.receiver == "park"]
        assert_same_shape([sent for sent in transcripts["disjoint"] if sent.receiver == "park"], to_park)
        assert_same_shape(transcripts["disjoint"], transcripts[name])
        kinds = [sent.tag for sent in to_park]
        assert not {"psi.kkrt.Matches", "psi.ddh.Doubled"} & set(kinds)
        assert kinds[:2] == ["psi.Terms", "psi.Opening"]
        cases()


def table_of(numbers: Any) -> pa.Table:
    return pa.table({"id": pa.array(numbers, pa.int64()), "x": pa.array([1] * len(numbers), pa.int8())})


@LEARNER
def test_a_filter_is_applied_after_the_protocol(shared: ps.Federation, cases: Cases) -> None:
    """All keys of the owner take part: what is sent does not tell how many rows pass."""
    mine = pa.table({**table_of(range(30)).to_pydict(), "y": ["a"] * 3 + ["b"] * 27})
    digests = set()
    for value in ("a", "b", "c"):
        plan = psi.difference(
            shared["rail"]["t"], shared["park"]["t"], on="id", columns=["y"], where={"y": value}, protocol="ddh"
        )
        transcript: list[Sent] = []
        outcome_of(plan, mine, table_of(range(20, 40)), transcript)
        digests.add(digest(transcript))
        cases()
    assert len(digests) == 1


# policy


MINE = pa.table({"id": range(30), "x": range(30), "y": ["a", "b", "c"] * 10, "name": ["n"] * 30})
YOURS = pa.table({"id": range(15, 60)})


def ask(fed: ps.Federation, **options: Any) -> Plan[Any]:
    return psi.difference(fed["rail"]["t"], fed["park"]["t"], **{"on": "id", "columns": ["x"], **options})


@GRANTED
@pytest.mark.parametrize(
    ("granted", "options", "missing"),
    [
        ((), {}, "t.x"),
        (("y",), {}, "t.x"),
        (("x",), {"where": {"y": "a"}}, "t.y"),
        (("x",), {"columns": ["x", "id"]}, "t.id"),
        (("x",), {"where": {"id": (0, 9)}}, "t.id"),
        (("x", "y"), {"columns": ["x", "y", "name"]}, "t.name"),
    ],
)
def test_each_returned_and_filtered_column_needs_a_grant(
    granted: tuple[str, ...], options: dict[str, Any], missing: str, cases: Cases
) -> None:
    others = ps.Grant(table="*", columns={"x": "aggregate", "y": "group key", "name": "comparison"})
    with opened(MINE, YOURS, policy(grant(*granted), others)) as fed:
        with pytest.raises(PolicyRefused) as refused:
            ask(fed, **options).release()
        assert refused.value.party == "rail"
        assert f"{missing} is not granted as row return" in refused.value.message
        assert refused.value.message.count(" is not granted as ") == 1
        assert "row return" in refused.value.hint
        assert spent(fed) == {"rail": 0, "park": 0}
    cases()


def spent(fed: ps.Federation) -> dict[str, int]:
    return {party: balances[0].exact_spent for party, balances in fed.budgets().items()}


@GRANTED
def test_the_workshop_policy_never_returns_rows(cases: Cases) -> None:
    with opened(MINE, YOURS, WORKSHOP_POLICY) as fed:
        for columns in (["x"], ["id"], ["x", "y"]):
            with pytest.raises(PolicyRefused, match="not granted as row return"):
                ask(fed, columns=columns).release()
            cases()
    widest = [way for way in ps.Disclosure if way is not ps.Disclosure.ROW_RETURN]
    assert not any(ps.Disclosure.ROW_RETURN in way.implied for way in widest)


@GRANTED
def test_the_other_party_grants_its_key_alone_and_the_owner_too(cases: Cases) -> None:
    returning = ps.Grant(table="t", columns={"id": "row return", "x": "row return"})
    counting = ps.Grant(table="t", columns={"id": "cardinality only"})
    for rail, park, refuser in (
        ([grant("x")], [counting], "park"),
        ([returning], [grant()], "rail"),
    ):
        with opened(MINE, YOURS, {"rail": policy(*rail), "park": policy(*park)}) as fed:
            with pytest.raises(PolicyRefused, match=r"t\.id is not granted as join key") as refused:
                ask(fed).release()
            assert refused.value.party == refuser
            cases()


def test_both_are_charged_and_the_owner_for_each_column_too() -> None:
    with opened(MINE, YOURS, budget=ps.Budget(exact=2)) as fed:
        result = ask(fed).release()
        assert spent(fed) == {"rail": 2, "park": 1}
        assert set(result.spent) == {"rail", "park"}
        with pytest.raises(ps.errors.BudgetExceeded):
            ask(fed).release()


def test_a_plan_that_is_released_again_has_the_stored_answer() -> None:
    """The same run id: not another release, and not another charge."""
    with opened(MINE, YOURS) as fed:
        plan = ask(fed, columns=["id", "y"], where={"y": ["a", "b"]})
        first, again = plan.release(), plan.release()
        assert first.value.table.equals(again.value.table)
        assert first.value.masked == again.value.masked == 10
        assert spent(fed) == {"rail": 2, "park": 1}


# the number of masked keys


@pytest.mark.claim("psi.difference tells how many keys were masked from the minimum count up")
@pytest.mark.parametrize(("overlap", "masked"), [(0, None), (1, None), (4, None), (5, 5), (20, 20)])
def test_few_masked_keys_and_none_are_told_alike(overlap: int, masked: int | None, cases: Cases) -> None:
    mine, yours = pa.table({"id": range(20), "x": range(20)}), pa.table({"id": range(20 - overlap, 60)})
    with opened(mine, yours, policy(grant("x", min_count=5))) as fed:
        found = ask(fed).release().value
        assert (found.masked, found.min_count, found.table.num_rows) == (masked, 5, 20 - overlap)
        said = "fewer than 5" if masked is None else str(masked)
        assert str(found) == f"{20 - overlap} rows returned, {said} keys masked"
    cases()


@pytest.mark.claim("psi.difference tells how many keys were masked from the minimum count up")
def test_a_question_about_one_key_does_not_tell_whether_both_have_it(cases: Cases) -> None:
    """A key that neither has, that the other alone has, and that both have: the same answer."""
    with opened(MINE, YOURS) as fed:
        answers = [ask(fed, where={"id": key}).release().value for key in (99, 50, 20)]
    assert [(answer.table.num_rows, answer.masked) for answer in answers] == [(0, None)] * 3
    cases(3)


def test_too_few_keys_at_either_end_are_an_error() -> None:
    with opened(MINE, YOURS.slice(0, 9), policy(grant("x", min_count=10))) as fed:
        with pytest.raises(ps.errors.DataError, match="park brings fewer distinct keys than the 10 that rail asks for"):
            ask(fed).release()
        assert spent(fed) == {"rail": 2, "park": 1}


# what it shows


def test_display_and_learns() -> None:
    with opened(MINE, YOURS) as fed:
        plan = ask(fed, columns=["id", "x"], where={"y": ["a", "b"], "x": (3, None)})
        told = {str(item.who): item.text for item in plan.learns}
        assert "how many distinct keys rail has" in told["park"]
        assert "own keys park has" in told["rail"]
        assert told["analyst"].startswith(
            "id, x of each row of rail where x >= 3 and y in ('a', 'b') whose key park lacks"
        )
        assert "by its absence, that park has it" in told["analyst"]
        assert "such keys can be listed" in str(plan)
        assert "Diffie-Hellman over ristretto255" in str(plan)
        result = plan.release()
        assert str(result.value) == f"{result.value.table.num_rows} rows returned, 10 keys masked"
        for shown in (repr(result.value), repr(result), result._repr_html_()):
            assert "rows returned, 10 keys masked" in shown
        assert "13  13" in repr(result.value)  # a returned row


# what cannot be asked


TEXT = pa.table({**MINE.to_pydict(), "real": pa.array([0.5] * 30)})
UNFIT: dict[str, tuple[Callable[[ps.Federation], Any], type[UsageError], str]] = {
    "no columns": (lambda f: ask(f, columns=[]), InvalidArgument, "no list of names"),
    "a string": (lambda f: ask(f, columns="x"), InvalidArgument, "no list of names"),
    "a number": (lambda f: ask(f, columns=[3]), InvalidArgument, "no list of names"),
    "one twice": (lambda f: ask(f, columns=["x", "x"]), InvalidArgument, "none twice"),
    "an unknown column": (lambda f: ask(f, columns=["xx"]), UnknownName, "'xx' in rail/t"),
    "a column of the other": (lambda f: ask(f, columns=["only"]), UnknownName, "'only' in rail/t"),
    "an unknown condition": (lambda f: ask(f, where={"z": 1}), UnknownName, "'z' in rail/t"),
    "a condition on the other": (lambda f: ask(f, where={"park.id": 1}), UnknownName, "'park.id' in rail/t"),
    "an unknown key": (lambda f: ask(f, on="ide"), UnknownName, "'ide' in rail/t"),
    "one table twice": (
        lambda f: psi.difference(f["rail"]["t"], f["rail"]["t"], on="id", columns=["x"]),
        InvalidArgument,
        "two tables are rail's",
    ),
    "not a table": (
        lambda f: psi.difference(f["rail"]["t"], f["park"], on="id", columns=["x"]),
        InvalidArgument,
        "takes tables, not a Party",
    ),
    "not a table first": (
        lambda f: psi.difference(MINE, f["park"]["t"], on="id", columns=["x"]),  # type: ignore[arg-type]
        InvalidArgument,
        "takes tables, not a Table",
    ),
    "where is text": (lambda f: ask(f, where="x = 1"), InvalidArgument, "where is a str"),
    "where holds null": (lambda f: ask(f, where={"x": None}), InvalidArgument, "NoneType"),
    "multiparty": (lambda f: ask(f, protocol="multiparty"), InvalidArgument, "cannot intersect by 'multiparty'"),
    "a real key": (lambda f: ask(f, on={"rail": "real", "park": "id"}), InvalidArgument, "cannot be a join key"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_asked(case: str) -> None:
    asked, kind, words = UNFIT[case]
    with opened(TEXT, YOURS.append_column("only", YOURS["id"])) as fed:
        with pytest.raises(kind, match=words) as error:
            asked(fed)
        assert error.value.hint
        assert spent(fed) == {"rail": 0, "park": 0}


def test_values_of_another_type_are_an_error_before_the_charge() -> None:
    with opened(TEXT, YOURS) as fed:
        with pytest.raises(InvalidArgument, match="rail's x is int64; its condition gives str"):
            ask(fed, where={"x": "three"}).release()
        assert spent(fed) == {"rail": 0, "park": 0}


HAND_MADE: dict[str, tuple[dict[str, Any], str]] = {
    "more of the owner": ({"rail": ("id", "x", "y")}, "no others"),
    "more of the other": ({"park": ("id", "only")}, "no others"),
    "less": ({"rail": ("id",)}, "no others"),
    "key not first": ({"rail": ("x", "id")}, "no others"),
}


@pytest.mark.parametrize("case", HAND_MADE)
def test_a_party_reads_no_column_that_is_not_named(case: str) -> None:
    """Also where a caller makes the request by hand: before policy, charge and reading."""
    changed, message = HAND_MADE[case]
    with opened(TEXT, YOURS.append_column("only", YOURS["id"])) as fed:
        request = ask(fed).request
        replaced = {p: msgspec.structs.replace(request.operands[p], columns=c) for p, c in changed.items()}
        asked = msgspec.structs.replace(request, operands={**request.operands, **replaced})
        refused_by_both(fed, asked, message)


def refused_by_both(fed: ps.Federation, request: Request, message: str) -> None:
    for party in request.parties:
        with pytest.raises(InvalidArgument, match=message):
            fed._link.call(party, Prepare(request=request), Prepared)
    assert spent(fed) == {"rail": 0, "park": 0}


def test_a_condition_on_the_others_column_is_refused_of_a_hand_made_request() -> None:
    with opened(TEXT, YOURS) as fed:
        request = ask(fed, where={"x": 1}).request
        where = [{**condition, "name": {"party": "park", "column": "x"}} for condition in request.parameters["where"]]
        asked = msgspec.structs.replace(request, parameters={**request.parameters, "where": where})
        refused_by_both(fed, asked, "chosen by their owner's columns alone")

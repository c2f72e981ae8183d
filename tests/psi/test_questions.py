"""What is wrong with a key is said before it costs anything, by the verb and by each party of a hand-made request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from cluster import Cluster

import privsdk as ps
from privsdk import psi
from privsdk.client.tables import Table
from privsdk.errors import BudgetExceeded, DataError, InvalidArgument, PolicyRefused, UnknownName, UsageError
from privsdk.governance.learns import Caller, Coalition, MinimumCounts, Parties
from privsdk.protocol.control import Prepare, Prepared
from privsdk.protocol.operation import Request, operation_of
from privsdk.psi.join import MoreKeysThan, SharedKeysOf
from privsdk.psi.question import KeyNumbers, SharedKeyNumberAbove, SharedKeys

MOST_COUNT = 10
BUDGET = ps.Budget(exact=50)
NAMES = [f"Name {n}" for n in range(30)]
DAYS = pa.array([n * 86_400_000 for n in range(30)], pa.date64())
TABLES = {
    "bank": pa.table(
        {
            "id": range(30),
            "name": NAMES,
            "born": DAYS,
            "tel": [f"+49 {n}" for n in range(30)],
            "real": [n / 2 for n in range(30)],
            "salary": range(30),
            "gone": pa.array([None] * 30, pa.int64()),
            "null": pa.nulls(30),
            "few": [n % 3 for n in range(30)],
        }
    ),
    "shop": pa.table(
        {
            "id": pa.array(range(10, 40), pa.int16()),
            "name": NAMES,
            "born": DAYS,
            "code": pa.array([str(n) for n in range(30)]),
            "tel": [str(n) for n in range(30)],
        }
    ),
    "post": pa.table({"id": range(20, 50), "name": NAMES, "born": DAYS}),
}
GRANTS = (ps.Grant(table="t", columns={"*": "join key"}, min_count=MOST_COUNT),)
POLICY = ps.Policy(operations=("psi.join", "psi.cardinality", "psi.difference"), grants=GRANTS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    tables = {
        party: {"t": table.drop_columns(["null"]) if party == "bank" else table} for party, table in TABLES.items()
    }
    with Cluster(tmp_path_factory.mktemp("questions"), tables, policy=POLICY, budget=BUDGET) as running:
        yield running


def embedded(**options: Any) -> ps.Federation:
    tables = {party: {"t": table} for party, table in TABLES.items()}
    return ps.embedded(tables, **{"store": None, "policy": POLICY, "budget": BUDGET, "quiet": True, **options})


@pytest.fixture(params=["embedded", "flight"])
def fed(request: pytest.FixtureRequest) -> Iterator[ps.Federation]:
    over = request.param == "flight"
    with ps.connect(request.getfixturevalue("cluster").federation) if over else embedded() as opened:
        yield opened


@pytest.fixture
def local() -> Iterator[ps.Federation]:
    with embedded() as opened:
        yield opened


def t(fed: ps.Federation, *parties: str) -> list[Table]:
    return [fed[party]["t"] for party in parties or ("bank", "shop")]


def spent(fed: ps.Federation) -> dict[str, int]:
    return {party: balances[0].exact_spent for party, balances in fed.budgets().items()}


def charged(fed: ps.Federation, before: dict[str, int]) -> dict[str, int]:
    return {party: now - before[party] for party, now in spent(fed).items() if now != before[party]}


# by the verb: nothing is sent

WRONG: dict[str, tuple[Callable[[ps.Federation], Any], type[UsageError], str]] = {
    "no such column": (lambda f: psi.join(*t(f), on="idd"), UnknownName, "'idd' in bank/t"),
    "none at the second": (
        lambda f: psi.join(*t(f), on={"bank": "id", "shop": "salary"}),
        UnknownName,
        "'salary' in shop/t",
    ),
    "none in a key of two": (lambda f: psi.join(*t(f), on=psi.key("id", "salary")), UnknownName, "'salary' in shop/t"),
    "nothing": (lambda f: psi.join(*t(f), on=()), InvalidArgument, "on names no key column"),
    "one for two": (
        lambda f: psi.join(*t(f), on={"bank": "id"}),
        InvalidArgument,
        "keys of bank for the tables of bank, shop",
    ),
    "one of another": (
        lambda f: psi.join(*t(f), on={"bank": "id", "tax": "id"}),
        InvalidArgument,
        "keys of bank, tax for",
    ),
    "keys in a list": (
        lambda f: psi.join(*t(f), on=[psi.key("id"), "id"]),
        InvalidArgument,
        "on mixes columns and keys",
    ),
    "numbers": (lambda f: psi.join(*t(f), on=(1, 2)), InvalidArgument, "on names no key column"),  # type: ignore[arg-type]
    "text and numbers": (
        lambda f: psi.join(*t(f), on={"bank": "id", "shop": "name"}),
        InvalidArgument,
        "integer at bank and string",
    ),
    "a number as text": (
        lambda f: psi.join(*t(f), on={"bank": "id", "shop": "code"}),
        InvalidArgument,
        "integer at bank and string",
    ),
    "reals": (lambda f: psi.join(*t(f), on={"bank": "real", "shop": "id"}), InvalidArgument, "bank/t.real is double"),
    "of type null": (
        lambda f: psi.join(*t(f), on={"bank": "null", "shop": "id"}),
        DataError,
        "bank/t.null holds nothing but nulls",
    ),
    "two columns and one": (
        lambda f: psi.join(*t(f), on={"bank": psi.key("id", "name"), "shop": "id"}),
        InvalidArgument,
        "declared differently",
    ),
    "normalised numbers": (
        lambda f: psi.join(*t(f), on=psi.key("id", normalise="digits")),
        InvalidArgument,
        "digits can only apply to strings",
    ),
    "one table": (lambda f: psi.join(*t(f, "bank"), on="id"), InvalidArgument, "two parties or more, not 1"),
    "no table": (lambda f: psi.join(on="id"), InvalidArgument, "two parties or more, not 0"),
    "one party twice": (
        lambda f: psi.join(*t(f, "bank", "shop", "bank"), on="id"),
        InvalidArgument,
        "two tables are bank",
    ),
    "a party for a table": (lambda f: psi.join(f["bank"], *t(f), on="id"), InvalidArgument, "not a Party"),
    "an unknown protocol": (lambda f: psi.join(*t(f), on="id", protocol="psty"), InvalidArgument, "psty"),  # type: ignore[arg-type]
    "three by two's": (
        lambda f: psi.join(*t(f, *TABLES), on="id", protocol="kkrt"),
        InvalidArgument,
        "3 parties cannot",
    ),
    "two by three's": (
        lambda f: psi.join(*t(f), on="id", protocol="multiparty"),
        InvalidArgument,
        "choose from auto, ddh",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_key_is_said_by_the_verb(local: ps.Federation, case: str) -> None:
    asked, kind, words = WRONG[case]
    with pytest.raises(kind, match=words) as error:
        asked(local)
    assert error.value.hint
    assert spent(local) == dict.fromkeys(TABLES, 0)


@pytest.mark.parametrize("form", ["list", "tuple", "key", "by party"])
def test_columns_in_a_list_are_one_key_as_in_pandas(form: str) -> None:
    here = pa.table({"x": [n % 10 for n in range(100)], "y": [n // 10 for n in range(100)]})
    there = pa.table({"x": [n % 10 for n in range(60)], "y": [n // 10 for n in range(60)]})
    forms: dict[str, Any] = {
        "list": ["x", "y"],
        "tuple": ("x", "y"),
        "key": psi.key("x", "y"),
        "by party": {"bank": ["x", "y"], "shop": psi.key("x", "y")},
    }
    with ps.embedded(bank=here, shop=there, store=None, quiet=True) as fed:
        joining = psi.join(fed["bank"]["table"], fed["shop"]["table"], on=forms[form])
        due = here.to_pandas().merge(there.to_pandas(), on=["x", "y"])
        assert joining.release().value.size == len(due) == 60


def test_declarations_that_differ_are_shown_without_data(local: ps.Federation) -> None:
    keys = {
        "bank": psi.key("name", "born", normalise=("nfc", "lower")),
        "shop": psi.key("name", "born", normalise="nfc"),
    }
    for verb in (psi.join, psi.cardinality):
        with pytest.raises(InvalidArgument) as error:
            verb(*t(local), on=keys)
        first, bank, shop = error.value.message.split("\n")
        assert bank.split(maxsplit=1) == ["bank", "string (nfc, lower) + date"]
        assert shop.split(maxsplit=1) == ["shop", "string (nfc) + date"]
        assert "Name" not in first
        assert error.value.hint == "declare the same normalise for all parties"


def test_widths_of_numbers_are_no_difference(fed: ps.Federation) -> None:
    assert psi.join(*t(fed), on="id").release().value.size == 20
    assert psi.join(*t(fed, *TABLES), on="id").release().value.size == 10
    digits = psi.key("tel", normalise="digits")
    assert psi.cardinality(*t(fed), on=digits).release().value.size is None  # 490, 491, ... and 0, 1, ...


# by the parties: requests that no verb makes


def changed(request: Request, **parameters: Any) -> Request:
    return msgspec.structs.replace(request, parameters={**request.parameters, **parameters})


def operands(request: Request, **columns: tuple[str, ...]) -> Request:
    replaced = {p: msgspec.structs.replace(request.operands[p], columns=c) for p, c in columns.items()}
    return msgspec.structs.replace(request, operands={**request.operands, **replaced})


def with_parties(request: Request, *parties: str) -> Request:
    keys = {party: {"columns": ["id"]} for party in parties}
    operand = next(iter(request.operands.values()))
    return msgspec.structs.replace(
        changed(request, keys=keys), parties=parties, operands=dict.fromkeys(parties, operand)
    )


def both(key: dict[str, Any]) -> dict[str, Any]:
    return {"bank": key, "shop": key}


TOO_MANY = [f"p{n}" for n in range(33)]
HAND_MADE: dict[str, tuple[Callable[[Request], Request], str]] = {
    "a column beside the key": (lambda r: operands(r, bank=("id", "salary")), "and no others"),
    "another column than the key": (lambda r: operands(r, bank=("salary",)), "and no others"),
    "no column": (lambda r: operands(r, shop=()), "and no others"),
    "a key of a stranger": (
        lambda r: changed(r, keys={**r.parameters["keys"], "post": {"columns": ["id"]}}),
        "takes two",
    ),
    "no key of one": (lambda r: changed(r, keys={"bank": {"columns": ["id"]}}), "takes two"),
    "an operand less": (lambda r: msgspec.structs.replace(r, operands={"bank": r.operands["bank"]}), "takes two"),
    "one party": (lambda r: with_parties(r, "bank"), "takes two"),
    "a party twice": (lambda r: msgspec.structs.replace(r, parties=("bank", "shop", "bank")), "a party twice"),
    "an unknown normalisation": (
        lambda r: changed(r, keys=both({"columns": ["id"], "normalise": ["rot13"]})),
        "rot13",
    ),
    "a key of no column": (lambda r: changed(r, keys=both({"columns": []})), "no columns"),
    "a column twice": (
        lambda r: changed(r, keys=both({"columns": ["id", "id"]})),
        "'id' twice",
    ),
    "another parameter": (lambda r: changed(r, cut=3), "unknown field"),
    "a side of a join": (
        lambda r: msgspec.structs.replace(
            r, operands={p: msgspec.structs.replace(o, alignment="a" * 32) for p, o in r.operands.items()}
        ),
        "base table",
    ),
}
OF_TYPES: dict[str, tuple[str, type[UsageError], str]] = {
    "reals": ("real", InvalidArgument, "bank/t.real is double, which cannot be a join key"),
    "nulls": ("null", DataError, "bank/t.null holds nothing but nulls"),
    "no column": ("idd", UnknownName, "'idd'"),
}


def prepare(fed: ps.Federation, party: str, request: Request) -> Any:
    return fed._link.call(party, Prepare(request=request), Prepared)


@pytest.mark.claim("a party checks a question about keys itself: what no verb would send is refused before the charge")
@pytest.mark.parametrize("verb", [psi.join, psi.cardinality], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("case", HAND_MADE)
def test_parties_check_what_a_caller_sends(local: ps.Federation, verb: Any, case: str, cases: Cases) -> None:
    change, words = HAND_MADE[case]
    request = change(verb(*t(local), on="id").request)
    for party in set(request.parties) & {"bank", "shop"}:
        with pytest.raises(InvalidArgument, match=words) as error:
            prepare(local, party, request)
        assert error.value.party == party
        cases()
    assert spent(local) == dict.fromkeys(TABLES, 0)


@pytest.mark.parametrize("verb", [psi.join, psi.cardinality], ids=lambda verb: verb.__name__)
def test_parties_are_counted(local: ps.Federation, verb: Any) -> None:
    """By the operation: a gate refuses names that are not in its federation file before that."""
    with pytest.raises(InvalidArgument, match="takes two"):
        operation_of(with_parties(verb(*t(local), on="id").request, *TOO_MANY))


@pytest.mark.claim("a party checks a question about keys itself: what no verb would send is refused before the charge")
@pytest.mark.parametrize("case", OF_TYPES)
def test_parties_check_the_types_of_their_columns(local: ps.Federation, case: str, cases: Cases) -> None:
    column, kind, words = OF_TYPES[case]
    request = operands(psi.join(*t(local), on="id").request, bank=(column,))
    request = changed(request, keys={**request.parameters["keys"], "bank": {"columns": [column]}})
    with pytest.raises(kind, match=words):
        prepare(local, "bank", request)
    assert spent(local) == dict.fromkeys(TABLES, 0)
    cases()


def test_types_that_differ_are_found_with_the_terms_where_a_caller_hides_them(fed: ps.Federation) -> None:
    """Each party knows its own types alone: then the run is charged, and ends at all with the declarations."""
    before = spent(fed)
    plan = psi.join(*t(fed), on="id")
    keys = {"bank": {"columns": ["id"]}, "shop": {"columns": ["code"]}}
    plan.request = changed(operands(plan.request, shop=("code",)), keys=keys)
    with pytest.raises(DataError, match=r"declared differently.*\(bank: integer; shop: string\)") as error:
        plan.release()
    assert error.value.hint
    assert charged(fed, before) == {"bank": 1, "shop": 1}


@pytest.mark.parametrize(
    ("parties", "protocol"),
    [(("bank", "shop"), "multiparty"), (("bank", "shop", "post"), "kkrt"), (("bank", "shop", "post"), "ddh")],
)
def test_parties_check_the_protocol(local: ps.Federation, parties: tuple[str, ...], protocol: str) -> None:
    request = changed(psi.join(*t(local, *parties), on="id").request, protocol=protocol)
    for party in parties:
        with pytest.raises(InvalidArgument, match=f"{len(parties)} parties cannot intersect by '{protocol}'"):
            prepare(local, party, request)
    assert spent(local) == dict.fromkeys(TABLES, 0)


# sets that are too small, over both links


@pytest.mark.claim("a set of fewer keys than the other owner asks for ends the run at all, with one error, charged")
@pytest.mark.parametrize(
    ("parties", "column"),
    [
        (("bank", "shop"), "few"),
        (("shop", "bank"), "few"),
        (("bank", "shop", "post"), "few"),
        (("bank", "shop"), "gone"),
    ],
    ids=lambda each: "+".join(each) if isinstance(each, tuple) else each,
)
def test_too_few_keys(fed: ps.Federation, parties: tuple[str, ...], column: str, cases: Cases) -> None:
    before = spent(fed)
    on = {party: column if party == "bank" else "id" for party in parties}
    with pytest.raises(DataError) as error:
        psi.join(*t(fed, *parties), on=on).release()
    assert error.value.message.startswith("bank brings fewer distinct keys than the 10 that")
    assert "min_count" in error.value.hint
    assert error.value.run_id
    assert charged(fed, before) == dict.fromkeys(parties, 1)
    assert all(report.first_bad < 0 for report in fed.verify_audit().values())
    assert sum(described.running for described in fed._describe().values()) == 0
    cases()


def test_all_end_with_the_same_error(local: ps.Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str] = {}
    all_told = threading.Barrier(len(TABLES))
    honest = local._link.call

    def call(party: str, asked: Any, kind: Any) -> Any:
        try:
            return honest(party, asked, kind)
        except DataError as error:
            told[party] = error.message
            all_told.wait(timeout=60)  # the first one that the notebook sees has it cancel the run at the others
            raise

    monkeypatch.setattr(local._link, "call", call)
    with pytest.raises(DataError):
        psi.join(*t(local, *TABLES), on=dict(zip(TABLES, ("few", "id", "id"), strict=True))).release()
    assert set(told) == set(TABLES)
    assert len(set(told.values())) == 1


def of_sizes(**sizes: int) -> dict[str, Any]:
    return {party: {"t": pa.table({"id": range(size)})} for party, size in sizes.items()}


def asking(min_count: int) -> ps.Policy:
    grants = (ps.Grant(table="*", columns={"*": "join key"}, min_count=min_count),)
    return ps.Policy(operations=("psi.join",), grants=grants)


def test_an_owner_asks_others_for_a_number_of_keys_and_not_itself() -> None:
    policies = {"a": asking(10), "b": asking(2)}
    with ps.embedded(of_sizes(a=5, b=20), store=None, policy=policies, quiet=True) as fed:
        joint = psi.join(*t(fed, "a", "b"), on="id").release().value
        assert (joint.size, joint.min_count) == (None, 10)  # 5 are shared: fewer than one of them asks for
    with ps.embedded(of_sizes(a=20, b=5), store=None, policy=policies, quiet=True) as fed:
        with pytest.raises(DataError, match="b brings fewer distinct keys than the 10 that a asks for"):
            psi.join(*t(fed, "a", "b"), on="id").release()
        assert spent(fed) == {"a": 1, "b": 1}


@pytest.mark.parametrize(("shared", "told"), [(9, None), (10, 10)])
def test_the_caller_is_told_the_size_from_the_largest_minimum_count_up(shared: int, told: int | None) -> None:
    tables = of_sizes(a=20, b=20, c=20)
    tables["c"]["t"] = pa.table({"id": range(20 - shared, 60)})
    policies = {"a": asking(10), "b": asking(2), "c": asking(3)}
    with ps.embedded(tables, store=None, policy=policies, quiet=True) as fed:
        joint = psi.join(*t(fed, "a", "b", "c"), on="id").release().value
    assert (joint.size, joint.min_count) == (told, 10)


def test_nulls_are_no_keys(local: ps.Federation) -> None:
    """An owner who asks for two keys: a column of nulls has none."""
    table = {"t": pa.table({"id": pa.array([None, None, None], pa.int64())})}
    policy = ps.Policy(operations=("*",), grants=(ps.Grant(table="*", columns={"*": "join key"}, min_count=2),))
    message = "a brings fewer distinct keys than the 2 that b asks for"
    with (
        ps.embedded({"a": table, "b": table}, store=None, policy=policy, quiet=True) as fed,
        pytest.raises(DataError, match=message),
    ):
        psi.join(*t(fed, "a", "b"), on="id").release()


# how often


@pytest.mark.claim("after a party's allowance of exact answers a further join is refused")
@pytest.mark.parametrize("parties", [("bank", "shop"), ("bank", "shop", "post")], ids=len)
def test_joins_are_counted(tmp_path: Path, parties: tuple[str, ...], cases: Cases) -> None:
    for caller, allowed in (("ann", 2), ("bob", 1)):  # analysts may collude: they share what a dataset allows
        with embedded(budget=ps.Budget(exact=3), store=tmp_path, caller=caller) as fed:
            for _ in range(allowed):
                psi.join(*t(fed, *parties), on="id").release()
                cases()
    with embedded(budget=ps.Budget(exact=3), store=tmp_path, caller="ann") as fed:
        with pytest.raises(BudgetExceeded, match="has 0 of 3 exact"):
            psi.join(*t(fed, *parties), on="id").release()
        assert {party: count for party, count in spent(fed).items() if party in parties} == dict.fromkeys(parties, 3)
    cases()


def test_joins_are_counted_for_each_caller(tmp_path: Path) -> None:
    budget = ps.Budget(exact=10, limits=(ps.Limit(analyst="*", exact=1),))
    for caller in ("ann", "bob"):
        with embedded(budget=budget, store=tmp_path, caller=caller) as fed:
            psi.join(*t(fed), on="id").release()
            with pytest.raises(BudgetExceeded, match="under its limit for each analyst"):
                psi.join(*t(fed), on="id").release()


def test_a_key_needs_a_grant_at_each_party() -> None:
    narrow = ps.Policy(operations=("psi.join",), grants=(ps.Grant(table="t", columns={"name": "join key"}),))
    with embedded(policy={"bank": POLICY, "shop": POLICY, "post": narrow}) as fed:
        with pytest.raises(PolicyRefused, match=r"t\.id is not granted as join key") as refused:
            psi.join(*t(fed, *TABLES), on=psi.key("name", "id")).release()
        assert refused.value.party == "post"
        assert "t.name is not granted" not in refused.value.message
        assert spent(fed) == dict.fromkeys(TABLES, 0)


# what a plan says

SAID: dict[str, tuple[Callable[[ps.Federation], Any], str, bool]] = {
    "numbers": (lambda f: psi.join(*t(f), on="id"), "integer", True),
    "dates": (lambda f: psi.cardinality(*t(f), on="born"), "date", True),
    "digits": (lambda f: psi.join(*t(f), on=psi.key("tel", normalise="digits")), "string (digits)", True),
    "dates and numbers": (lambda f: psi.join(*t(f), on=psi.key("born", "id")), "date + integer", True),
    "names": (lambda f: psi.join(*t(f), on="name"), "string", False),
    "names and dates": (
        lambda f: psi.join(*t(f), on=psi.key("name", "born", normalise=("lower", "nfc"))),
        "string (nfc, lower) + date",
        False,
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_a_plan_says_how_keys_are_compared_and_warns_of_those_that_can_be_listed(
    local: ps.Federation, case: str
) -> None:
    asked, declaration, enumerable = SAID[case]
    plan = asked(local)
    notes = dict(plan.notes)
    assert notes["keys"] == declaration
    assert ("warning" in notes) == enumerable
    if enumerable:
        assert "can be listed" in notes["warning"]
        assert "owners limit only the number of answers" in str(plan)


@pytest.mark.parametrize(
    ("protocol", "said", "ran"),
    [
        ("auto", "by size: up to 1,000 keys together Diffie-Hellman over ristretto255, beyond that KKRT16", "ddh"),
        ("ddh", "Diffie-Hellman over ristretto255, as asked", "ddh"),
        ("kkrt", "KKRT16, oblivious PRF from oblivious transfer, as asked", "kkrt"),
    ],
)
def test_a_plan_names_its_protocol(local: ps.Federation, protocol: Any, said: str, ran: str) -> None:
    plan = psi.join(*t(local), on="id", protocol=protocol)
    assert dict(plan.notes)["protocol"].startswith(said)
    (told,) = [item.what for item in plan.learns if item.who == Caller("analyst")]
    assert (MoreKeysThan(number=1_000) in told) == (protocol == "auto")  # the answer's protocol tells of the sizes
    assert plan.release().value.protocol == ran


def test_auto_chooses_by_the_number_of_keys() -> None:
    for size, ran in ((500, "ddh"), (501, "kkrt")):
        tables = {name: {"t": pa.table({"id": range(count)})} for name, count in (("a", 500), ("b", size))}
        with ps.embedded(tables, store=None, quiet=True) as fed:
            assert psi.join(*t(fed, "a", "b"), on="id").release().value.protocol == ran


def test_a_plan_of_three_names_its_leader_and_who_may_not_collude(local: ps.Federation) -> None:
    plan = psi.join(*t(local, "post", "bank", "shop"), on="id")
    assert dict(plan.notes)["protocol"].endswith("; post leads")
    told = {item.who: item.what for item in plan.learns}
    assert told[Coalition(("post",), 1, ("bank", "shop"))] == (SharedKeysOf(leader="post"),)
    both = ("post", "bank")
    assert told[Parties(("shop",))] == (SharedKeys(others=both), KeyNumbers(of=both), MinimumCounts(of=both))
    assert told[Caller("analyst")] == (SharedKeyNumberAbove(parties=3),)
    joint = plan.release().value
    assert (joint.protocol, joint.size) == ("multiparty", 10)
    assert str(joint) == "joint table of post, bank and shop: 10 shared keys"

"""Bad input from a notebook: what is wrong is said before it costs anything, with what exists and what can be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from people import everyone, north, people, south

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.progress import Live
from privsdk.errors import InvalidArgument, LedgerError, Refused, UnknownName, UsageError
from privsdk.protocol.operation import Request

Verb = Callable[[ps.Federation], Any]
MODEL = fl.Logistic(features={"age": (0, 100)})
PARTIES = "known: east, keeper, north, south"
COLUMNS = "known: age, amount, id, late"


@pytest.fixture
def joint(fed: ps.Federation) -> psi.Joint:
    joined: psi.Joint = psi.join(fed["north"]["people"], fed["south"]["people"], on="id").release().value
    return joined


# (what is done, words that its message and hint must hold)
MISSPELT: dict[str, tuple[Verb, tuple[str, ...]]] = {
    "psi party": (lambda f: psi.join(f["nroth"]["people"], south(f), on="id"), ("'nroth'", "'north'", PARTIES)),
    "psi table": (
        lambda f: psi.join(f["north"]["poeple"], south(f), on="id"),
        ("at north", "'people'", "known: people"),
    ),
    "psi column": (lambda f: psi.join(north(f), south(f), on="idd"), ("'idd'", "in north/people", "'id'", COLUMNS)),
    "psi second column": (
        lambda f: psi.join(north(f), south(f), on={"north": "id", "south": "ID"}),
        ("in south/people", "'id'", COLUMNS),
    ),
    "he table": (lambda f: he.sum(f.tables("peopel"), "age"), ("'peopel'", "at any party", "'people'")),
    "he.sum column": (lambda f: he.sum(everyone(f), "agee"), ("'agee'", "in north/people", "'age'", COLUMNS)),
    "he.mean column": (lambda f: he.mean(everyone(f), "Amount"), ("'Amount'", "'amount'", COLUMNS)),
    "he.variance column": (lambda f: he.variance(everyone(f), "agee"), ("'agee'", "'age'", COLUMNS)),
    "he.covariance column": (lambda f: he.covariance(everyone(f), ["age", "lat"]), ("'lat'", "'late'", COLUMNS)),
    "he.histogram column": (lambda f: he.histogram(everyone(f), "amuont", edges=[0, 1]), ("'amount'", COLUMNS)),
    "he group": (lambda f: he.mean(everyone(f), "age", by="lat", keys=[True]), ("'lat'", "'late'", COLUMNS)),
    "he key holder": (lambda f: he.sum(everyone(f), "age", key_holder="keper"), ("'keper'", "'keeper'", PARTIES)),
    "dp party": (lambda f: dp.count(f["sooth"]["people"], epsilon=1), ("'sooth'", "'south'", PARTIES)),
    "dp.count group": (lambda f: dp.count(north(f), epsilon=1, by="lat", keys=[True]), ("'lat'", "'late'", COLUMNS)),
    "dp.sum column": (lambda f: dp.sum(north(f), "amont", epsilon=1, bounds=(0, 9)), ("'amont'", "'amount'", COLUMNS)),
    "fl feature": (
        lambda f: fl.fit(fl.Logistic(features={"agee": (0, 9)}), everyone(f), label="late"),
        ("'agee'", "'age'", COLUMNS),
    ),
    "fl label": (lambda f: fl.fit(MODEL, everyone(f), label="Late"), ("'Late'", "'late'", COLUMNS)),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_a_misspelt_name_lists_what_exists_and_the_nearest(fed: ps.Federation, case: str) -> None:
    verb, words = MISSPELT[case]
    with pytest.raises(UnknownName) as error:
        verb(fed)
    for word in words:
        assert word in str(error.value)
    assert "did you mean" in error.value.hint


def test_a_misspelt_name_in_a_joint_table(joint: psi.Joint) -> None:
    verbs: list[Callable[[], Any]] = [
        lambda: joint["nort"],
        lambda: joint["north"].count("agee"),
        lambda: joint["north"].count(by="lat"),
        lambda: joint["north"].mean("amonut", by="late"),
    ]
    for verb in verbs:
        with pytest.raises(UnknownName, match=r"no (party|column) named") as error:
            verb()
        assert "did you mean" in error.value.hint


UNFIT: dict[str, tuple[Verb, str]] = {
    "psi of reals": (lambda f: psi.join(north(f), south(f), on="amount"), "cast to a decimal"),
    "psi of two types": (
        lambda f: psi.join(north(f), south(f), on={"north": "id", "south": "age"}),
        "string at north and integer at south",
    ),
    "psi of one party": (lambda f: psi.join(north(f), north(f), on="id"), "name one table a party"),
    "psi of a party": (lambda f: psi.join(f["north"], south(f), on="id"), 'fed["party"]["table"]'),
    "psi protocol": (lambda f: psi.join(north(f), south(f), on="id", protocol="rr22"), "auto, ddh, kkrt"),  # type: ignore[arg-type]
    "he.sum of text": (lambda f: he.sum(everyone(f), "id"), "use a numeric or boolean column"),
    "he.mean of text": (lambda f: he.mean(everyone(f), "id"), "use a numeric or boolean column"),
    "he.sum of a name": (lambda f: he.sum("people", "age"), 'fed.tables("name")'),
    "he.sum twice of one": (lambda f: he.sum([north(f), north(f)], "age"), "give one table a party"),
    "he bound of 0": (lambda f: he.sum(everyone(f), "amount", bound=0), "positive, finite"),
    "he bound of nan": (lambda f: he.sum(everyone(f), "amount", bound=float("nan")), "positive, finite"),
    "he bound of inf": (lambda f: he.sum(everyone(f), "amount", bound=float("inf")), "positive, finite"),
    "he resolution": (lambda f: he.sum(everyone(f), "amount", bound=1, resolution=2), "smaller than bound"),
    "he preset": (lambda f: he.sum(everyone(f), "age", preset="quick"), "he.sum"),
    "he max_rows": (lambda f: he.mean(everyone(f), "age", max_rows=0), "1 or more"),
    "he max_rows of a count": (lambda f: he.count(everyone(f), max_rows=2**50), "1 or more"),
    "he.variance of text": (lambda f: he.variance(everyone(f), "id"), "use a numeric or boolean column"),
    "he.covariance of text": (lambda f: he.covariance(everyone(f), ["age", "id"]), "use a numeric or boolean column"),
    "he.histogram of text": (
        lambda f: he.histogram(everyone(f), "id", edges=[0, 1]),
        "use a numeric or boolean column",
    ),
    "he.correlation of one": (lambda f: he.correlation(everyone(f), ["age"]), "give 2 to 128"),
    "he.correlation of a name": (lambda f: he.correlation(everyone(f), "age"), "give a list of two or more"),
    "he.covariance of one twice": (lambda f: he.covariance(everyone(f), ["age", "age"]), "name each column once"),
    "he ddof": (lambda f: he.variance(everyone(f), "age", ddof=-1), "1 for a sample's"),
    "he ddof of a part": (lambda f: he.variance(everyone(f), "age", ddof=0.5), "1 for a sample's"),
    "he bound of one column": (
        lambda f: he.covariance(everyone(f), ["age", "amount"], bound={"age": 99}),
        "one for each column",
    ),
    "he bound of another": (
        lambda f: he.covariance(everyone(f), ["age", "amount"], bound={"age": 99, "amount": 9, "late": 1}),
        "name only age, amount",
    ),
    "he bound beyond floats": (lambda f: he.variance(everyone(f), "amount", bound=1e200), "declare a smaller bound"),
    "he bound of sums": (lambda f: he.sum(everyone(f), "amount", bound=1.7e308), "declare a smaller bound"),
    "he too fine": (lambda f: he.variance(everyone(f), "amount", bound=1, resolution=1e-30), "make it coarser"),
    "he too much": (lambda f: he.sum(everyone(f), "age", bound=1e100, resolution=1), "smaller bound or a coarser"),
    "he secret groups": (lambda f: he.sum(everyone(f), "age", by="id"), 'keys=["a", "b"]'),
    "he keys without groups": (lambda f: he.sum(everyone(f), "age", keys=["a"]), "by=..."),
    "he columns in a list": (lambda f: he.mean(everyone(f), ["age", "amont"]), "did you mean 'amount'"),
    "columns in a list": (lambda f: north(f).mean(["age"]), "known: age, amount"),  # type: ignore[arg-type]
    "psi on nothing": (lambda f: psi.join(north(f), south(f), on=None), "give a column, columns that are one key"),  # type: ignore[arg-type]
    "dp one edge": (lambda f: dp.histogram(north(f), "age", epsilon=1, edges=5), "give either bounds"),  # type: ignore[arg-type]
    "he one key": (lambda f: he.sum(everyone(f), "age", by="id", keys=3), "keys=[3]"),  # type: ignore[arg-type]
    "he keys as text": (lambda f: he.sum(everyone(f), "age", by="id", keys="abc"), "keys=['abc']"),
    "he no keys": (lambda f: he.count(everyone(f), by="id", keys=[]), "1 to"),
    "he a key twice": (lambda f: he.count(everyone(f), by="id", keys=["a", "a"]), "name each key once"),
    "he mixed keys": (lambda f: he.count(everyone(f), by="id", keys=["a", 1]), "column's type"),
    "he keys of another type": (lambda f: he.count(everyone(f), by="age", keys=["a"]), "in the column's own type"),
    "he keys of reals": (lambda f: he.count(everyone(f), by="amount", keys=[0.5]), "give text, whole numbers"),
    "he key too large": (lambda f: he.count(everyone(f), by="age", keys=[2**63]), "leave it out"),
    "he of a column by itself": (lambda f: he.sum(everyone(f), "age", by="age", keys=[1]), "group by another column"),
    "he ckks by group": (
        lambda f: he.sum(everyone(f), "age", by="late", keys=[True], preset="ckks"),
        "leave preset out",
    ),
    "he no edges": (lambda f: he.histogram(everyone(f), "age", edges=[]), "each bin lies between two"),
    "he one edge": (lambda f: he.histogram(everyone(f), "age", edges=[1]), "each bin lies between two"),
    "he edges that fall": (lambda f: he.histogram(everyone(f), "age", edges=[0, 9, 3]), "above the one before"),
    "he an edge twice": (lambda f: he.histogram(everyone(f), "age", edges=[0, 3, 3]), "above the one before"),
    "he an edge of nan": (lambda f: he.histogram(everyone(f), "age", edges=[0, float("nan")]), "finite edges"),
    "he an endless edge": (lambda f: he.histogram(everyone(f), "age", edges=[0, float("inf")]), "finite edges"),
    "dp of a name": (lambda f: dp.count("people", epsilon=1), 'fed.tables("name")'),
    "dp.sum of text": (lambda f: dp.sum(north(f), "id", epsilon=1, bounds=(0, 9)), "use a numeric or boolean column"),
    "dp keys of another type": (
        lambda f: dp.count(north(f), epsilon=1, by="age", keys=["a"]),
        "give the keys in the column's own type",
    ),
    "dp key holder": (lambda f: dp.count(everyone(f), epsilon=1, key_holder="north"), "contributes nothing: keeper"),
    "dp epsilon of 0": (lambda f: dp.count(north(f), epsilon=0), "above 0"),
    "dp epsilon of -1": (lambda f: dp.count(north(f), epsilon=-1), "above 0"),
    "dp epsilon of nan": (lambda f: dp.count(north(f), epsilon=float("nan")), "above 0"),
    "dp epsilon of inf": (lambda f: dp.count(north(f), epsilon=float("inf")), "above 0"),
    "dp secret groups": (lambda f: dp.count(north(f), epsilon=1, by="id"), 'keys=["a", "b"]'),
    "dp keys without groups": (lambda f: dp.count(north(f), epsilon=1, keys=["a"]), "by=..."),
    "dp no keys": (lambda f: dp.count(north(f), epsilon=1, by="id", keys=[]), "1 to"),
    "dp a key twice": (lambda f: dp.count(north(f), epsilon=1, by="id", keys=["a", "a"]), "name each key once"),
    "dp mixed keys": (lambda f: dp.count(north(f), epsilon=1, by="id", keys=["a", 1]), "column's type"),
    "dp bounds": (lambda f: dp.sum(north(f), "age", epsilon=1, bounds=(9, 0)), "the lower one first"),
    "dp endless bounds": (lambda f: dp.sum(north(f), "age", epsilon=1, bounds=(0, float("inf"))), "finite bounds"),
    "fl model": (lambda f: fl.fit(lambda x: x, everyone(f), label="late"), "never run code"),
    "fl.fit on text": (
        lambda f: fl.fit(fl.Logistic(features={"id": (0, 9)}), everyone(f), label="late"),
        "use a numeric or boolean column",
    ),
    "fl.fit to text": (lambda f: fl.fit(MODEL, everyone(f), label="id"), "use a numeric or boolean column"),
    "fl label a feature": (lambda f: fl.fit(MODEL, everyone(f), label="age"), "leave it out"),
    "fl rounds": (lambda f: fl.fit(MODEL, everyone(f), label="late", rounds=0), "1 to"),
    "fl held_out": (lambda f: fl.fit(MODEL, everyone(f), label="late", held_out=1), "between 0 and 1"),
    "a key holder that contributes": (
        lambda f: he.sum(everyone(f), "age", key_holder="north"),
        "choose one that contributes nothing: keeper",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_argument_that_cannot_be_used_says_what_can(fed: ps.Federation, case: str) -> None:
    verb, word = UNFIT[case]
    with pytest.raises(UsageError) as error:
        verb(fed)
    assert word in str(error.value)


def test_a_party_checks_the_types_of_columns_before_it_charges(fed: ps.Federation, joint: psi.Joint) -> None:
    """The same rules hold at the gate, for requests that no verb has made."""
    plans = [
        dp.sum(north(fed), "age", epsilon=1, bounds=(0, 9)),
        dp.count(north(fed), by="age", keys=[1], epsilon=1),
        he.sum(everyone(fed), "age"),
        he.covariance(everyone(fed), ["age", "amount"]),
        he.count(everyone(fed), by="age", keys=[1, 2]),
        fl.fit(MODEL, everyone(fed), label="late"),
        joint["north"].mean("age"),
    ]
    before = fed.budgets()
    for plan in plans:
        text = msgspec.json.encode(plan.request).replace(b'"age"', b'"id"')
        forged = msgspec.json.decode(text, type=Request)
        with pytest.raises(UsageError, match=r"\bid,? (which )?is string"):
            fed.execute(Live(forged))
    assert fed.budgets() == before


def test_nobody_left_to_hold_the_key() -> None:
    with (
        ps.embedded(north=people(), south=people(), store=None, quiet=True) as fed,
        pytest.raises(InvalidArgument, match="nobody is left to hold the key") as error,
    ):
        he.sum(fed.tables("table"), "age")
    assert "notary={}" in error.value.hint


def test_a_party_checks_the_shape_of_what_a_caller_sends(fed: ps.Federation) -> None:
    """The same rules hold for a request that no verb has made."""
    good = he.sum(everyone(fed), "age").request
    replace = msgspec.structs.replace
    operand = good.operands["north"]
    forged = [
        replace(good, parties=("north", "south", "east"), operands=good.operands),  # a contributor holds the key
        replace(good, parties=("north", "south", "north")),
        replace(good, operands={**good.operands, "keeper": operand}),
        replace(good, operands={"north": operand}),
        replace(good, operands={**good.operands, "north": replace(operand, columns=("id", "age"))}),
        replace(good, operands={**good.operands, "north": replace(operand, columns=())}),
        replace(good, operands={**good.operands, "stranger": operand}),
        replace(good, parameters={**good.parameters, "extra": 1}),
        replace(good, parameters={}),
        replace(good, operation="he.product"),
        replace(good, caller="somebody"),
        replace(good, operands={**good.operands, "north": replace(operand, table="secrets")}),
    ]
    before = fed.budgets()
    for request in forged:
        with pytest.raises((UsageError, Refused)):
            fed.execute(Live(request))
    assert fed.budgets() == before


@pytest.mark.parametrize("name", ["", "a b", "../up", "é", "n" * 64, "a/b", "a.b", "a\n"])
def test_names_that_no_party_can_have(name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot be a party's name"):
        ps.embedded({name: people()}, store=None, quiet=True)


def test_arguments_of_embedded(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="a federation needs parties"):
        ps.embedded(store=None)
    with pytest.raises(InvalidArgument, match="north/table is a list, which is not a table"):
        ps.embedded(north=[1, 2], store=None, quiet=True)
    with pytest.raises(UnknownName, match="there is no file"):
        ps.embedded(north=str(tmp_path / "none.csv"), store=None, quiet=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"north's ledger folder .* cannot be made"):
        ps.embedded(north=people(), store=tmp_path / "file" / "store", quiet=True)
    with pytest.raises(InvalidArgument, match="min_count is 1"):
        ps.Grant(table="*", columns={"*": "aggregate"}, min_count=1)
    with pytest.raises(InvalidArgument, match="delta between 0 and 1"):
        ps.Budget(delta=0)


def test_tables_of_two_federations_are_not_mixed(fed: ps.Federation) -> None:
    with (
        ps.embedded(west=people(), store=None, quiet=True) as other,
        pytest.raises(InvalidArgument, match="belong to different federations"),
    ):
        psi.join(north(fed), other["west"]["table"], on="id")


def test_a_party_is_asked_for_by_name(fed: ps.Federation) -> None:
    with pytest.raises(UnknownName, match="no party named '0' in this federation"):
        fed[0]  # type: ignore[index]


def test_a_grant_that_a_refusal_suggests_is_pasted_as_it_is() -> None:
    """One line that extends the workshop's policy, at the party that refused or at all."""
    tables = {
        "bank": pa.table({"id": range(40), "pay": range(40)}),
        "shop": pa.table({"id": range(40), "seg": ["a", "b"] * 20}),
    }

    def ask(policy: Any) -> Any:
        with ps.embedded(tables, store=None, quiet=True, policy=policy) as fed:
            joint = psi.join(fed["bank"]["table"], fed["shop"]["table"], on="id").release().value
            return joint["bank"].mean("pay", by="shop.seg").release().value["mean"].to_pylist()

    policy: dict[str, list[ps.Grant]] = {}
    for _ in tables:
        try:
            ask(policy)
        except ps.errors.PolicyRefused as refused:
            suggested = [eval(text, {"ps": ps}) for text in refused.detail.grants]  # type: ignore[union-attr] # noqa: S307
            policy = {**policy, refused.party: suggested}
    assert policy
    assert ask(policy) == [19.0, 20.0]
    assert ask([grant for grants in policy.values() for grant in grants]) == [19.0, 20.0]
    (grant, *_) = next(iter(policy.values()))
    with ps.embedded(tables, store=None, quiet=True, policy=grant):
        pass
    with pytest.raises(InvalidArgument, match="policy holds a str"):
        ps.embedded(tables, store=None, policy=["bank"])  # type: ignore[list-item]


def test_what_is_added_to_the_workshop_policy_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    grant = ps.Grant(table="table", columns={"x": "extreme"})
    with ps.embedded(north=pa.table({"x": [1]}), store=None, policy={"north": grant}):
        printed = capsys.readouterr().out
    assert "also, at north" in printed
    assert str(grant)[:40] in printed


def test_a_policy_or_budget_for_nobody_is_refused() -> None:
    for option in ({"policy": {"nroth": ps.Policy()}}, {"budget": {"nroth": ps.Budget()}}):
        with pytest.raises(ps.errors.UnknownName, match="did you mean 'north'"):
            ps.embedded(north=pa.table({"x": [1]}), store=None, quiet=True, **option)  # type: ignore[arg-type]


def test_a_request_of_another_version_is_refused() -> None:
    with ps.embedded(north=pa.table({"x": [1.0] * 20}), store=None, quiet=True) as fed:
        plan = dp.count(fed["north"]["table"], epsilon=0.5)
        plan.request = msgspec.structs.replace(plan.request, version=99)
        with pytest.raises(ps.errors.InvalidArgument, match="a request of version 99"):
            plan.release()
        assert fed.budgets()["north"][0].epsilon_spent == 0


def test_conditions_and_columns_of_the_wrong_type_are_refused_before_the_charge(fed: ps.Federation) -> None:
    table = north(fed)
    plans = [
        table.count(where={"age": "forty"}),
        table.count(where={"id": 7}),
        table.count(where={"late": (0, 5)}),
        table.sum("id"),
        table.mean("age", where={"amount": True}),
    ]
    before = fed.budgets()
    for plan in plans:
        with pytest.raises(UsageError, match="north"):
            plan.release()
    assert fed.budgets() == before
    with pytest.raises(UnknownName, match="no column named 'aeg'"):
        table.count(where={"aeg": 3})
    joint = psi.join(table, south(fed), on="id").release().value["north"]
    with pytest.raises(UnknownName, match="no column named 'aeg' in south/people"):
        joint.count(by="south.aeg")
    with pytest.raises(UnknownName, match=r"did you mean 'south\.age'"):
        joint.count(by="suoth.age")
    with pytest.raises(InvalidArgument, match=r"south\.amount is south's") as other:
        joint.mean("south.amount")
    assert 'joint["south"].mean("amount")' in other.value.hint


def test_a_party_that_is_given_twice() -> None:
    with pytest.raises(InvalidArgument, match="north is given twice"):
        ps.embedded({"north": people()}, north=people(), store=None, quiet=True)


def test_ledgers_are_closed_again_where_a_later_party_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr("privsdk.deploy.open.Gate.close", lambda gate: closed.append(gate.name))
    (tmp_path / "south.sqlite").write_bytes(b"no ledger" * 100)
    with pytest.raises(LedgerError):
        ps.embedded(north=people(), south=people(), store=tmp_path, quiet=True)
    assert closed == ["north"]

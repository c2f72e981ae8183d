"""Operations fail closed: a class that forgets a part of its declaration cannot answer requests."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest

from privsdk.errors import UnknownName
from privsdk.governance.charges import Charge, Debit, Exact
from privsdk.governance.learns import Learns
from privsdk.governance.policy import Need
from privsdk.governance.prices import Factor, Figures, Lever, Told, told
from privsdk.protocol.operation import Operand, Operation, Outcome, Request, RoleInput, operation_named, register
from privsdk.protocol.roles import Role


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Whole(Operation[Nothing]):
    """All that an operation has to say."""

    parameters_type = Nothing

    def check(self) -> None:
        pass

    def fits(self, party: str, schema: pa.Schema) -> None:
        pass

    def needs(self) -> dict[str, tuple[Need, ...]]:
        return {}

    def figures(self) -> dict[str, Figures]:
        return {"north": Figures(what="all", told=(told(17),))}

    def learns(self) -> tuple[Learns, ...]:
        return ()

    def contributors(self) -> tuple[str, ...]:
        return ()

    def role(self, given: RoleInput) -> Role[Outcome]:
        yield from ()
        return Outcome()


def request(**changes: object) -> Request:
    fields: dict[str, object] = {
        "run_id": "r",
        "operation": "testing.whole",
        "caller": "ann",
        "purpose": "study",
        "parties": ("north", "helper"),
        "operands": {"north": Operand(table="t", columns=())},
        "parameters": {},
    }
    return Request(**fields | changes)  # type: ignore[arg-type]


@pytest.mark.claim("an operation that does not say what it needs, costs, tells or does cannot be registered")
@pytest.mark.parametrize("forgotten", ["check", "fits", "needs", "figures", "learns", "contributors", "role"])
def test_what_is_forgotten_is_refused(forgotten: str) -> None:
    said = {name: value for name, value in vars(Whole).items() if name in DECLARED and name != forgotten}
    lacking = type("Lacking", (Operation,), said)
    with pytest.raises(TypeError, match=f"Lacking does not say its {forgotten}$"):
        register("testing.lacking")(lacking)
    with pytest.raises(TypeError, match="abstract"):
        lacking(request(), Nothing())
    with pytest.raises(UnknownName):
        operation_named("testing.lacking")


DECLARED = ("parameters_type", "check", "fits", "needs", "figures", "learns", "contributors", "role")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match=r"'psi\.join' is registered twice"):
        register("psi.join")(Whole)


def test_what_is_not_said_of_payments_is_the_careful_answer() -> None:
    """All of the price beforehand, everyone essential, and all who take part see a sum."""
    whole = Whole.parse(request())
    assert whole.reserved() == whole.price() == {"north": (Debit(table="t", charge=Exact(what="all", uses=2)),)}
    assert (whole.by_rounds, whole.per_round(1)) == (False, {})
    assert whole.essential() == ("north", "helper")
    assert whole.recipients() == ("north", "helper", "ann")
    assert (whole.name_of_work(), Whole.remembered, Whole.stops) == ("", False, False)
    assert whole.paid({"north": 3, "helper": 3}) == whole.price()


class ByRounds(Whole):
    by_rounds = True

    def figures(self) -> dict[str, Figures]:
        return {"north": Figures(what="all", rounds="rounds", told=(Told((Factor(4, Lever.ROUNDS), Factor(16))),))}


def test_rounds_are_paid_also_where_nothing_is_reserved() -> None:
    operation = ByRounds.parse(request())
    debit = Debit(table="t", charge=Exact(what="rounds"))
    assert [operation.per_round(number) for number in (1, 2, 3)] == [{"north": (debit,)}, {"north": (debit,)}, {}]
    assert operation.reserved() == {}
    assert operation.paid({"north": 3, "helper": 3}) == {"north": (debit, debit)}
    assert operation.paid({"north": 0}) == {}


@pytest.mark.claim("price: an operation says its figures and has no price of its own")
@pytest.mark.parametrize("own", ["price", "reserved", "per_round", "paid"])
def test_what_prices_itself_is_refused(own: str) -> None:
    with pytest.raises(TypeError, match=f"Cheap has a {own} of its own"):
        register("testing.cheap")(type("Cheap", (Whole,), {own: lambda self, *_: {}}))


@pytest.mark.claim("price: what a preview shows is what is charged, to every table behind a join")
def test_what_is_told_of_a_join_is_charged_to_each_table() -> None:
    class Model(Whole):
        def figures(self) -> dict[str, Figures]:
            return dict.fromkeys(("north", "south"), Figures(what="model", told=(told(65),)))

    sides = {p: Operand(table=f"{p}'s", columns=(), alignment="a") for p in ("north", "south")}
    model = Model.parse(request(parties=("north", "south"), operands=sides))
    assert {party: [(d.table, str(d.charge)) for d in debits] for party, debits in model.price().items()} == {
        party: [(f"{party}'s", "3 exact disclosures (model)")] for party in ("north", "south")
    }


@pytest.mark.claim("price: an operation says its figures and has no price of its own")
def test_exact_figures_are_not_noise() -> None:
    class Disguised(Whole):
        def noisy(self) -> dict[str, tuple[Charge, ...]]:
            return {"north": (Exact(what="one"),)}

    with pytest.raises(TypeError, match="prices exact figures by itself"):
        Disguised.parse(request()).price()

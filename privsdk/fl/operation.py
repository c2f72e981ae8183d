"""The declaration of `fl.fit`: what is checked, paid, and who plays a part."""

from __future__ import annotations

import pyarrow as pa

from ..errors import InvalidArgument
from ..governance.charges import Charge, Debit, Exact, Gaussian, ZeroConcentrated
from ..protocol.operation import Operation, Request, register
from .averages import LARGEST
from .disclosures import learns, needs
from .parameters import FitParameters, check_types, clients_of
from .preparation import length_of
from .privacy import charges
from .privacy.levels import PartyLevel, Privacy
from .roles import role
from .rounds import LARGEST_FACT
from .strategies.fedbuff import FedBuff


def _check(request: Request, parameters: FitParameters) -> None:
    clients, coordinator = clients_of(request), parameters.coordinator
    others = set(request.parties) - set(clients)
    if coordinator not in request.parties or not others <= {coordinator} or request.parties[-1] != coordinator:
        raise InvalidArgument("fl.fit takes clients with a table each and a coordinator, which is named last")
    if any(operand.columns != parameters.columns or operand.alignment for operand in request.operands.values()):
        raise InvalidArgument("fl.fit takes features, label and groups from a base table of each party")
    if not 1 <= parameters.fewest <= len(clients):
        raise InvalidArgument(f"rounds of at least {parameters.fewest} of {len(clients)} clients")
    parameters.mode.check(parameters.participants(request), _sums(parameters))
    if isinstance(parameters.privacy, PartyLevel) and coordinator in clients and not parameters.privacy.collusion:
        raise InvalidArgument(
            f"{coordinator} trains and knows its own share of the noise: with a collusion of 0 it would see the "
            "others' sum with less than is charged",
            hint="use a collusion of 1 or more, or name a coordinator without a table",
        )
    if parameters.privacy is not None:
        for party, operand in request.operands.items():
            charges.check_unit(parameters.privacy, operand.unit, where=f"{party}/{operand.table}")
        round_charge(request, parameters, parameters.privacy)


def _sums(parameters: FitParameters) -> tuple[tuple[int, int], ...]:
    """Length and largest total of a training's sums: a round's updates, with weight and loss, and the statistics."""
    figures = 0 if isinstance(parameters.privacy, PartyLevel) else 2
    updates = parameters.strategy.parts * parameters.model.network.size + figures
    return (updates, LARGEST), (length_of(parameters.model, parameters.class_weights), LARGEST_FACT)


def _fits(request: Request, parameters: FitParameters, party: str, schema: pa.Schema) -> None:
    types = {column: str(schema.field(column).type) for column in parameters.columns}
    check_types(f"{party}/{request.operands[party].table}", types, parameters)


def _price(request: Request, parameters: FitParameters) -> dict[str, tuple[Debit, ...]]:
    """The most: all rounds, what preparing takes, and all evaluations."""
    if parameters.privacy is not None:
        return _each(request, charges.times(round_charge(request, parameters, parameters.privacy), parameters.rounds))
    what, uses = _beforehand(parameters)
    updates = parameters.rounds
    if isinstance(parameters.strategy, FedBuff):  # in the worst case all of them are one client's
        updates *= parameters.strategy.K
    return _exact(request, f"model rounds, {what}", updates + uses)


def _deposit(request: Request, parameters: FitParameters) -> dict[str, tuple[Debit, ...]]:
    return {} if parameters.privacy is not None else _exact(request, *_beforehand(parameters))


def _instalment(request: Request, parameters: FitParameters) -> dict[str, tuple[Debit, ...]]:
    if parameters.privacy is not None:
        return _each(request, round_charge(request, parameters, parameters.privacy))
    return _exact(request, "a model round", 1)


def round_charge(request: Request, parameters: FitParameters, privacy: Privacy) -> Gaussian | ZeroConcentrated:
    """What each client's dataset loses in a round with this privacy."""
    clients = len(clients_of(request))
    return charges.charge_of(
        privacy,
        parameters.schedule,
        size=parameters.model.network.size,
        parts=parameters.strategy.parts,
        clients=clients,
        fewest=parameters.least(clients),
    )


def _beforehand(parameters: FitParameters) -> tuple[str, int]:
    """What is let out beside the rounds, and how many disclosures that is."""
    evaluations = "one evaluation" if parameters.evaluations == 1 else f"{parameters.evaluations} evaluations"
    preparing = "what preparing takes, " if parameters.facts else ""
    return f"{preparing}{evaluations}", parameters.evaluations + len(parameters.facts)


def _exact(request: Request, what: str, uses: int) -> dict[str, tuple[Debit, ...]]:
    return _each(request, Exact(what=what, uses=uses))


def _each(request: Request, charge: Charge) -> dict[str, tuple[Debit, ...]]:
    return {party: (Debit(table=o.table, charge=charge),) for party, o in request.operands.items()}


def _named(request: Request, parameters: FitParameters) -> str:
    return parameters.name


def _contributors(request: Request, parameters: FitParameters) -> tuple[str, ...]:
    return clients_of(request)


def _everyone(request: Request, parameters: FitParameters) -> tuple[str, ...]:
    return (*request.parties, request.caller)


def _essential(request: Request, parameters: FitParameters) -> tuple[str, ...]:
    """The coordinator; where a sum is of all clients or of none, everyone."""
    return request.parties if parameters.mode.whole else (parameters.coordinator,)


register(
    Operation(
        name="fl.fit",
        parameters=FitParameters,
        check=_check,
        needs=needs,
        price=_price,
        learns=learns,
        role=role,
        fits=_fits,
        contributors=_contributors,
        recipients=_everyone,
        essential=_essential,
        deposit=_deposit,
        instalment=_instalment,
        named=_named,
        stops=True,
    )
)

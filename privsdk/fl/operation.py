"""The declaration of `fl.fit`: what is checked, paid, and who plays a part."""

from __future__ import annotations

import pyarrow as pa

from ..errors import InvalidArgument
from ..governance.charges import Debit, Exact, Gaussian, ZeroConcentrated
from ..governance.learns import Learns
from ..governance.policy import Need
from ..protocol.operation import Operation, Outcome, RoleInput, register
from ..protocol.roles import Role
from . import disclosures, roles
from .averages import LARGEST
from .loops.course import LARGEST_STATISTIC
from .parameters import FitParameters, check_types, clients_of
from .preparation import length_of
from .privacy import charges
from .privacy.levels import PartyLevel, Privacy


@register("fl.fit")
class Fit(Operation[FitParameters]):
    """A training over the tables of its clients."""

    parameters_type = FitParameters
    stops = True

    def check(self) -> None:
        request, parameters = self.request, self.parameters
        clients, coordinator = self.contributors(), parameters.coordinator
        others = set(request.parties) - set(clients)
        if coordinator not in request.parties or not others <= {coordinator} or request.parties[-1] != coordinator:
            raise InvalidArgument("fl.fit takes clients with a table each and a coordinator, which is named last")
        if any(operand.columns != parameters.columns or operand.alignment for operand in request.operands.values()):
            raise InvalidArgument("fl.fit takes features, label and groups from a base table of each party")
        if not 1 <= parameters.fewest <= len(clients):
            raise InvalidArgument(f"rounds of at least {parameters.fewest} of {len(clients)} clients")
        parameters.mode.check(parameters.participants(request), self._sums())
        if isinstance(parameters.privacy, PartyLevel) and coordinator in clients and not parameters.privacy.collusion:
            raise InvalidArgument(
                f"{coordinator} trains and knows its own share of the noise: with a collusion of 0 it would see the "
                "others' sum with less than is charged",
                hint="use a collusion of 1 or more, or name a coordinator without a table",
            )
        if parameters.privacy is not None:
            for party, operand in request.operands.items():
                charges.check_unit(parameters.privacy, operand.unit, where=f"{party}/{operand.table}")
            self.round_charge(parameters.privacy)

    def _sums(self) -> tuple[tuple[int, int], ...]:
        """Length and largest total of its sums: a round's updates, with weight and loss, and the statistics."""
        parameters = self.parameters
        figures = 0 if isinstance(parameters.privacy, PartyLevel) else 2
        updates = parameters.strategy.parts * parameters.model.network.size + figures
        return (updates, LARGEST), (length_of(parameters.model, parameters.class_weights), LARGEST_STATISTIC)

    def fits(self, party: str, schema: pa.Schema) -> None:
        types = {column: str(schema.field(column).type) for column in self.parameters.columns}
        check_types(f"{party}/{self.request.operands[party].table}", types, self.parameters)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        return disclosures.needs(self.request, self.parameters)

    def price(self) -> dict[str, tuple[Debit, ...]]:
        """All rounds, what preparing takes, and all evaluations."""
        parameters = self.parameters
        if parameters.privacy is not None:
            return self._each_pays(charges.times(self.round_charge(parameters.privacy), parameters.rounds))
        what, uses = self._beforehand()
        updates = parameters.rounds * parameters.strategy.loop.updates  # in the worst case all are one client's
        return self._each_pays(Exact(what=f"model rounds, {what}", uses=updates + uses))

    def reserved(self) -> dict[str, tuple[Debit, ...]]:
        what, uses = self._beforehand()
        return {} if self.parameters.privacy is not None else self._each_pays(Exact(what=what, uses=uses))

    def per_round(self) -> dict[str, tuple[Debit, ...]]:
        privacy = self.parameters.privacy
        return self._each_pays(Exact(what="a model round", uses=1) if privacy is None else self.round_charge(privacy))

    def round_charge(self, privacy: Privacy) -> Gaussian | ZeroConcentrated:
        """What each client's dataset loses in a round with this privacy."""
        parameters, clients = self.parameters, len(self.contributors())
        return charges.charge_of(
            privacy,
            parameters.schedule,
            size=parameters.model.network.size,
            parts=parameters.strategy.parts,
            clients=clients,
            fewest=parameters.least(clients),
        )

    def _beforehand(self) -> tuple[str, int]:
        """What is let out besides the rounds, and how many disclosures that is."""
        number, statistics = self.parameters.evaluations, self.parameters.statistics
        evaluations = "one evaluation" if number == 1 else f"{number} evaluations"
        return f"{'what preparing takes, ' if statistics else ''}{evaluations}", number + len(statistics)

    def learns(self) -> tuple[Learns, ...]:
        return disclosures.learns(self.request, self.parameters)

    def contributors(self) -> tuple[str, ...]:
        return clients_of(self.request)

    def essential(self) -> tuple[str, ...]:
        """The coordinator; where a sum is of all clients or of none, everyone."""
        return self.request.parties if self.parameters.mode.whole else (self.parameters.coordinator,)

    def name_of_work(self) -> str:
        return self.parameters.name

    def role(self, given: RoleInput) -> Role[Outcome]:
        return roles.role(given, self.parameters)

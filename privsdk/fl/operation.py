"""The declaration of `fl.fit`: what is checked, needed, paid and learned, and who plays a part."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pyarrow as pa

from ..errors import InvalidArgument
from ..governance.charges import Charge, Gaussian, ZeroConcentrated
from ..governance.learns import (
    Caller,
    Coalition,
    Eavesdropper,
    Knowledge,
    Learns,
    LengthsShow,
    Parties,
    Quantity,
    RoleName,
)
from ..governance.members import combine
from ..governance.policy import Disclosure, Need
from ..governance.prices import Choice, Factor, Figures, Lever, Told, told
from ..protocol.operation import Operation, Outcome, RoleInput, register
from ..protocol.roles import Role
from . import roles
from .averages import LARGEST
from .loops.course import FinalModel, RoundModels
from .models import evaluation
from .parameters import FitParameters, check_types
from .preparation import LARGEST_STATISTIC, length_of
from .privacy import charges
from .privacy.levels import PartyLevel, Privacy, RecordLevel


class Fact(StrEnum):
    """What is learned from trainings and has no fields."""

    ROUND_FIGURES = "the rows and the mean loss of those in each round"
    HELD_OUT_LOSS = "the mean loss of the held-out rows of all, of models that are evaluated"
    LOST_CLIENTS = "who is lost or cannot pay on the way, and why"
    NOT_PAYING = "who is in each round and who cannot pay for it"
    ROUND_COSTS = "what each round took"
    MEAN_OF_NOISY_UPDATES = "the mean of the clients' updates in each round, with noise in every step"
    NOISY_SUM = "the noisy sum of the clients' bounded updates in each round"
    NOISY_SUM_WITH_ITS_NOISE = "that noisy sum with the noise that was charged, and no less"
    BOUND_BY_CHARGE = "of a party's rows no more than its charged noise lets out"


class TrainingFact(Knowledge, frozen=True):
    template = "{fact}"
    fact: Fact


class RowStatistics(Knowledge, frozen=True):
    """Of all parties' training rows: how many there are, moments of features, with `filled` also how many values each
    has, and how many rows have each label."""

    moments: tuple[str, ...] = ()
    filled: bool = False
    label: str = ""

    def __str__(self) -> str:
        values = " and the number of values" if self.filled else ""
        of = f", over them the mean and standard deviation{values} of {', '.join(self.moments)}" if self.moments else ""
        label = f", how many have each {self.label}" if self.label else ""
        return f"the number of training rows over all parties{of}{label}"


class EachUpdate(Knowledge, frozen=True):
    """Of every client by itself: with `timed` also when it came, with `noisy` with noise in every step."""

    timed: bool = False
    noisy: bool = False

    def __str__(self) -> str:
        noise = " in each round, with noise in every step" if self.noisy else ""
        return f"every client's own update{' and when it came' if self.timed else ''}{noise}"


class EachStatistics(Knowledge, frozen=True):
    template = "what every client's own rows add to these figures"


class ClientEvaluations(Knowledge, frozen=True):
    """Every so many rounds and at the end, or only then; by group where a column is named."""

    every: int = 0
    by: str = ""

    def __str__(self) -> str:
        every = f", every {self.every} rounds and at the end" if self.every else ""
        by = f", by {self.by} for groups of at least its minimum count" if self.by else ""
        return f"each party's evaluation and held-out rows{every}{by}"


class FiguresOfOthers(Knowledge, frozen=True):
    """Of every figure that is summed over clients' rows, such as their number, the part of so many other clients."""

    number: int

    def __str__(self) -> str:
        others = f"the {self.number} other clients'" if self.number > 1 else "the one other client's own"
        return f"{others} part of each total over rows"


class UpdatesOfOthers(Knowledge, frozen=True):
    """What models of rounds tell a client of the updates of so many others; with `noisy`, of noisy ones."""

    number: int
    noisy: bool = False

    def __str__(self) -> str:
        noisy = "noisy " if self.noisy else ""
        if self.number == 1:
            return f"at most the one other client's own {noisy}updates"
        left = "or of those that are left in it"
        return f"at most the sum of the {self.number} other clients' {noisy}updates in each round, {left}"


combine(
    RowStatistics,
    role=RoleName.CLIENT,
    gives=lambda _, others: FiguresOfOthers(number=len(others)) if others else None,
    because="totals less its own part",
)
combine(
    TrainingFact,
    role=RoleName.CLIENT,
    gives=lambda known, others: (
        FiguresOfOthers(number=len(others))
        if others and known.fact in (Fact.ROUND_FIGURES, Fact.HELD_OUT_LOSS)
        else None
    ),
    because="totals less its own part",
)
combine(
    RoundModels,
    role=RoleName.CLIENT,
    gives=lambda models, others: (
        UpdatesOfOthers(number=1 if models.asynchronous else len(others), noisy=models.noisy) if others else None
    ),
    because="models of rounds less its own updates",
)


@register("fl.fit")
class Fit(Operation[FitParameters]):
    """A training over the tables of its clients."""

    parameters_type = FitParameters
    stops = True
    by_rounds = True

    def check(self) -> None:
        request, parameters = self.request, self.parameters
        clients, coordinator = self.contributors(), parameters.coordinator
        others = set(request.parties) - set(clients)
        misplaced = not others <= {coordinator} or request.parties[-1] != coordinator
        if misplaced or sorted(clients) != sorted(request.operands):
            raise InvalidArgument("fl.fit takes clients with a table each and a coordinator, which is named last")
        if any(operand.columns != parameters.columns or operand.alignment for operand in request.operands.values()):
            raise InvalidArgument("fl.fit takes features, label and groups from a base table of each party")
        if not 1 <= parameters.fewest <= len(clients):
            raise InvalidArgument(f"rounds of at least {parameters.fewest} of {len(clients)} clients")
        parameters.mode.check(parameters.participants(request), self._sums())
        if isinstance(parameters.privacy, PartyLevel) and not parameters.privacy.collusion and len(clients) > 1:
            raise InvalidArgument(
                "each client sees the models and knows its own share of the noise: with a collusion of 0 it would see "
                "the others' sum with less than is charged",
                hint="use a collusion of 1 or more",
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
        return {party: self._needs_of(operand.table) for party, operand in self.request.operands.items()}

    def _needs_of(self, table: str) -> tuple[Need, ...]:
        parameters, mode = self.parameters, self.parameters.mode
        uses = [(name, Disclosure.TRAINING_FEATURE, "the model's features") for name in parameters.model.features]
        uses.append((parameters.label, Disclosure.TRAINING_LABEL, "what it predicts"))
        if not mode.hides:
            result = "each client's own update, which the coordinator sees"
            uses += [(name, Disclosure.MODEL_UPDATE, result) for name, _, _ in uses]
        for name, what in parameters.statistics:
            uses.append((name, mode.statistic, f"{what}, over all parties' training rows"))
        if parameters.by is not None:
            uses.append((parameters.by, Disclosure.GROUP_KEY, f"scores by {parameters.by}"))
        return tuple(Need(table=table, column=name, disclosure=use, result=result) for name, use, result in uses)

    def figures(self) -> dict[str, Figures]:
        """Each round tells an update, with its weight and loss; before, what preparing sums; then each evaluation.

        What is summed is about the units of all clients but the one who sees it. In the worst case all updates of a
        loop are one client's.
        """
        parameters, clients = self.parameters, self.contributors()
        if parameters.privacy is not None:
            return {}
        (update, _), (statistics, _) = self._sums()
        among, choices = self._among(len(clients))
        rounds = Factor(parameters.rounds, Lever.ROUNDS, each=parameters.loop.updates)
        size, parts = parameters.model.network.size, parameters.strategy.parts
        updates = (rounds, Factor(size, Lever.PARAMETERS, each=parts)), (rounds, Factor(update - parts * size))
        measures = (Factor(parameters.measures, Lever.EVALUATIONS, each=update - parts * size),)
        one = evaluation.figures(parameters.model.network.output)
        whole, groups = parameters.evaluations - (parameters.by is not None), len(parameters.groups or ())
        exact = Figures(
            what=self._beforehand(),
            rounds="model rounds",
            told=(
                *(Told(factors, among, summed=True) for factors in (*updates, (Factor(statistics),), measures)),
                told(whole, Lever.EVALUATIONS, each=one),
                told(groups, Lever.GROUPS, each=evaluation.GROUP_FIGURES),
            ),
            choices=choices,
            noise="privacy=fl.RecordLevel(...)",
        )
        return dict.fromkeys(clients, exact)

    def _among(self, clients: int) -> tuple[int, tuple[Choice, ...]]:
        """Of how many clients together a sum tells whoever sees it least, and what would make them more."""
        parameters = self.parameters
        apart = max(1, parameters.least(clients) - 1)
        whole = Choice(Lever.FEWEST, clients, max(1, clients - 1))
        if not parameters.mode.hides:
            return 1, () if parameters.strategy.each or apart == 1 else (Choice(Lever.MASKED, 1, apart),)
        return apart, () if whole.among == apart or parameters.participation < 1 else (whole,)

    def noisy(self) -> dict[str, tuple[Charge, ...]]:
        privacy = self.parameters.privacy
        if privacy is None:
            return {}
        whole = charges.times(self.round_charge(privacy), self.parameters.rounds)
        return dict.fromkeys(self.contributors(), (whole,))

    def noisy_round(self) -> dict[str, tuple[Charge, ...]]:
        privacy = self.parameters.privacy
        return {} if privacy is None else dict.fromkeys(self.contributors(), (self.round_charge(privacy),))

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

    def _beforehand(self) -> str:
        """What is let out besides the rounds."""
        number = self.parameters.evaluations
        evaluations = "one evaluation" if number == 1 else f"{number} evaluations"
        return f"{'what preparing takes, ' if self.parameters.statistics else ''}{evaluations}"

    def learns(self) -> tuple[Learns, ...]:
        parameters, mode, privacy = self.parameters, self.parameters.mode, self.parameters.privacy
        participants = parameters.participants(self.request)
        leaders = mode.leaders(participants)
        others = tuple(party for party in participants.clients if party not in leaders)
        models, led, told = self._exact() if privacy is None else self._noisy()
        return (
            *([Learns.of(Parties(others), *models)] if others else []),
            Learns.of(Parties(leaders), *led),
            Learns.of(Caller(self.request.caller), *told),
            Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.ROUNDS, Quantity.FEATURES)), *parameters.loop.timing),
            *([] if privacy is None else [self._hidden(privacy, leaders)]),
            mode.coalition(participants, noisy=isinstance(privacy, RecordLevel)),
        )

    def _exact(self) -> tuple[tuple[Knowledge, ...], ...]:
        """What clients, who leads, and the caller learn of a training that tells exact figures."""
        parameters, loop = self.parameters, self.parameters.loop
        statistics = RowStatistics(
            moments=tuple(parameters.model.standardised),
            filled=parameters.model.missing == "fill",
            label=parameters.label if parameters.class_weights == "balanced" else "",
        )
        models = (loop.models, statistics, *parameters.strategy.extra)
        facts = [Fact.ROUND_FIGURES, *([Fact.HELD_OUT_LOSS] if parameters.measures else [])]
        figures, lost = [*map(TrainingFact, facts)], TrainingFact(Fact.LOST_CLIENTS)
        each = [] if parameters.mode.hides else [EachUpdate(timed=bool(loop.timing)), EachStatistics()]
        evaluations = ClientEvaluations(every=parameters.evaluate_every, by=parameters.by or "")
        told = (FinalModel(), statistics, *figures, evaluations, lost, TrainingFact(Fact.ROUND_COSTS))
        return models, (*models, *figures, lost, *each), told

    def _noisy(self) -> tuple[tuple[Knowledge, ...], ...]:
        """The same of a private one."""
        seen: Knowledge = TrainingFact(Fact.MEAN_OF_NOISY_UPDATES)
        if isinstance(self.parameters.privacy, PartyLevel):
            seen = TrainingFact(Fact.NOISY_SUM)
        elif not self.parameters.mode.hides:
            seen = EachUpdate(noisy=True)
        told = (FinalModel(noisy=True), TrainingFact(Fact.LOST_CLIENTS))
        return (RoundModels(noisy=True),), (seen, TrainingFact(Fact.NOT_PAYING)), told

    def _hidden(self, privacy: Privacy, leaders: tuple[str, ...]) -> Learns:
        """What is left of a private one for those who tell each other what they know."""
        clients = self.contributors()
        if isinstance(privacy, RecordLevel):
            parties = tuple(dict.fromkeys((*clients, self.parameters.coordinator)))
            return Learns.of(Coalition((), len(parties) - 1, parties), TrainingFact(Fact.BOUND_BY_CHARGE))
        colluding = Coalition((), privacy.collusion, clients)
        if len(leaders) == 1:  # with as many clients as the noise allows for: who leads and trains is one of them
            apart = (*leaders, *self.parameters.mode.adds_up(self.parameters.participants(self.request)))
            others = tuple(party for party in clients if party not in apart)
            colluding = Coalition(leaders, privacy.collusion - (leaders[0] in clients), others)
        return Learns.of(colluding, TrainingFact(Fact.NOISY_SUM_WITH_ITS_NOISE))

    def contributors(self) -> tuple[str, ...]:
        return self.parameters.clients_of(self.request)

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        parameters, mode = self.parameters, self.parameters.mode
        participants = parameters.participants(self.request)
        found = {party: [RoleName.CLIENT] if party in participants.clients else [] for party in self.request.parties}
        for party in mode.adds_up(participants):
            found[party].append(RoleName.AGGREGATOR)
        if not mode.replicated:
            found[parameters.coordinator].append(RoleName.COORDINATOR)
        return {party: tuple(roles) for party, roles in found.items()}

    def essential(self) -> tuple[str, ...]:
        """The coordinator; where a sum is of all clients or of none, everyone."""
        return self.request.parties if self.parameters.mode.whole else (self.parameters.coordinator,)

    def name_of_work(self) -> str:
        return self.parameters.name

    def role(self, given: RoleInput) -> Role[Outcome]:
        return roles.role(given, self.parameters)

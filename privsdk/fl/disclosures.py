"""What a training lets out: which uses of columns it needs, and who learns what."""

from __future__ import annotations

from ..governance.learns import Caller, Coalition, Eavesdropper, Knowledge, Learns, LengthsShow, Parties, Quantity
from ..governance.policy import Disclosure, Need
from ..protocol.operation import Request
from .aggregation import Participants
from .learns import (
    BoundByCharge,
    ClientEvaluations,
    EachUpdate,
    FinalModel,
    LostClients,
    MeanOfNoisyUpdates,
    NoisySumOfUpdates,
    NoisySumWithItsNoise,
    NotPaying,
    RoundCosts,
    RoundFigures,
    RoundModels,
    RowStatistics,
)
from .parameters import FitParameters
from .privacy.levels import PartyLevel, Privacy


def needs(request: Request, parameters: FitParameters) -> dict[str, tuple[Need, ...]]:
    mode = parameters.mode

    def of(table: str) -> tuple[Need, ...]:
        uses = [(name, Disclosure.TRAINING_FEATURE, "the model's features") for name in parameters.model.features]
        uses.append((parameters.label, Disclosure.TRAINING_LABEL, "what it predicts"))
        needs = [Need(table=table, column=name, disclosure=use, result=result) for name, use, result in uses]
        result = "each client's own update, which the coordinator sees"
        needs += [
            Need(table=table, column=name, disclosure=Disclosure.MODEL_UPDATE, result=result)
            for name, _, _ in uses
            if not mode.hides
        ]
        needs += [
            Need(table=table, column=name, disclosure=mode.statistic, result=f"{what}, over all parties' training rows")
            for name, what in parameters.statistics
        ]
        if parameters.by is not None:
            result = f"scores by {parameters.by}"
            needs.append(Need(table=table, column=parameters.by, disclosure=Disclosure.GROUP_KEY, result=result))
        return tuple(needs)

    return {party: of(operand.table) for party, operand in request.operands.items()}


def learns(request: Request, parameters: FitParameters) -> tuple[Learns, ...]:
    """Who learns what of a training that tells exact figures, or of a private one."""
    if parameters.privacy is not None:
        return _privately(request, parameters, parameters.privacy)
    mode, participants = parameters.mode, parameters.participants(request)
    loop, strategy = parameters.strategy.loop, parameters.strategy
    statistics = RowStatistics(
        moments=tuple(parameters.model.standardised),
        filled=parameters.model.missing == "fill",
        label=parameters.label if parameters.class_weights == "balanced" else "",
    )
    models = (loop.models, statistics, *strategy.extra)
    each = [] if mode.hides else [EachUpdate(timed=bool(loop.timing))]
    evaluations = ClientEvaluations(every=parameters.evaluate_every, by=parameters.by or "")
    return (
        *_others(mode.leaders(participants), participants, *models),
        Learns.of(Parties(mode.leaders(participants)), *models, RoundFigures(), LostClients(), *each),
        Learns.of(
            Caller(request.caller), FinalModel(), statistics, RoundFigures(), evaluations, LostClients(), RoundCosts()
        ),
        Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.ROUNDS, Quantity.FEATURES)), *loop.timing),
        mode.coalition(participants, noisy=False),
    )


def _others(leaders: tuple[str, ...], participants: Participants, *what: Knowledge) -> tuple[Learns, ...]:
    """What the clients learn who do not coordinate."""
    others = tuple(party for party in participants.clients if party not in leaders)
    return (Learns.of(Parties(others), *what),) if others else ()


def _privately(request: Request, parameters: FitParameters, privacy: Privacy) -> tuple[Learns, ...]:
    mode, participants = parameters.mode, parameters.participants(request)
    leaders = mode.leaders(participants)
    seen: Knowledge
    if isinstance(privacy, PartyLevel):
        seen = NoisySumOfUpdates()
        hidden = Learns.of(_colluding(leaders, participants, privacy.collusion), NoisySumWithItsNoise())
    else:
        seen = MeanOfNoisyUpdates() if mode.hides else EachUpdate(noisy=True)
        parties = tuple(dict.fromkeys((*participants.clients, participants.coordinator)))
        hidden = Learns.of(Coalition((), len(parties) - 1, parties), BoundByCharge())
    return (
        *_others(leaders, participants, RoundModels(noisy=True)),
        Learns.of(Parties(leaders), seen, NotPaying()),
        Learns.of(Caller(request.caller), FinalModel(noisy=True), LostClients()),
        Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.ROUNDS, Quantity.FEATURES))),
        hidden,
        mode.coalition(participants, noisy=not isinstance(privacy, PartyLevel)),
    )


def _colluding(leaders: tuple[str, ...], participants: Participants, collusion: int) -> Coalition:
    """Who leads, with as many clients as the noise allows for: who leads and trains is one of them."""
    if len(leaders) > 1:
        return Coalition((), collusion, participants.clients)
    clients = tuple(party for party in participants.clients if party not in leaders)
    return Coalition(leaders, collusion - (leaders[0] in participants.clients), clients)

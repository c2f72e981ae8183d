"""What a training lets out: which uses of columns it needs, and who learns what."""

from __future__ import annotations

from ..governance.policy import Disclosure, Learns, Need
from ..protocol.request import Request
from .parameters import FitParameters, clients_of
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
            for name, what in parameters.facts
        ]
        if parameters.by is not None:
            result = f"scores by {parameters.by}"
            needs.append(Need(table=table, column=parameters.by, disclosure=Disclosure.GROUP_KEY, result=result))
        return tuple(needs)

    return {party: of(operand.table) for party, operand in request.operands.items()}


def learns(request: Request, parameters: FitParameters) -> tuple[Learns, ...]:
    clients, coordinator = clients_of(request), parameters.coordinator
    others = ", ".join(party for party in clients if party != coordinator)
    loop, strategy = parameters.strategy.loop, parameters.strategy
    mode, participants = parameters.mode, parameters.participants(request)
    facts = _facts(parameters)
    model = f"{loop.models}, the number of training rows over all parties{facts}"
    evaluation = "evaluation and held-out rows"
    if parameters.evaluate_every:
        evaluation += f", every {parameters.evaluate_every} rounds and at the end"
    if parameters.by is not None:
        evaluation += f", by {parameters.by} for groups of at least its minimum count"
    each = "" if mode.hides else ", and every client's own update"
    onlooker = "the number of rounds and of features, roughly"
    if loop.timing:
        each += " and when it came"
        onlooker += f", and {loop.timing}"
    if strategy.extra:
        model += f", {strategy.extra}"
    if parameters.privacy is not None:
        return _privately(request, parameters, parameters.privacy)
    seen = f"{model}, the rows and the mean loss of those in each round, who is lost and who cannot pay{each}"
    trainers: tuple[Learns, ...] = (Learns(who=others, what=model), Learns(who=coordinator, what=seen))
    if mode.replicated:
        trainers = (Learns(who=", ".join(clients), what=seen),)
    return (
        *trainers,
        Learns(
            who=request.caller,
            what=f"the final model, the number of training rows over all parties{facts}, the rows and the mean loss of "
            f"those in each round, each party's {evaluation}, who was lost on the way or could not pay and why, what "
            "each round took",
        ),
        Learns(who="onlooker", what=onlooker),
        mode.coalition(participants, noisy=False),
    )


def _facts(parameters: FitParameters) -> str:
    """What is told of all training rows together beside their number."""
    names = ", ".join(parameters.model.standardised)
    filled = " and the number of values" if parameters.model.missing == "fill" else ""
    moments = f", over them the mean and standard deviation{filled} of {names}" if names else ""
    counts = f", how many have each {parameters.label}" if parameters.class_weights == "balanced" else ""
    return moments + counts


def _privately(request: Request, parameters: FitParameters, privacy: Privacy) -> tuple[Learns, ...]:
    mode, participants = parameters.mode, parameters.participants(request)
    clients, coordinator = participants.clients, participants.coordinator
    others = ", ".join(party for party in clients if party != coordinator)
    if isinstance(privacy, PartyLevel):
        seen = "the noisy sum of the clients' bounded updates in each round"
        leaders = mode.leaders(participants)
        most = privacy.collusion - (leaders[0] in clients)  # who leads and trains knows its own noise
        leader = "a client" if len(leaders) > 1 else coordinator
        kind = "other client" if leaders[0] in clients else "client"
        beside = f"{most} {kind}{'s' if most > 1 else ''} and "
        small = f"{beside}{leader} together" if most else f"{leader} alone"
        hidden = (Learns(who=small, what="that noisy sum with the noise that was charged, and no less"),)
    else:
        shown = "the mean of the clients' updates" if mode.hides else "every client's own update"
        seen = f"{shown} in each round, with noise in every step"
        hidden = (Learns(who="all others together", what="of a party's rows no more than its charged noise lets out"),)
    return (
        Learns(who=others, what="the noisy model of each round, and who is in it"),
        Learns(who=coordinator, what=f"{seen}, who is in it, who cannot pay for a round"),
        Learns(who=request.caller, what="the final noisy model, who was lost on the way or could not pay and why"),
        Learns(who="onlooker", what="the number of rounds and of features, roughly"),
        *hidden,
        mode.coalition(participants, noisy=not isinstance(privacy, PartyLevel)),
    )

"""What a training lets out: which uses of columns it needs, and who learns what."""

from __future__ import annotations

from ..governance.policy import Disclosure, Learns, Need
from ..protocol.operation import Request
from .parameters import FitParameters, clients_of
from .privacy.levels import PartyLevel, Privacy
from .strategies.fedbuff import FedBuff
from .strategies.scaffold import Scaffold


def needs(request: Request, parameters: FitParameters) -> dict[str, tuple[Need, ...]]:
    shown = parameters.aggregation == "clear"

    def of(table: str) -> tuple[Need, ...]:
        uses = [(name, Disclosure.TRAINING_FEATURE, "the model's features") for name in parameters.model.features]
        uses.append((parameters.label, Disclosure.TRAINING_LABEL, "what it predicts"))
        needs = [Need(table=table, column=name, disclosure=use, result=result) for name, use, result in uses]
        result = "each client's own update, which the coordinator sees"
        needs += [
            Need(table=table, column=name, disclosure=Disclosure.MODEL_UPDATE, result=result)
            for name, _, _ in uses
            if shown
        ]
        summed = Disclosure.AGGREGATE if shown else Disclosure.HE_OPERAND
        needs += [
            Need(table=table, column=name, disclosure=summed, result=f"{what}, over all parties' training rows")
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
    model = "the averaged model of each round and who is in it, the number of training rows over all parties"
    threshold = max(
        2, parameters.fewest
    )  # in every round: each is of so many clients, and takes more than half of them
    facts = _facts(parameters)
    model += facts
    evaluation = "evaluation and held-out rows"
    if parameters.evaluate_every:
        evaluation += f", every {parameters.evaluate_every} rounds and at the end"
    if parameters.by is not None:
        evaluation += f", by {parameters.by} for groups of at least its minimum count"
    each = ", and every client's own update" if parameters.aggregation == "clear" else ""
    if isinstance(parameters.strategy, FedBuff):
        model = (
            f"the models that they train from and the final one, the number of training rows over all parties{facts}"
        )
        each = ", and every client's own update and when it came"
    onlooker = "the number of rounds and of features, roughly"
    if isinstance(parameters.strategy, FedBuff):
        onlooker += ", and how fast each client is"
    if isinstance(parameters.strategy, Scaffold):
        model += ", the mean control variate of each round"
    together = {
        "encrypted": f"{clients[-1]} and {coordinator} together",
        "masked": f"{coordinator} and fewer than {threshold} clients together",
        "all-to-all": "any clients together",
        "clear": f"all clients but one and {coordinator} together",
    }[parameters.aggregation]
    counted = f", {coordinator} counted among them" if coordinator in clients else ""
    what = {
        "encrypted": "every party's updates: the collusion threshold is 1",
        "masked": f"no more than the sum of the other clients' updates{counted}",
        "all-to-all": "no more than the sum of the other clients' updates, which all but one know to be that one's",
        "clear": f"nothing that {coordinator} does not see",
    }[parameters.aggregation]
    if parameters.privacy is not None:
        return _privately(request, parameters, parameters.privacy, Learns(who=together, what=what))
    seen = f"{model}, the rows and the mean loss of those in each round, who is lost and who cannot pay{each}"
    trainers: tuple[Learns, ...] = (Learns(who=others, what=model), Learns(who=coordinator, what=seen))
    if parameters.aggregation == "all-to-all":
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
        Learns(who=together, what=what),
    )


def _facts(parameters: FitParameters) -> str:
    """What is told of all training rows together beside their number."""
    names = ", ".join(parameters.model.standardised)
    filled = " and the number of values" if parameters.model.missing == "fill" else ""
    moments = f", over them the mean and standard deviation{filled} of {names}" if names else ""
    counts = f", how many have each {parameters.label}" if parameters.class_weights == "balanced" else ""
    return moments + counts


def _privately(request: Request, parameters: FitParameters, privacy: Privacy, together: Learns) -> tuple[Learns, ...]:
    coordinator = parameters.coordinator
    others = ", ".join(party for party in clients_of(request) if party != coordinator)
    if isinstance(privacy, PartyLevel):
        seen = "the noisy sum of the clients' bounded updates in each round"
        clients = clients_of(request)
        leaders = clients if parameters.aggregation == "all-to-all" else (coordinator,)
        most = privacy.collusion - (leaders[0] in clients)  # who leads and trains knows its own noise
        leader = "a client" if len(leaders) > 1 else coordinator
        kind = "other client" if leaders[0] in clients else "client"
        beside = f"{most} {kind}{'s' if most > 1 else ''} and "
        small = f"{beside}{leader} together" if most else f"{leader} alone"
        hidden = (Learns(who=small, what="that noisy sum with the noise that was charged, and no less"),)
    else:
        shown = "every client's own update" if parameters.aggregation == "clear" else "the mean of the clients' updates"
        seen = f"{shown} in each round, with noise in every step"
        hidden = (Learns(who="all others together", what="of a party's rows no more than its charged noise lets out"),)
        if parameters.aggregation == "encrypted":
            together = Learns(
                who=together.who, what="every party's noisy updates: the collusion threshold of the sum is 1"
            )
    return (
        Learns(who=others, what="the noisy model of each round, and who is in it"),
        Learns(who=coordinator, what=f"{seen}, who is in it, who cannot pay for a round"),
        Learns(who=request.caller, what="the final noisy model, who was lost on the way or could not pay and why"),
        Learns(who="onlooker", what="the number of rounds and of features, roughly"),
        *hidden,
        together,
    )

"""All that a training was asked for, as a value: what can be checked of it without data is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal, get_args

import msgspec

from ..errors import InvalidArgument, UnsupportedUse
from ..errors.inputs import WrongType
from ..protocol.columns.keys import HasKeys, Key, check_keys, plain_keys
from ..protocol.operation import LONGEST_NAME, Request
from ..protocol.timeouts import READ_S
from .aggregation import AggregationMode, Participants, mode_named
from .compression.quantised import Quantised
from .compression.topk import TopK
from .fedavg import FedAvg
from .loops.course import Loop
from .loops.rounds import Synchronous
from .models.features import Vector
from .models.model import Model, check_model
from .models.training import Schedule
from .preparation import ClassWeights
from .privacy import charges
from .privacy.levels import Privacy
from .strategies.fedbuff import FedBuff
from .strategies.fedopt import FedAdam, FedYogi
from .strategies.fedprox import FedProx
from .strategies.robust import Median, TrimmedMean
from .strategies.scaffold import Scaffold

MAX_ROUNDS = 10_000
DEADLINE_S = 120.0

Strategies = FedAvg | FedProx | Scaffold | FedAdam | FedYogi | Median | TrimmedMean | FedBuff
Compressions = Quantised | TopK
Aggregation = Literal["masked", "encrypted", "all-to-all", "clear"]  # as `aggregation` registers them


class FitParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that `fl.fit` was asked for; see there."""

    model: Model
    label: str
    strategy: Strategies
    schedule: Schedule
    rounds: int
    aggregation: str
    coordinator: str
    participation: float
    fewest: int
    deadline_s: float
    held_out: float
    seed: int
    class_weights: ClassWeights = None
    by: str | None = None
    groups: tuple[Key, ...] | None = None
    evaluate_every: int = 0
    compression: Compressions | None = None
    privacy: Privacy | None = None
    name: str = ""
    clients: tuple[str, ...] = ()  # in the order that their draws go by; in the request a coordinator is last

    def __post_init__(self) -> None:
        self._check_numbers()
        if len(self.name) > LONGEST_NAME:
            raise InvalidArgument(f"a name of {len(self.name)} letters", hint=f"give up to {LONGEST_NAME}")
        if self.label in self.model.features:
            raise InvalidArgument(f"the label {self.label!r} is among the features", hint="leave it out of them")
        check_keys(self.by, self.groups)
        self._check_classes()
        check_choices(self.strategy, self.mode, self.participation, self.compression)
        if self.mode.whole and self.participation < 1:
            raise InvalidArgument(
                f"with {self.aggregation} updates a sum is of all clients in every round",
                hint='use aggregation="masked", or participation=1',
            )
        if self.privacy is not None:
            self._check_privacy(self.privacy)
        if self.name and self.loop.name_refused:
            raise InvalidArgument(
                f"{type(self.strategy).__name__} {self.loop.name_refused}",
                hint="leave name out, or use a strategy with rounds",
            )

    def clients_of(self, request: Request) -> tuple[str, ...]:
        """The parties that train."""
        return self.clients or tuple(party for party in request.parties if party in request.operands)

    def _check_numbers(self) -> None:
        if not 1 <= self.rounds <= MAX_ROUNDS:
            raise InvalidArgument(f"rounds is {self.rounds}", hint=f"give 1 to {MAX_ROUNDS}")
        if not 0 < self.participation <= 1:
            raise InvalidArgument(
                f"participation is {self.participation}", hint="give a share above 0, up to 1 for all"
            )
        if not 0 < self.deadline_s <= READ_S:  # longer than a party waits for any message
            raise InvalidArgument(f"deadline_s is {self.deadline_s}", hint=f"give seconds, up to {READ_S:g}")
        if not 0 < self.held_out < 1:
            raise InvalidArgument(f"held_out is {self.held_out}", hint="give a share between 0 and 1, such as 0.2")
        if self.seed < 0:
            raise InvalidArgument(f"seed is {self.seed}", hint="give 0 or more")
        if not 0 <= self.evaluate_every <= self.rounds:
            raise InvalidArgument(
                f"an evaluation every {self.evaluate_every} rounds of {self.rounds}",
                hint="give 1 to the rounds, or none",
            )

    def _check_classes(self) -> None:
        classes = self.model.target.classes
        if self.class_weights is not None and not classes:
            raise InvalidArgument(
                f"a {type(self.model).__name__} that predicts a number has no classes", hint="leave class_weights out"
            )
        if isinstance(self.class_weights, tuple):
            usable = all(0 < weight < math.inf for weight in self.class_weights)
            if len(self.class_weights) != len(classes) or not usable:
                raise InvalidArgument(
                    f"class_weights has {len(self.class_weights)} numbers for {len(classes)} classes",
                    hint="give each class a positive number",
                )

    def _check_privacy(self, privacy: Privacy) -> None:
        charges.check(privacy, self.schedule, hidden=self.mode.hides, each=self.strategy.each)
        exact = [
            *(f"the mean of {name}" for name in self.model.standardised),
            *(["balanced class weights"] if self.class_weights == "balanced" else []),
            *(["scores by group"] if self.by is not None else []),
            *(["evaluations on the way"] if self.evaluate_every else []),
        ]
        if exact:
            raise InvalidArgument(
                f"with privacy nothing exact is released of the rows, such as {', '.join(exact)}",
                hint="give public ranges and class weights, and leave by and evaluate_every out",
            )
        if self.loop.privacy_refused:
            raise InvalidArgument(
                f"{type(self.strategy).__name__} {self.loop.privacy_refused}",
                hint="use a strategy with rounds",
            )

    @property
    def mode(self) -> AggregationMode:
        """How updates are added up."""
        return mode_named(self.aggregation)

    @property
    def loop(self) -> Loop:
        """When clients train and the model moves."""
        return loop_of(self.strategy)

    def least(self, clients: int) -> int:
        """How many clients there are in any sum that is opened."""
        return clients if self.mode.whole else self.fewest

    def participants(self, request: Request) -> Participants:
        """Who adds up."""
        clients = self.clients_of(request)
        drawn = max(self.fewest, round(self.participation * len(clients)))
        return Participants(clients, self.coordinator, self.fewest, drawn)

    @property
    def columns(self) -> tuple[str, ...]:
        """What each client brings."""
        return tuple(dict.fromkeys((*self.model.features, self.label, *([self.by] if self.by is not None else []))))

    @property
    def evaluations(self) -> int:
        """How often each client evaluates a model on its held-out rows, by groups once more."""
        if self.privacy is not None:
            return 0
        curve = self.rounds // self.evaluate_every if self.evaluate_every else 0
        return 1 + curve + (self.by is not None)

    @property
    def measures(self) -> int:
        """How often the loss on all held-out rows is."""
        return self.evaluations - (self.by is not None) if self.evaluate_every and self.loop.measures else 0

    @property
    def statistics(self) -> tuple[tuple[str, str], ...]:
        """What is summed over all training rows besides their number, by column: everyone learns it."""
        values = " and the number of its values" if self.model.missing == "fill" else ""
        moments = [(name, f"the mean and standard deviation of {name}{values}") for name in self.model.standardised]
        counts = [(self.label, f"how many have each {self.label}")] if self.class_weights == "balanced" else []
        return (*moments, *counts)


def loop_of(strategy: Strategies) -> Loop:
    """FedBuff has a loop of its own; all others go in rounds."""
    return strategy.loop if isinstance(strategy, FedBuff) else Synchronous()


def check_choices(
    strategy: Strategies, mode: AggregationMode, participation: float, compression: Compressions | None
) -> None:
    """Raise InvalidArgument where one of them rules out another: before anything is charged, with the reason."""
    name, clear = type(strategy).__name__, 'use aggregation="clear", which shows every update to the coordinator'
    if strategy.each and mode.hides:
        raise InvalidArgument(
            f"{name} cannot go with {mode.name} updates: {strategy.each}", hint=f"{clear}, or another strategy"
        )
    loop = loop_of(strategy)
    if loop.draw_refused and participation < 1:
        raise InvalidArgument(f"{name} {loop.draw_refused}", hint="use participation=1, or a strategy with rounds")
    if compression is None:
        return
    packed = type(compression).__name__
    if mode.hides:
        raise InvalidArgument(
            f"{packed} updates cannot be {mode.name}: {compression.sum_refused}", hint=f"{clear}, or no compression"
        )
    if strategy.compression_refused:
        raise InvalidArgument(
            f"{name} cannot go with {packed} updates: {strategy.compression_refused}",
            hint="use another strategy, or no compression",
        )
    if compression.sparse and strategy.sparse_refused:
        raise InvalidArgument(
            f"{name} cannot go with {packed} updates: {strategy.sparse_refused}",
            hint="use fl.Quantised(), which moves a median by at most one of its levels",
        )


def parameters_of(verb: str, given: Mapping[str, Any], *, clients: Sequence[str], coordinator: str) -> FitParameters:
    """The arguments of a verb as a request carries them.

    Raises InvalidArgument where one is not of its type, or not to be used.
    """
    check_model(given["model"])
    for name, known in _DECLARED.items():
        _check_declared(name, given.get(name), known)
    rate = given["learning_rate"]
    named = {name: given[name] for name in FitParameters.__struct_fields__ if name in given}
    named |= {
        "strategy": FedAvg() if given["strategy"] is None else given["strategy"],
        "schedule": {
            "epochs": given["local_epochs"] or 0,
            "steps": given["local_steps"],
            "batch_size": given["batch_size"] or 0,
            "learning_rate": _plain(given["model"].learning_rate if rate is None else rate),
        },
        **{name: _plain(given[name]) for name in ("participation", "deadline_s", "held_out")},
        "coordinator": coordinator,
        "clients": tuple(clients),
        "fewest": len(clients) // 2 + 1 if given["fewest"] is None else given["fewest"],
        "class_weights": _plain_class_weights(given["model"], given["class_weights"]),
        "groups": plain_keys(given["by"], given["groups"]),
        "evaluate_every": given["evaluate_every"] or 0,
    }
    try:  # types are looked at before values are compared with bounds; then all is as every party reads it
        typed = msgspec.convert(named, FitParameters)
        return msgspec.convert(msgspec.to_builtins(typed), FitParameters)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{verb}: {error}", hint=f"see help({verb})") from None


_DECLARED = {"strategy": get_args(Strategies), "compression": get_args(Compressions), "privacy": get_args(Privacy)}


def _check_declared(name: str, given: object, known: tuple[type, ...]) -> None:
    """Raise UnsupportedUse for what is none of these declarations; a name or a class is answered by its own."""
    if given is None or isinstance(given, known):
        return
    text = given.__name__ if isinstance(given, type) else str(given)
    meant = [cls for cls in known if cls.__name__.lower() == text.lower().replace("_", "")]
    wanted = ", ".join(f"fl.{cls.__name__}({'' if name == 'strategy' else '...'})" for cls in meant or known)
    kind = "class" if isinstance(given, type) else type(given).__name__
    raise UnsupportedUse(WrongType(name=name, given=kind, wanted=f"{name}={wanted}"))


def _plain(number: object) -> object:
    """A float of any real number, such as NumPy's."""
    return float(number) if isinstance(number, Real) and not isinstance(number, bool) else number


def _plain_class_weights(model: Model, given: Literal["balanced"] | Mapping[Key, float] | None) -> ClassWeights:
    """As the declaration takes them: numbers in the order of the classes."""
    if given is None or given == "balanced":
        return given
    classes = model.target.classes
    if not isinstance(given, Mapping) or set(given) != set(classes):
        raise InvalidArgument(
            "class_weights does not say what each class weighs",
            hint=f'give "balanced", or a number for each of {", ".join(map(repr, classes)) or "a model of classes"}',
        )
    for each in classes:
        if isinstance(given[each], bool) or not isinstance(given[each], int | float):
            raise InvalidArgument(
                f"class_weights of {each!r} is {given[each]!r}, no number", hint="give a positive number"
            )
    return tuple(float(given[each]) for each in classes)


def check_types(where: str, types: Mapping[str, str], parameters: FitParameters) -> None:
    """Raise InvalidArgument where a column's type, as text, is not what the model or the groups need."""
    for column, kind in parameters.model.kinds(parameters.label).items():
        kind.check(f"{where}.{column}", types[column])
    for column, feature in parameters.model.declared.items():
        if isinstance(feature, Vector):
            feature.check_type(f"{where}.{column}", types[column])
    if parameters.by is not None and parameters.groups is not None:
        HasKeys(parameters.groups).check(f"{where}.{parameters.by}", types[parameters.by])

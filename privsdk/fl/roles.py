"""What each party does in a training: coordinates, trains, or both, with what its parameters ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from ..crypto.sums.base import Sum
from ..errors import DataError
from ..protocol.groups import groups_of
from ..protocol.operation import Outcome, RoleInput
from ..protocol.roles import Role
from ..protocol.services import UNGUARDED
from .averages import VALUES, Averages, Each, OnGrid
from .loops.course import ClientInput, CoordinatorInput, Course, TrainingResult
from .models.evaluation import Groups, HeldOut
from .models.training import Trainer, in_threads
from .parameters import FitParameters
from .preparation import Fold, Preparation, length_of
from .privacy.levels import PartyLevel, RecordLevel
from .privacy.party_level import NoiseShares, NoisyOnGrid
from .privacy.record_level import NoisySteps

HISTORY = ("round", "clients", "rows", "loss", "held_out_loss", "staleness", "update_bytes")


def role(
    given: RoleInput,
    parameters: FitParameters,
    train: Trainer = in_threads,
    sums: Callable[[], Sum] | None = None,
    fold: Fold | None = None,
) -> Role[Outcome]:
    """A party's part; `train` trains a client, and `sums` makes what adds up in place of the aggregation's. A `fold` of
    its rows is held out in place of the share."""
    clients = parameters.clients_of(given.request)
    mode, participants = parameters.mode, parameters.participants(given.request)
    sums = sums or partial(mode.sum, given, participants, within_s=parameters.deadline_s)
    course = Course(
        parameters.model.network,
        parameters.strategy,
        parameters.schedule,
        parameters.rounds,
        parameters.seed,
        parameters.least(len(clients)),
        parameters.participation,
        parameters.deadline_s,
        private=parameters.privacy is not None,
        compression=parameters.compression,
        measured=parameters.evaluate_every if parameters.measures else 0,
    )
    if given.party not in mode.leaders(participants):
        return Outcome(value=(yield from _train(given, parameters, course, train, sums(), fold)))
    coordinating = _coordinate(given, parameters, course, sums())
    if given.party not in clients:
        return _outcome((yield from coordinating), {})
    training = _train(given, parameters, course, train, sums(), fold)
    trained, value = yield from mode.both(given.party, participants, coordinating, training)
    return _outcome(trained, value) if given.party == parameters.coordinator else Outcome(value=value)


def _outcome(trained: TrainingResult, evaluation: Mapping[str, Any]) -> Outcome:
    """The coordinator's answer, with its evaluation where it is a client too."""
    lost = {party: [number, error.message] for party, (number, error) in trained.lost.items()}
    weights = pa.table([pa.array(trained.weights)], schema=VALUES)
    history = {name: [each.get(name) for each in trained.rounds] for name in HISTORY}  # columns: of 10,000 rounds too
    value = {
        "rounds": history,
        "lost": lost,
        "facts": trained.statistics.tolist(),
        "best": trained.best,
        "ended": trained.ended,
        "resumed": trained.resumed,
        **evaluation,
    }
    return Outcome(value=value, table=weights)


def _averages(given: RoleInput, parameters: FitParameters, sum_: Sum) -> Averages:
    clients = parameters.clients_of(given.request)
    if not parameters.mode.hides:
        number = clients.index(given.party) if given.party in clients else len(clients)
        return Each(
            coordinator=parameters.coordinator,
            within_s=parameters.deadline_s,
            compression=parameters.compression,
            seed=(parameters.seed, number),
            me=given.party,
            floor=given.min_parties + 1,  # every client sees the model; min_parties leaves out one who does
        )
    if not isinstance(parameters.privacy, PartyLevel):
        return OnGrid(sum_)
    length, fewest = parameters.strategy.parts * parameters.model.network.size, parameters.least(len(clients))
    shares = NoiseShares(parameters.privacy, clients=len(clients), fewest=fewest, length=length)
    return NoisyOnGrid(sum_, shares, given.entropy)


def _trainer(given: RoleInput, parameters: FitParameters, train: Trainer) -> Trainer:
    if isinstance(parameters.privacy, RecordLevel):
        return NoisySteps(parameters.privacy, batch_size=parameters.schedule.batch_size, entropy=given.entropy)
    return train


def _coordinate(given: RoleInput, parameters: FitParameters, course: Course, sum_: Sum) -> Role[TrainingResult]:
    coordinating = CoordinatorInput(
        clients=parameters.clients_of(given.request),
        statistics=length_of(parameters.model, parameters.class_weights),
        sum_=sum_,
        averages=_averages(given, parameters, sum_),
        checkpoints=given.services.checkpoints("coordinator"),
        stop_requested=UNGUARDED.stop_requested if parameters.mode.replicated else given.services.stop_requested,
    )
    return parameters.loop.coordinator(course, coordinating)


def prepared(given: RoleInput, parameters: FitParameters, fold: Fold | None) -> Preparation:
    """A client's rows."""
    clients = parameters.clients_of(given.request)
    return Preparation(
        parameters.model,
        given.table,
        label=parameters.label,
        class_weights=parameters.class_weights,
        share=parameters.held_out,
        seed=(parameters.seed, clients.index(given.party)),
        party=given.party,
        clients=len(clients),
        min_count=given.min_count,
        owners=given.keys,
        private=parameters.privacy,
        fold=fold,
    )


def _train(
    given: RoleInput, parameters: FitParameters, course: Course, train: Trainer, sum_: Sum, fold: Fold | None
) -> Role[dict[str, Any]]:
    """A client's part, and its evaluation of the final model and of those on the way."""
    ready = prepared(given, parameters, fold)
    size = parameters.schedule.batch_size
    if size and parameters.privacy is None and not ready.every_batch_is_large(size):
        counted = "rows" if given.keys is None else "units"
        raise DataError(
            f"{given.party} trains on batches of at least its minimum count of {given.min_count} {counted}",
            hint="use a larger batch_size",
        )
    groups = None
    if parameters.by is not None and parameters.groups is not None:
        of = groups_of(given.table.column(parameters.by), parameters.groups)
        groups = Groups(len(parameters.groups), of[ready.kept])
    if parameters.privacy is None:
        given.services.screen(ready.row_sets(groups), given.min_count)
    held_out = HeldOut(
        course.network,
        ready.held_out,
        owners=ready.owners[ready.kept],
        min_count=given.min_count,
        unit=parameters.model.target.unit,
        every=parameters.evaluate_every,
        groups=groups,
    )
    alike = parameters.mode.replicated
    training = ClientInput(
        prepared=ready,
        me=given.party,
        clients=parameters.clients_of(given.request),
        coordinator=given.party if alike else parameters.coordinator,
        sum_=sum_,
        averages=_averages(given, parameters, sum_),
        train=_trainer(given, parameters, train),
        pay=given.services.pay,
        look=held_out.look,
        held_out_loss=held_out.loss,
        checkpoints=given.services.checkpoints("client"),
        copy=given.services.checkpoints("coordinator") if alike else None,
        stop_requested=given.services.stop_requested if alike else UNGUARDED.stop_requested,
    )
    return held_out.told((yield from parameters.loop.client(course, training)))

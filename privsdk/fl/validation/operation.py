"""The declaration of `fl.cross_validate`: a training for each candidate and fold, one after the other, in one run.

Every client cuts its complete rows into folds by the public seed. In each training one fold is kept, and each client
evaluates the model on its own. All row sets pass the differencing guard before the first training begins; all of it is
paid at once. Nobody but the parties of a training gets a model: the caller gets evaluations.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import msgspec
import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.inputs import ValidationMisfit
from ...governance.learns import Caller, Knowledge, Learns, Parties, RoleName, Who
from ...governance.policy import Need
from ...governance.prices import Figures
from ...protocol.operation import Operation, Outcome, RoleInput, register
from ...protocol.roles import Role, during
from ...protocol.services import Unguarded
from .. import roles
from ..operation import Fit
from ..parameters import FitParameters
from ..preparation import Fold

MOST_FOLDS = 20
MOST_TRAININGS = 200


class ValidationParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that `fl.cross_validate` was asked for; see there."""

    candidates: tuple[FitParameters, ...]
    folds: int

    def __post_init__(self) -> None:
        shared = {(c.label, c.columns, c.coordinator, c.aggregation, c.clients, c.seed) for c in self.candidates}
        if not 2 <= self.folds <= MOST_FOLDS:
            raise InvalidArgument(ValidationMisfit(wrong="folds", number=self.folds, most=MOST_FOLDS))
        if not 1 <= self.trainings <= MOST_TRAININGS:
            raise InvalidArgument(ValidationMisfit(wrong="trainings", number=self.trainings, most=MOST_TRAININGS))
        if len(shared) != 1:
            raise InvalidArgument(ValidationMisfit(wrong="apart"))
        if any(c.privacy or c.name or c.evaluate_every or c.by is not None for c in self.candidates):
            raise InvalidArgument(ValidationMisfit(wrong="exact"))

    @property
    def trainings(self) -> int:
        return len(self.candidates) * self.folds


class EveryTraining(Knowledge, frozen=True):
    number: int

    def __str__(self) -> str:
        return f"all this of each of {self.number} trainings"


class FoldEvaluations(Knowledge, frozen=True):
    """Of every candidate on every fold."""

    candidates: int
    folds: int

    def __str__(self) -> str:
        of = f"each of {self.candidates} candidates" if self.candidates > 1 else "the model"
        return f"each party's evaluation of {of} on each of {self.folds} folds, how many rows these have, and no model"


@register("fl.cross_validate")
class CrossValidate(Operation[ValidationParameters]):
    """Trainings over the tables of the same clients, of which only evaluations are told."""

    parameters_type = ValidationParameters

    @property
    def _fits(self) -> tuple[Fit, ...]:
        return tuple(Fit(self.request, each) for each in self.parameters.candidates)

    def check(self) -> None:
        for fit in self._fits:
            fit.check()

    def fits(self, party: str, schema: pa.Schema) -> None:
        for fit in self._fits:
            fit.fits(party, schema)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        each = [fit.needs() for fit in self._fits]
        return {party: tuple(dict.fromkeys(need for needs in each for need in needs[party])) for party in each[0]}

    def figures(self) -> dict[str, Figures]:
        each, folds = [fit.figures() for fit in self._fits], self.parameters.folds
        what = f"{self.parameters.trainings} trainings, each with an evaluation on a fold"
        return {
            party: Figures(what=what, told=tuple(told for figures in each for told in figures[party].told) * folds)
            for party in each[0]
        }

    def learns(self) -> tuple[Learns, ...]:
        known: dict[Who, dict[Knowledge, None]] = {}
        for item in (item for fit in self._fits for item in fit.learns() if not isinstance(item.who, Caller)):
            known.setdefault(item.who, {}).update(dict.fromkeys(item.what))
        number = self.parameters.trainings
        told = FoldEvaluations(candidates=len(self.parameters.candidates), folds=self.parameters.folds)
        return (
            *(Learns.of(w, *k, *([EveryTraining(number=number)] * isinstance(w, Parties))) for w, k in known.items()),
            Learns.of(Caller(self.request.caller), told),
        )

    def contributors(self) -> tuple[str, ...]:
        return self._fits[0].contributors()

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        return self._fits[0].roles()

    def role(self, given: RoleInput) -> Role[Outcome]:
        return _role(given, self.parameters)


def _role(given: RoleInput, parameters: ValidationParameters) -> Role[Outcome]:
    """All trainings in turn, under sessions of their own; what the party tells of each."""
    if given.party in parameters.candidates[0].clients_of(given.request):
        prepared = [roles.prepared(given, each, fold) for each, fold in _trainings(parameters)]
        given.services.screen([rows for each in prepared for rows in each.row_sets(None)], given.min_count)
        del prepared
    told: list[dict[str, Any]] = []
    for number, (each, fold) in enumerate(_trainings(parameters), 1):
        session = hashlib.blake2b(given.session + number.to_bytes(4), digest_size=len(given.session)).digest()
        services = Unguarded(given.services.identity)  # paid and screened already
        within = dataclasses.replace(given, session=session, services=services)
        training = roles.role(within, each, fold=fold)
        outcome = yield from during(f"training {number} of {parameters.trainings}", training)
        told.append({"evaluation": outcome.value.get("evaluation", {})})
    return Outcome(value={"trainings": told})


def _trainings(parameters: ValidationParameters) -> Iterator[tuple[FitParameters, Fold]]:
    """Of each candidate every fold."""
    for each, number in product(parameters.candidates, range(parameters.folds)):
        yield each, Fold(number, parameters.folds)

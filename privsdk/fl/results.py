"""From what the parties of a training answered to the model in the notebook's hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from ..errors import PeerError, PrivsdkError, ProtocolViolation
from ..protocol.control import Trace
from .fitted import Fitted
from .models.evaluation import SCORES, main_score
from .parameters import FitParameters
from .preparation import totals_of
from .roles import HISTORY

TOOK = pa.schema([("seconds", pa.float64()), ("bytes_sent", pa.int64()), ("bytes_received", pa.int64())])
_REALS = ("loss", "staleness")


class Answer(Protocol):
    """What one party's role returned, wherever it ran."""

    @property
    def value(self) -> Mapping[str, Any]: ...

    @property
    def table(self) -> pa.Table | None: ...


def fitted(
    parameters: FitParameters,
    answers: Mapping[str, Answer],
    clients: tuple[str, ...],
    *,
    trace: Trace,
    lost: Mapping[str, PrivsdkError],
) -> Fitted:
    """The model, its history and its evaluation; raises ProtocolViolation where the coordinator's answer has none.

    Parameters
    ----------
    answers : of the coordinator, and of those clients that came to the end
    trace : when the coordinator had done which round
    lost : parties that the run went on without, each with the error that it ended with
    """
    model, coordinator = parameters.model, parameters.coordinator
    value, table = answers[coordinator].value, answers[coordinator].table
    if table is None or len(table) != model.network.size:
        raise ProtocolViolation(f"{coordinator} answered without a model, or with another")
    facts = np.array(value["facts"], np.int64)
    told = {party: (number, why) for party, (number, why) in value["lost"].items()}
    # a party's own error is the cause, unless it is that the coordinator had left it
    whole = {party: e.message for party, e in lost.items() if not isinstance(e, PeerError)}
    said = {party: answer.value for party, answer in answers.items() if party in clients}
    names = SCORES[model.network.output]
    scores = [("rows", pa.int64()), *((name, pa.float64()) for name in names)]
    keys = parameters.groups or ()
    key_type = pa.array(list(keys), None if keys else pa.string()).type
    groups = [
        {"party": party, "group": keys[group], "rows": rows, names[0]: score}
        for party, each in said.items()
        for group, rows, score in each["groups"]
    ]
    gone = [{"party": party, "round": number, "why": whole.get(party, why)} for party, (number, why) in told.items()]
    party = ("party", pa.string())
    return Fitted(
        model=model,
        label=parameters.label,
        weights=table.column("value").to_numpy(),
        scales=totals_of(model, parameters.class_weights, facts, len(clients)).scales,
        history=_history(value["rounds"], trace),
        evaluation=_table([{"party": name, **each["evaluation"]} for name, each in said.items()], [party, *scores]),
        curve=_table(
            [{"party": name, **row} for name, each in said.items() for row in each["curve"]],
            [party, ("round", pa.int64()), *scores[1:]],
        ),
        groups=_table(
            groups, [party, ("group", key_type), scores[0], (main_score(model.network.output), pa.float64())]
        ),
        lost=_table(gone, [party, ("round", pa.int64()), ("why", pa.string())]),
        ended=value["ended"],
        resumed=value["resumed"],
    )


def _history(rounds: Mapping[str, list[Any]], trace: Trace) -> pa.Table:
    """What each round told, and what it took at the coordinator: unknown for rounds of an earlier run."""
    told = {}
    for name in HISTORY:
        if name == "update_bytes":
            items = [None if each is None else list(each.items()) for each in rounds[name]]
            told[name] = pa.array(items, pa.map_(pa.string(), pa.int64()))
        else:
            told[name] = pa.array(rounds[name], pa.float64() if name in _REALS else pa.int64())
    told = {name: each for name, each in told.items() if name in ("round", "loss") or each.null_count < len(each)}
    marks = dict(zip(trace.done, zip(trace.seconds, trace.bytes_sent, trace.bytes_received, strict=True), strict=True))
    took: dict[str, list[float | None]] = {name: [] for name in TOOK.names}
    for done in rounds["round"]:
        before, after = marks.get(int(done) - 1), marks.get(int(done))
        known = before is not None and after is not None
        for place, name in enumerate(TOOK.names):
            took[name].append(after[place] - before[place] if known else None)  # type: ignore[index]
    return pa.table({**told, **{name: pa.array(took[name], TOOK.field(name).type) for name in TOOK.names}})


def _table(rows: Sequence[Mapping[str, object]], columns: Sequence[tuple[str, pa.DataType]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema(list(columns)))

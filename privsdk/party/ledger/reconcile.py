"""The tables that budgets are computed from, against the audit chain that the party has signed: both must say the same.

A changed, removed or added row of the tables is named with the chain's row that says otherwise. Rows of the chain
itself are checked in `audit`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from ...governance.chain import Row
from ...governance.charges import Charge
from ..budget.actions import Action, Standing, after

_MOVES = {"released": "released", "started": "started", "finished": "finished", "failed": "failed"}


class Tables(NamedTuple):
    """What the ledger's tables say.

    Attributes
    ----------
    runs : mapping of run id to (caller, purpose or None where version 1 held none, state, SHA-256 of the stored answer)
    charges : mapping of run id to its (dataset, charge), in their order
    placed : mapping of run id to the numbers and times of its charges, in the same order
    standings : mapping of dataset to Standing
    told : mapping of run id to a hash over the sets and figures of exact answers that it added
    """

    runs: dict[str, tuple[str, str | None, str, str]]
    charges: dict[str, list[tuple[str, Charge]]]
    placed: dict[str, list[tuple[int, str]]]
    standings: dict[str, Standing]
    told: dict[str, str]


class _Said(NamedTuple):
    """What the chain says of a run, and in which row it said it last."""

    caller: str
    purpose: str
    state: str
    answer: str | None  # None where the row is of a version that did not say
    charges: list[tuple[str | None, Charge]]
    row: int
    after: list[tuple[int, str]]  # each charge is later than this one, and not earlier than this time


def reconcile(tables: Tables, chain: Iterable[Row]) -> str:
    """The first difference in words; "" where there is none."""
    said, standings, told = _read(chain)
    for run_id, run in said.items():
        if difference := _difference(run_id, run, tables):
            return difference
    for run_id in (*tables.runs, *tables.charges):
        if run_id not in said:
            return f"run {run_id} is among the runs or charges and not in the chain"
    for dataset in {*tables.standings, *standings}:
        if tables.standings.get(dataset) != standings.get(dataset):
            return f"the budget of dataset {dataset} is not the one that the chain's rows lead to"
    for run_id in {*tables.told, *told}:
        if tables.told.get(run_id) != told.get(run_id):
            return f"what run {run_id} let out of exact answers is not what the chain says"
    return ""


def _difference(run_id: str, run: _Said, tables: Tables) -> str:
    held, charged = tables.runs.get(run_id), tables.charges.get(run_id, [])
    if held is None:
        return f"run {run_id} is in row {run.row} of the chain and not among the runs"
    for name, ours, theirs in zip(("caller", "purpose", "state"), held, run, strict=False):
        if ours not in (theirs, None):
            return f"run {run_id} has the {name} {ours!r}; row {run.row} of the chain says {theirs!r}"
    if run.answer is not None and held[3] != run.answer:
        return f"the stored answer of run {run_id} is not the one of row {run.row} of the chain"
    if any(dataset is None for dataset, _ in run.charges):  # a row of version 1: it told the table, not the dataset
        same = Counter(charge for _, charge in charged) == Counter(charge for _, charge in run.charges)
    else:
        same = charged == run.charges
    if not same:
        return f"the charges of run {run_id} are not those of the chain"
    for (number, at), (least, since) in zip(tables.placed.get(run_id, []), run.after, strict=True):
        if number <= least or at < since:  # it would be out of a window, or before a reset
            return f"the charges of run {run_id} are of before its rows in the chain"
    return ""


def answer_hash(answer: bytes | None) -> str:
    return "" if answer is None else hashlib.sha256(answer).hexdigest()


def _read(chain: Iterable[Row]) -> tuple[dict[str, _Said], dict[str, Standing], dict[str, str]]:
    said: dict[str, _Said] = {}
    standings: dict[str, Standing] = {}
    told: dict[str, str] = {}
    since, before_at = 0, ""
    for row in chain:
        event: dict[str, Any] = msgspec.json.decode(row.body)
        kind = event["event"]
        if kind == "reserved":
            request = event["request"]
            charges = _charges(event["entries"] if "entries" in event else event["charges"])
            # in version 1, which had no entries, time could run backwards
            place = (since, before_at) if "entries" in event else (0, "")
            # a large request is summed up there: it names its run and purpose, which are short, and not its caller
            said[request["run_id"]] = _Said(
                event["caller"], request["purpose"], "reserved", "", charges, row.sequence, [place] * len(charges)
            )
        elif kind == "paid" and event["run"] in said:
            charges, run = _charges(event["entries"]), said[event["run"]]
            said[event["run"]] = run._replace(
                charges=run.charges + charges, after=run.after + [(since, before_at)] * len(charges)
            )
        elif kind in _MOVES and event["run"] in said:
            answer = event.get("answer") if kind == "finished" else ""
            said[event["run"]] = said[event["run"]]._replace(state=_MOVES[kind], answer=answer, row=row.sequence)
        elif kind == "answered from store":
            request = event["request"]
            said[request["run_id"]] = _Said(
                event["caller"], request["purpose"], "finished", event["answer"], [], row.sequence, []
            )
        elif kind == "disclosed":
            told |= {event["run"]: event["told"]} if event["told"] else {}
        elif kind == "owner":
            action = msgspec.convert(event["action"], type=Action)
            before = standings.get(action.dataset)
            # that the unit stays under charges was checked when the row was written
            standings[action.dataset] = after(before, action, last_charge=event["since"], private=False)
            since = max(since, event["since"])
        before_at = event["at"]
    return said, standings, told


def _charges(entries: Iterable[dict[str, Any]]) -> list[tuple[str | None, Charge]]:
    return [(entry.get("dataset"), msgspec.convert(entry["charge"], type=Charge)) for entry in entries]

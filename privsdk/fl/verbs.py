"""What a notebook calls of fl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ..client.plan import Plan
from ..client.results import Answers
from ..client.tables import Table, Tables, as_tables, new_request, runner_of
from ..errors.calls import verb
from ..protocol.columns.keys import Key
from .aggregation import mode_named
from .averages import UNIT
from .fitted import Fitted, fitted
from .models.model import Model
from .operation import Fit
from .parameters import DEADLINE_S, Aggregation, Compressions, FitParameters, Strategies, check_types, parameters_of
from .privacy import charges
from .privacy.levels import PartyLevel, Privacy


@verb
def fit(
    model: Model,
    tables: Tables | Table | list[Table],
    *,
    label: str,
    rounds: int = 20,
    learning_rate: float | None = None,
    local_steps: int = 1,
    local_epochs: int | None = None,
    batch_size: int | None = None,
    strategy: Strategies | None = None,
    aggregation: Aggregation = "masked",
    compression: Compressions | None = None,
    participation: float = 1.0,
    fewest: int | None = None,
    deadline_s: float = DEADLINE_S,
    held_out: float = 0.2,
    class_weights: Literal["balanced"] | Mapping[Key, float] | None = None,
    by: str | None = None,
    groups: Sequence[Key] | None = None,
    evaluate_every: int | None = None,
    seed: int = 0,
    coordinator: str | None = None,
    name: str = "",
    privacy: Privacy | None = None,
) -> Plan[Fitted]:
    """Train a model over several parties' rows: parties train on their own, and only averages of updates are seen.

    Parameters
    ----------
    model : Logistic, Linear, Softmax or MLP
    tables : Tables
        One table a party with the same columns. Rows with a null or NaN in the label are left out, and those with one
        in a feature unless the model fills what is missing.
    label : str
        A column of what the model predicts.
    rounds : int
        With `fl.FedBuff`: steps of the coordinator, of K updates each.
    learning_rate : float, optional
        Step size for features scaled to [-1, 1]. Default 1; less for a model of one layer with many features, so that
        its loss is sure not to rise: `model.learning_rate`.
    local_steps, local_epochs : int
        Gradient steps at each client in a round, or passes over its rows.
    batch_size : int, optional
        Rows of a step, at least the owners' minimum count; default all.
    strategy : optional
        How clients train and what becomes of their updates:
        `fl.FedAvg()`, the default: their mean, by rows;
        `fl.FedProx(mu=0.01)`: with clients held near the global model, for data that differ and many local steps;
        `fl.Scaffold()`: with control variates that undo the clients' drift; clients count equally;
        `fl.FedAdam()`, `fl.FedYogi()`: with an adaptive step at the coordinator;
        `fl.Median()`, `fl.TrimmedMean(beta=0.2)`: of each coordinate, against poisoned clients; only "clear";
        `fl.FedBuff(K=2)`: without rounds, a step with every K updates that come; only "clear".
    aggregation : str
        Who sees what of the clients' updates. "masked", by Bonawitz et al., CCS 2017: the coordinator sees sums alone,
        even together with fewer than `fewest` of the clients; a round goes on without clients that are lost as long as
        more than half of its clients are left. "encrypted": the coordinator holds a key and decrypts sums alone, as
        long as it keeps apart from the last client, which adds up; it must be a party without a table, and a client
        that is lost ends the run. "all-to-all", for up to ten clients: masks and no coordinator, each client adds up
        by itself; a client that is lost ends the run. "clear": the coordinator sees every client's update, which
        owners must have granted as "model update".
    compression : optional
        Of updates in the clear: `fl.Quantised(bits=8)`, rounded at random with the right mean, or
        `fl.TopK(share=0.01)`, the largest entries, with what is left out added to the next update. The history has the
        bytes of each client's updates. Not with `fl.Scaffold`; `fl.TopK` not with medians and trimmed means.
    participation : float
        Share of the clients that are drawn for each round.
    fewest : int, optional
        Clients that a round needs; training goes on without others that are lost. Default: more than half.
    deadline_s : float
        Seconds after which a client that has not answered in a round is lost.
    held_out : float
        Share of each party's rows kept from training, on which it evaluates the final model.
    class_weights : optional
        Of rows in the loss, by class: "balanced" for weights by which all classes count the same, from the numbers of
        training rows of each over all parties, which everyone learns; or a public mapping of every class to a number.
    by : str, optional
        A column whose public `groups` each party evaluates the final model for.
    groups : list, optional
        The values of `by`: texts, whole numbers, booleans, decimals, dates or times.
    evaluate_every : int, optional
        Rounds after which each party evaluates the model on the way as well. The best of these and the last is kept, by
        the mean loss on all held-out rows, which the coordinator learns; without it the last, unless the training loss
        had risen before (`Fitted.best`).
    seed : int
        Of the split, the batches, the initial weights and the clients drawn, so that a run can be repeated. Public.
    coordinator : str, optional
        The party that averages; default the first that holds none of the tables and whose policy allows it, and where
        there is none the first client: under masks it sees no more for it.
    name : str, optional
        Every party keeps its own state of a training with a name after each round. Fitted again with the same
        arguments under the same name, by the same caller for the same purpose, it goes on from the last round that all
        have in common, as if nothing had happened; rounds that are held again are paid again. A finished one gives its
        model again, for the charge of one evaluation. Another question under a name that is used is an error.
    privacy : optional
        `fl.PartyLevel(...)` or `fl.RecordLevel(...)`: differential privacy, charged to each table's budget for every
        round, before it; the training ends when a budget does. No rows are held out, and neither losses nor numbers of
        rows are told. At record level `batch_size` is the public number that gradients are divided by, and one row of
        each id enters.

    Learns
    ------
    Everyone: the averaged model of each round, and the number of training rows. Coordinator and caller: their mean
    loss. Caller: each party's evaluation. Everyone: means and deviations of standardised features, and with balanced
    classes how many training rows each has. A single party's update: no one, but in the clear the coordinator.

    Source: McMahan et al., AISTATS 2017, algorithm 1; see `privsdk.fl.loops.rounds` and each strategy's file.
    """
    given = locals()
    group = as_tables(tables)
    runner = runner_of(*group)
    clients = tuple(table.party for table in group)
    leader = mode_named(aggregation).coordinator(runner, clients, coordinator, "fl.fit")
    parameters = parameters_of("fl.fit", given, clients=clients, coordinator=leader)
    operands = {table.party: table.operand(*parameters.columns) for table in group}
    if privacy is not None:
        units = {table.party: charges.unit_of(privacy, table.unit) for table in group}
        operands = {party: msgspec.structs.replace(each, unit=units[party]) for party, each in operands.items()}
    for table in group:
        check_types(f"{table.party}/{table.name}", table.columns, parameters)
    request = new_request(
        runner,
        "fl.fit",
        parties=(*(party for party in operands if party != leader), leader),
        operands=operands,
        parameters=msgspec.to_builtins(parameters),
        exact_of=() if privacy is not None else group,
    )

    def finish(answers: Answers) -> Fitted:
        leading = answers[leader]
        return fitted(parameters, answers, tuple(operands), trace=leading.trace, lost=answers.lost)

    forecast = None
    if privacy is not None:
        forecast = charges.Forecast(privacy, rounds, Fit(request, parameters).round_charge)
    return Plan(
        runner,
        request,
        finish,
        notes=_notes(parameters),
        after_cancel=_after_cancel(name),
        forecast=forecast,
    )


def _after_cancel(name: str) -> str:
    if name:
        return f"fit again as before under the name {name!r}: it goes on after the last round that was held"
    return "give a name= to go on with a training that was cancelled; run.stop() ends one with the model it has"


def _notes(parameters: FitParameters) -> tuple[tuple[str, str], ...]:
    privacy, coordinator = parameters.privacy, parameters.coordinator
    notes = [("updates", f"{coordinator} sees every client's update")]
    if parameters.mode.hides:
        notes = [("keys", parameters.mode.keys(coordinator))]
        if not isinstance(privacy, PartyLevel):
            # n clients' weights add up to 1 when all are in a round, so the bound is n / 2 units; fewest tell more
            bound = f"at most {UNIT / 2:.2g} for each client in any averaged weight in each round"  # 1.49e-8, upwards
            notes.append(("rounding", bound))
    if isinstance(privacy, PartyLevel):
        notes.append(("protects", "all rows of a party, in every sum of updates"))
    elif privacy is not None:
        notes.append(("protects", "one row of each unit that a dataset's budget counts, from everyone else"))
    return tuple(notes)

"""What is right in each exercise of the tutorials, and the hint for whoever is not there yet.

Figures are those of the bundled data. Answers that are plans are looked at, and not released.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa

from ..governance.charges import Unit
from ..governance.policy import Disclosure
from .people import tourism


class Solution(NamedTuple):
    """Whether what somebody gives is right, and what to say if it is not."""

    right: Callable[[Any], object]
    hint: str


def _numbers(table: pa.Table) -> set[str]:
    """The document numbers of a table of people, without letters and dashes; those that have none are left out."""
    return {re.sub("[^0-9]", "", document or "") for document in table["document"].to_pylist()} - {""}


def _guests_who_stayed() -> int:
    parties = tourism()
    return len(_numbers(parties["AREA"]["visits"]) & _numbers(parties["HOTELS"]["stays"]))


def _unknown_of_old_town() -> list[str]:
    parties = tourism()
    known = _numbers(parties["AREA"]["visits"])
    return sorted(
        row["name"]
        for row in parties["RAIL"]["contacts"].to_pylist()
        if row["station"] == "Old Town" and re.sub("[^0-9]", "", row["document"] or "") not in known
    )


def _by(plan: Any, operation: str) -> bool:
    return bool(plan.request.operation == operation and plan.preview().allowed)


ANSWERS: dict[str, Solution] = {
    "00.1": Solution(
        lambda width: abs(float(width) - 12) <= 0.5,
        "preview the same plan with epsilon=0.25 and read 'expected error'; half the epsilon, twice the noise",
    ),
    "00.2": Solution(
        lambda groups: int(groups) == 3,
        "the card of the result says how many are suppressed; so does result.value.schema.metadata",
    ),
    "00.3": Solution(
        lambda plan: _by(plan, "aggregate") and "carrier" in str(plan.learns) and "dep_delay" in str(plan.learns),
        'joint["EWR"] has the verbs of a table: .mean(column, by=...); give the plan without .release()',
    ),
    "01.1": Solution(
        lambda people: int(getattr(people, "size", people)) == _guests_who_stayed(),
        "psi.cardinality(visits, stays, ...) with the key that keeps only the digits",
    ),
    "01.2": Solution(
        lambda owners: set(owners) == {"HOTELS"},
        "who permits a join key on name and born already? See the refusal in step 4",
    ),
    "01.3": Solution(
        lambda plan: plan.request.operation == "psi.join" and plan.request.parties[0] == "HOTELS"
        and len(plan.request.parties) == 3,
        "the order of the tables is yours",
    ),
    "01.4": Solution(
        lambda new: sorted(new.table["name"].to_pylist()) == _unknown_of_old_town(),
        "psi.difference as in step 7, with another station in where= and no date",
    ),
    "02.1": Solution(
        lambda parties: set(parties) == {"BUREAU", "NOTARY"},
        "whoever opens the sum must not be one of those who add to it",
    ),
    "02.2": Solution(
        lambda percent: abs(float(percent) - 10.42) <= 0.06,
        "he.mean(loans, 'bad', by='inquiries', keys=range(6), key_holder='NOTARY'), in percent",
    ),
    "02.3": Solution(
        lambda preset: preset.scheme == "ckks",
        "real weights are written as they are: 0.3 * inquiries + ...; he.choose(circuit, error=1e-3, **ranges)",
    ),
    "02.4": Solution(
        lambda plan: _by(plan, "dp.mean") and "8 groups" in str(plan.learns) and "epsilon 0.5" in str(plan.learns),
        "dp.mean(loans, column, bounds=..., by=..., keys=..., epsilon=...); give the plan without .release()",
    ),
    "03.1": Solution(
        lambda parties: int(parties) == 4,
        "a round needs more than half of the parties; how many are needed stands under 'keys'",
    ),
    "03.2": Solution(
        lambda share: abs(float(share) - 0.494) <= 0.02,
        "accuracy(alone['P3'], table), with a table from which test.filter(...) left out the threes",
    ),
    "03.3": Solution(
        lambda plan: plan.request.parameters["aggregation"] == "all-to-all" and len(plan.request.parties) == 10,
        "aggregation='all-to-all'",
    ),
    "03.4": Solution(
        lambda rounds: int(rounds) == 2,
        "forecast is an Arrow table: filter it by sampling_rate, noise_multiplier and epsilon",
    ),
    "04.1": Solution(
        lambda city: city == "JFK",
        "compare 'federated' with 'own' in each row of found",
    ),
    "04.2": Solution(
        lambda uses: int(uses) == 8,
        "training.price['JFK'] is a tuple of debits; each has a charge, and a charge has uses",
    ),
    "04.3": Solution(
        lambda plan: plan.request.parameters["model"]["missing"] == "drop" and _by(plan, "fl.fit"),
        "the same model without missing='fill'; then fl.fit as in step 2",
    ),
    "04.4": Solution(
        lambda hours: int(hours) == 100,
        "up to which size is the blue line below the grey one?",
    ),
    "05.1": Solution(
        lambda epsilon: abs(float(epsilon) - 0.3) < 1e-9,
        "the error is about 3 divided by epsilon",
    ),
    "05.2": Solution(
        lambda party: party == "LGA",
        "preview pooled's question at epsilon 0.3 again; a quote that is an error is a refusal",
    ),
    "05.3": Solution(
        lambda plan: plan.request.parties == ("JFK",) and _by(plan, "dp.count")
        and plan.outlook.half_width(rows=1) <= 40 and "group" not in str(plan.learns),
        "a small epsilon will do; what is left of your own limit at JFK?",
    ),
    "05.4": Solution(
        lambda columns: set(columns) == {"carrier", "dep_delay"},
        "make the plan, with keys=carriers and any epsilon, and look at plan.suggest_grants()",
    ),
    "06.1": Solution(
        lambda grant: grant.permits("flights", "dest") == {Disclosure.DP_RELEASE}
        and grant.to == ("ben",) and grant.max_epsilon == 0.1,
        "ps.Grant(table=..., columns={...}, to=..., max_epsilon=...); 'rows' too for a count",
    ),
    "06.2": Solution(
        lambda budget: ("audit", 7, 5) in {(limit.purpose, limit.days, limit.exact) for limit in budget.limits},
        "ps.Budget(limits=(ps.Limit(...),)), with a purpose, days and exact",
    ),
    "06.3": Solution(
        lambda requests: int(requests) == 3,
        "the column event says what each row of the log is; you were refused things too, but only requests stand there",
    ),
    "06.4": Solution(
        lambda unit: unit == Unit(id="tailnum", rows=1),
        "a unit by tail number, with as few rows each as can be",
    ),
}  # fmt: skip

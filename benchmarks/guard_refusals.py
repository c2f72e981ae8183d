"""How many of an analyst's questions the differencing guard refuses: a day's work over the departures from one airport.

Run as `python benchmarks/guard_refusals.py [QUESTIONS]`. The questions are written down below as an analyst asks them:
overviews by each column, drill-downs into what stands out, thresholds moved by a step, months compared. Columns with
missing values are summed over other rows than counted. Prints how many were answered, refused because few rows would
follow, and refused without a decision; an upper bound of those refused needlessly.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import privsdk as ps
from privsdk.errors import DifferencingRefused
from privsdk.workshop.flights import nyc_flights

Question = tuple[str, str | None, str | None, dict[str, Any]]
CARRIERS = ("UA", "EV", "B6", "DL", "AA", "MQ", "US", "WN")
PLACES = ("ORD", "BOS", "SFO", "CLT", "ATL", "MIA", "LAX", "MCO", "IAH", "FLL")


def questions() -> Iterator[Question]:
    for by in (None, "month", "hour", "carrier", "dest"):  # an overview
        yield "count", None, by, {}
        yield "mean", "dep_delay", by, {}
        yield "mean", "late", by, {}
    for carrier in CARRIERS:  # who is late, and when
        yield "mean", "dep_delay", "month", {"carrier": carrier}
        yield "mean", "late", "hour", {"carrier": carrier}
    for place in PLACES:
        yield "mean", "dep_delay", "carrier", {"dest": place}
        yield "count", None, "month", {"dest": place}
    for minutes in (15, 30, 45, 60, 90, 120, 180):  # how late
        yield "count", None, None, {"dep_delay": (minutes, None)}
        yield "count", None, "carrier", {"dep_delay": (minutes, None)}
        yield "count", None, "month", {"dep_delay": (minutes, None)}
    for low, high in ((0, 500), (500, 1000), (1000, 1500), (1500, 3000), (1000, None)):  # how far
        yield "mean", "dep_delay", None, {"distance": (low, high)}
        yield "mean", "late", "month", {"distance": (low, high)}
    for wind in (5, 10, 15, 20, 25):  # in which weather
        yield "mean", "late", None, {"wind_speed": (wind, None)}
        yield "mean", "late", "carrier", {"wind_speed": (wind, None)}
    for miles in (1, 2, 5, 9):
        yield "mean", "dep_delay", "hour", {"visib": (None, miles)}
    yield "mean", "late", "month", {"precip": (0.01, None)}
    for season in ((12, 12), (1, 2), (3, 5), (6, 8), (9, 11)):
        yield "mean", "dep_delay", "carrier", {"month": season}
        yield "mean", "dep_delay", "dest", {"month": season}
        yield "count", None, "hour", {"month": season, "dep_delay": (60, None)}
    for hours in ((5, 9), (10, 14), (15, 18), (19, 23)):
        yield "mean", "late", "carrier", {"hour": hours}
        yield "mean", "late", "month", {"hour": hours, "carrier": ["UA", "EV"]}


def main(most: int) -> None:
    flights = nyc_flights()["EWR"]["flights"]
    use = ("group key", "comparison", "aggregate")
    policy = ps.Policy(operations=("aggregate",), grants=(ps.Grant(table="flights", columns={"*": use}),))
    seen, asked, began = Counter[str](), list(questions())[:most], time.perf_counter()
    budget = ps.Budget(epsilon=0, exact=10_000)
    with ps.embedded(EWR={"flights": flights}, store=None, quiet=True, policy=policy, budget=budget) as fed:
        table = fed["EWR"]["flights"]
        for statistic, column, by, where in asked:
            ask = getattr(table, statistic)
            try:
                ask(*([] if column is None else [column]), by=by, where=where, most_groups=100).release()
                seen["answered"] += 1
            except DifferencingRefused as refused:
                seen[refused.detail.because] += 1
                print(f"  {statistic} of {column} by {by} where {where}: {refused.detail.because}")
    took = (time.perf_counter() - began) / len(asked)
    began = time.perf_counter()
    flights.group_by("carrier").aggregate([("dep_delay", "mean")])
    print(f"floor: a mean by group {time.perf_counter() - began:.3f} s")
    print(f"{len(asked)} questions about {flights.num_rows:,} rows, {took:.2f} s each: {dict(seen)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)

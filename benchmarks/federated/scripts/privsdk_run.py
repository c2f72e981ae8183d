"""`python privsdk_run.py TASK WEIGHTS alone|each|clear|masked|encrypted` or `fit AGGREGATION [one-core]`: a training.

`python privsdk_run.py - - calls AGGREGATION ROUNDS`, `aggregated KIND CLIENTS WEIGHTS`, `simulated CLIENTS
stacked|alone`: figures of a part.
"""

import os
import sys
from functools import partial

from federated import ours
from federated.handshake import measured
from federated.task import load

import privsdk

file, weights, way, *rest = sys.argv[1:]
if rest[1:] == ["one-core"]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
if way == "fit":
    with ours.fit_of(load(file), rest[0]) as run:
        measured(run, weights=weights, version=privsdk.__version__)
elif way == "calls":
    with ours.calls_of(rest[0], int(rest[1])) as run:
        measured(run)
elif way == "aggregated":
    measured(partial(ours.aggregated, rest[0], int(rest[1]), int(rest[2])))
elif way == "simulated":
    measured(partial(ours.simulated, int(rest[0]), stacked=rest[1] == "stacked"))
else:
    task = load(file)
    run = partial(ours.trained_alone, task) if way == "alone" else partial(ours.in_one_thread, task, way)
    measured(run, weights=weights, version=privsdk.__version__)

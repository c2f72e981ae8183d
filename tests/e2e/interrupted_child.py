"""The process of test_interrupt: connects, repeats one operation until it is interrupted, and says how that ended.

An operation that goes in rounds runs once, and it is said what it ended with.
"""

from __future__ import annotations

import time

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.protocol.operation import operation_named

MODEL = fl.Logistic(features={"x": (-3, 3)})


def stopped(plan: ps.Plan[fl.Fitted]) -> None:
    """Wait for a run that an interrupt ends with what it has by then."""
    run = plan.start()
    while not run.progress.latest:
        time.sleep(0.02)
    print("ready", flush=True)
    print("interrupted", run.result().value.ended, flush=True)


def main(federation: str, operation: str) -> None:
    fed = ps.connect(federation)
    sales = fed.tables("sales")
    plans = {
        "psi.join": lambda: psi.join(fed["shop0"]["sales"], fed["shop1"]["sales"], on="key"),
        "psi.difference": lambda: psi.difference(fed["shop0"]["sales"], fed["shop1"]["sales"], on="key", columns=["x"]),
        "psi.cardinality": lambda: psi.cardinality(fed["shop0"]["sales"], fed["shop1"]["sales"], on="key"),
        "he.sum": lambda: he.sum(sales, "x"),
        "he.mean": lambda: he.mean(sales, "x"),
        "he.count": lambda: he.count(sales),
        "he.variance": lambda: he.variance(sales, "x", bound=100),
        "he.covariance": lambda: he.covariance(sales, ["x", "y"], bound=100),
        "he.correlation": lambda: he.correlation(sales, ["x", "y"], bound=100),
        "he.histogram": lambda: he.histogram(sales, "x", edges=range(-50, 51)),
        "he.score": lambda: he.score(
            fed["notary"]["model"], fed["shop0"]["sales"], features={"x": 100}, weight_bound=1, edges=[0, 0.5, 1]
        ),
        "fl.fit": lambda: fl.fit(MODEL, sales, label="y", rounds=5000),
        "fl.cross_validate": lambda: fl.cross_validate(MODEL, sales, label="y", rounds=500),
        "dp.count": lambda: dp.count(fed["shop0"]["sales"], epsilon=0.01),
        "dp.sum": lambda: dp.sum(fed["shop0"]["sales"], "x", bounds=(-3, 3), epsilon=0.01),
        "dp.mean": lambda: dp.mean(sales, "x", bounds=(-3, 3), epsilon=0.01),
        "dp.variance": lambda: dp.variance(sales, "x", bounds=(-3, 3), epsilon=0.01),
        "dp.quantile": lambda: dp.median(sales, "x", bounds=(-3, 3), bins=4096, epsilon=0.01),
        "dp.histogram": lambda: dp.histogram(sales, "x", bounds=(-3, 3), bins=4096, epsilon=0.01),
    }
    if operation == "aggregate":
        joint = psi.join(fed["shop0"]["sales"], fed["notary"]["few"], on="key").release().value
        plans[operation] = lambda: joint["shop0"].mean("x")
    if operation == "joint.moments":
        shops = psi.join(fed["shop0"]["sales"], fed["shop1"]["sales"], on="key").release().value
        plans[operation] = lambda: shops.covariance(["shop0.x", "shop1.x"])
    try:
        if operation_named(operation).stops:
            stopped(plans[operation]())
            return
        print("ready", flush=True)
        while True:
            plans[operation]().release()
    except KeyboardInterrupt:
        print("interrupted", flush=True)

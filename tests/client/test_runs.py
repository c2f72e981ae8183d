"""Runs that a federation has under way: known while they go on, remembered when they ended, told to who watches."""

from __future__ import annotations

import gc

import pytest
from people import everyone, federation, north

import privsdk as ps
from privsdk import dp, fl
from privsdk.client.execution import ENDED, Activity
from privsdk.client.federation import open_federations, openings
from privsdk.errors import Cancelled, PolicyRefused


def test_runs_are_known_from_begin_to_end(fed: ps.Federation) -> None:
    seen: list[str] = []

    leave = fed.activity.observe(lambda activity: seen.append(activity.runs[-1].state))
    plan = dp.count(north(fed), epsilon=0.1)
    plan.release()
    with pytest.raises(PolicyRefused):
        dp.count(north(fed), epsilon=2.0).release()
    assert (seen[0], seen[-1]) == ("running", "failed")
    done, failed = fed.activity.runs
    assert (done.state, done.why, done.request) == ("done", "", plan.request)
    assert (failed.state, "epsilon" in failed.why) == ("failed", True)
    assert 0 < done.seconds < 60
    leave()
    count = len(seen)
    dp.count(north(fed), epsilon=0.1).release()
    assert len(seen) == count


def test_a_cancelled_run(fed: ps.Federation) -> None:
    model = fl.Logistic(features={"age": (0, 60)})
    run = fl.fit(model, everyone(fed), label="late", rounds=2000, aggregation="masked").start()
    while not run.progress.latest:
        assert not run.done()
    assert [each.state for each in fed.activity.runs] == ["running"]
    assert fed.activity.runs[0] is run.progress
    run.cancel()
    with pytest.raises(Cancelled):
        run.result()
    assert [each.state for each in fed.activity.runs] == ["cancelled"]


def test_only_the_latest_are_remembered(fed: ps.Federation) -> None:
    for _ in range(ENDED + 1):
        with pytest.raises(PolicyRefused):
            dp.count(north(fed), epsilon=2.0).release()
    assert len(fed.activity.runs) == ENDED


def test_an_observer_that_fails_ends_no_run(fed: ps.Federation) -> None:
    def broken(activity: Activity) -> None:
        raise ValueError

    fed.activity.observe(broken)
    with pytest.warns(RuntimeWarning, match="an observer failed"):
        dp.count(north(fed), epsilon=0.1).release()
    dp.count(north(fed), epsilon=0.1).release()


def test_open_federations_are_known_until_they_close() -> None:
    told: list[int] = []
    leave = openings.add(lambda _: told.append(len(open_federations())))
    before = len(open_federations())
    with federation() as fed:
        assert fed in open_federations().values()
    assert fed not in open_federations().values()
    assert told == [before + 1, before]
    leave()


def test_a_federation_that_is_forgotten_is_not_kept_open() -> None:
    gc.collect()  # those that other tests have forgotten
    forgotten = federation()
    before = len(open_federations())
    link = forgotten._link
    del forgotten
    gc.collect()
    assert len(open_federations()) == before - 1
    link.close()

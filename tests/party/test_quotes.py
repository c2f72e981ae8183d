"""Free questions: bounded in number and in processor time, cheap where prices are many, ended with their caller."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases
from house import House
from waiting import until

import privsdk as ps
from privsdk import dp
from privsdk.errors import Busy, Cancelled
from privsdk.governance.charges import DiscreteLaplace
from privsdk.party.budget import accounting
from privsdk.party.budget.accounting import Account
from privsdk.protocol import control, effort
from privsdk.protocol.timeouts import Limits

CLAIM = pytest.mark.claim("abuse: free quotes take a bounded part of the processors, one of each caller at a time")
DELTA = 1e-6


def prices(number: int) -> Counter[Any]:
    return Counter(DiscreteLaplace(scale=100 + 0.17 * n, sensitivity=1) for n in range(number))


@CLAIM
def test_many_prices_are_composed_once(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """Each trial of a forecast composed each price with itself: 13 CPU seconds for 40, 34 for 100."""
    made = Counter[int]()
    distribution = accounting._distribution

    def counted(event: Any, times: int) -> Any:
        made[times] += 1
        return distribution(event, times)

    monkeypatch.setattr(accounting, "_distribution", counted)
    found = Account(Counter()).times(prices(40), 10, DELTA, 1000)
    assert found > 100
    assert set(made) == {1}
    cases()


@pytest.mark.parametrize("number", [2, 5])
def test_what_is_composed_at_once_is_what_is_composed_one_by_one(number: int) -> None:
    account, price = Account(prices(3)), prices(number)
    found = account.times(price, 1, DELTA, 1000)
    assert 1 < found < 1000
    for times, fits in ((found, True), (found + 1, False)):
        fresh = Account(account.tally + Counter({charge: n * times for charge, n in price.items()}))
        assert fresh.within(1, DELTA) is fits


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    with ps.embedded(north=pa.table({"x": list(range(300))}), store=None, quiet=True) as opened:
        yield opened


@CLAIM
@pytest.mark.parametrize("limits", [Limits(quote_s=1e-9)])
def test_a_quote_that_takes_too_long_is_ended(house: House, cases: Cases) -> None:
    table = house.fed["north"]["u"]
    requests = tuple(dp.count(table, epsilon=0.1 + n / 1000).request for n in range(3))
    with pytest.raises(Busy, match="takes north longer than it allows") as late:
        house.ask(control.Quote(requests=requests), party="north")
    assert "fewer requests" in late.value.hint
    house.ask(control.Prepare(request=requests[0]), party="north")  # what is paid for is not bounded by it
    cases()


@CLAIM
def test_a_caller_has_one_quote_at_a_time_and_others_are_answered(
    house: House, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    monkeypatch.setattr(effort, "TURN_S", 0.05)
    gate, go = house.gates["south"], threading.Event()
    inside, quote = threading.Event(), gate._books.quote

    def slow(asking: Any, *rest: Any) -> Any:
        if asking.analyst == "ann":
            inside.set()
            go.wait(60)
        return quote(asking, *rest)

    monkeypatch.setattr(gate._books, "quote", slow)
    ask = control.Quote(requests=(house.request(),))
    first = threading.Thread(target=house.ask, args=(ask,))
    first.start()
    until(inside.is_set)
    with pytest.raises(Busy, match="south answers another question of ann"):
        house.ask(ask)
    with pytest.raises(Busy):
        house.ask(control.VerifyAudit())
    house.ask(control.VerifyAudit(), caller="bob")
    go.set()
    first.join()
    house.ask(ask)
    cases(4)


@CLAIM
def test_a_quote_ends_with_its_caller(fed: ps.Federation, cases: Cases) -> None:
    requests = tuple(dp.count(fed["north"]["table"], epsilon=0.01 + n / 1e4).request for n in range(40))
    looked = list[int]()

    def there() -> bool:
        looked.append(1)
        return len(looked) < 5

    token = effort.wanted.set(there)
    try:
        with pytest.raises(Cancelled, match="nothing was charged"):
            fed._link.call("north", control.Quote(requests=requests), control.Quoted)
    finally:
        effort.wanted.reset(token)
    assert len(looked) == 5
    cases()

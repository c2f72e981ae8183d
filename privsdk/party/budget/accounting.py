"""What charges amount to: composed epsilon at a fixed delta, by dp-accounting, warm so that a further charge is cheap.

Privacy loss distributions (PLD) where they apply. A discrete Laplace release is priced as the worst mechanism of its
pure epsilon, which for a count it is. (The continuous Laplace event would under-count: it puts less mass on the full
loss.) Where plain addition of pure epsilons is smaller than the accountant's figure, it is taken; both are bounds. So
it is for each release of a pure epsilon below half the grid of a distribution, to which it would be rounded up: many of
them would spend more for all than for whoever makes them.

zCDP charges have no PLD: they are composed by Renyi divergences (RDP). An account with both kinds takes the smaller of
two bounds: each kind at half of delta and the epsilons added, or all by RDP with a pure epsilon as epsilon^2 / 2-zCDP
(Bun, Steinke, TCC 2016, proposition 1.4).

A kind of charge that is not known here is never free: whatever composes it raises, so that the request is refused.

Where mechanisms differ from those they are priced as, their own deltas are added, and what is composed gets the rest of
the delta.

dp_accounting takes over a second to import, so it is imported late.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, assert_never
from weakref import WeakKeyDictionary

import msgspec

from ...governance.charges import (
    NOISELESS,
    Charge,
    ColumnBits,
    DiscreteLaplace,
    Exact,
    Gaussian,
    ZeroConcentrated,
)
from ...protocol import effort

_REMEMBERED = 8  # further charges of an account that were asked about lately
_FORECASTS = 64
_FAINT = -50.0  # of an excess: the logarithm of a delta so far below the allowed one that its growth says little
_SMALL = 5e-5  # half of dp_accounting's grid of losses
SLACK = 1e-9  # relative, for sums of floating-point epsilons

Tally = Mapping[Charge, int]
"""Charges, each with how often it occurs."""
_Price = frozenset[tuple[Charge, int]]

_deltas: WeakKeyDictionary[Any, dict[float, float]] = WeakKeyDictionary()
_reading = threading.Lock()
_composing = threading.Lock()  # parties of one process compose the same, all at once: one does, the others find it


class Account:
    """Some charges together. Immutable; `plus` composes only what is new, and remembers what it composed.

    Threads share accounts: what is remembered is copied before it is gone through.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally: Counter[Charge] = Counter({charge: n for charge, n in tally.items() if n})
        self._epsilons: dict[float, float] = {}
        self._grown: dict[tuple[_Price, int], Account] = {}
        self._times: dict[tuple[_Price, float, float, int], int] = {}

    def plus(self, more: Tally, times: int = 1) -> Account:
        """This account after further charges, made so many times."""
        if not more:
            return self
        price = frozenset(more.items())
        grown = self._grown.get((price, times))
        if grown is None:
            added = Counter({charge: n * times for charge, n in more.items()})
            grown = Account(self.tally + added)
            several = times > 1 and len(more) > 1  # composed as one, which is then composed with itself
            if several or "_losses" in self.__dict__:  # warm: keep what is composed already
                losses = [_composed(price).self_compose(times)] if several else _losses(added)
                grown.__dict__["_losses"] = _convolve([*([self._losses] if self.private else ()), *losses])
            if len(self._grown) >= _REMEMBERED:
                keys = list(self._grown)
                trials = [key for key in keys if key[1] > 1]  # the next request may well be the same once more
                self._grown.pop((trials or keys)[0], None)
            self._grown[price, times] = grown
        if times == 1:  # one of the times that more would fit has been used
            used = {at: n - 1 for at, n in self._times.copy().items() if at[0] == price and 0 < n < at[3]}
            for at, n in used.items():
                grown._times.setdefault(at, n)
        return grown

    def times(self, more: Tally, epsilon: float, delta: float, most: int) -> int:
        """The largest number of times, up to `most`, that these charges could be added and stay within epsilon.

        By trial composition: the trials come from inverse interpolation of what the earlier ones gave, so that few are
        needed, and the result from the trials alone.
        """
        key = (frozenset(more.items()), epsilon, delta, most)
        found = self._times.get(key)
        if found is None:
            found = self._search(more, epsilon, delta, most)
            if len(self._times) >= _FORECASTS:  # quoting is free
                self._times.clear()
            self._times[key] = found
        return found

    def _search(self, more: Tally, epsilon: float, delta: float, most: int) -> int:
        fits, fails = 0, most + 1
        tried = [(0, self._excess(epsilon, delta))]
        trial = max(1, self._surely(more, epsilon))
        while fits + 1 < fails:
            effort.check()
            trial = min(max(trial, fits + 1), fails - 1)
            account, before = self.plus(more, trial), fails - fits
            if account.within(epsilon, delta):
                fits = trial
            else:
                fails = trial
            tried = [*tried, (trial, account._excess(epsilon, delta))][-3:]
            if fails > most:  # a trial far beyond what fits takes long, so a faint excess leads no further than twice
                trial = _root(tried, fallback=2 * fits)
                trial = trial if all(excess > _FAINT for _, excess in tried[-2:]) else min(trial, 2 * fits)
            elif 2 * (fails - fits) > before:  # where the excess is too small to be told from 0, no root is near
                trial = (fits + fails) // 2
            else:
                trial = _root(tried, fallback=(fits + fails) // 2)
        return fits

    def _surely(self, more: Tally, epsilon: float) -> int:
        """How many times fit by plain addition of pure epsilons."""
        price = Account(more)._added
        return int((epsilon - self._added) / price) if 0 < price < math.inf and self._added <= epsilon else 0

    def _excess(self, epsilon: float, delta: float) -> float:
        """How far beyond epsilon at delta, in a measure that grows evenly with further charges; for a search only."""
        if self._sole or self._concentrated:
            return self.epsilon(delta) - epsilon
        rest = delta - self._beside
        composed = _delta(self._losses, max(0.0, epsilon * (1 + SLACK) - self._small))
        return math.log(max(composed, 1e-300) / rest) if rest > 0 else math.inf

    @cached_property
    def exact(self) -> int:
        """Counted exact disclosures."""
        return sum(charge.uses * n for charge, n in self.tally.items() if isinstance(charge, Exact))

    def epsilon(self, delta: float) -> float:
        """Composed epsilon at this delta; exact disclosures have none."""
        if delta not in self._epsilons:
            rest = delta - self._beside
            self._epsilons[delta] = min(self._added, self._composed(rest)) if rest > 0 else math.inf
        return self._epsilons[delta]

    def within(self, epsilon: float, delta: float) -> bool:
        """Whether the composed epsilon is at most this; cheaper than computing it."""
        epsilon *= 1 + SLACK
        if self._added <= epsilon:
            return True
        if self._sole or self._concentrated or delta in self._epsilons:
            return self.epsilon(delta) <= epsilon
        rest, left = epsilon - self._small, delta - self._beside
        return rest >= 0 and left > 0 and _delta(self._losses, rest) <= left

    @cached_property
    def private(self) -> Counter[Charge]:
        """The charges that have an epsilon."""
        return Counter({charge: n for charge, n in self.tally.items() if not isinstance(charge, NOISELESS)})

    @cached_property
    def _beside(self) -> float:
        """The mechanisms' own deltas, added: statistical distances, so they add up whatever is composed."""
        return math.fsum(_own_delta(charge) * n for charge, n in self.private.items())

    @property
    def _concentrated(self) -> bool:
        return any(isinstance(charge, ZeroConcentrated) for charge in self.private)

    @property
    def _sole(self) -> bool:
        """At most one release with a pure epsilon, which then needs no accountant."""
        return not self.private or (self.private.total() == 1 and self._added < float("inf"))

    @cached_property
    def _added(self) -> float:
        pure = [(c.epsilon, n) for c, n in self.private.items() if isinstance(c, DiscreteLaplace)]
        if len(pure) < len(self.private):
            return float("inf")
        return sum(epsilon * n for epsilon, n in sorted(pure))

    @cached_property
    def _small(self) -> float:
        """The small pure epsilons, added; they are in no distribution."""
        pure = [(c.epsilon, n) for c, n in self.private.items() if isinstance(c, DiscreteLaplace)]
        return sum(epsilon * n for epsilon, n in sorted(pure) if epsilon <= _SMALL)

    def _composed(self, delta: float) -> float:
        if self._sole:
            return self._added
        if not self._concentrated:
            return float(self._losses.get_epsilon_for_delta(delta)) + self._small
        apart = renyi_epsilon({c: n for c, n in self.private.items() if isinstance(c, ZeroConcentrated)}, delta / 2)
        if any(not isinstance(c, ZeroConcentrated) for c in self.private):
            apart += float(self._losses.get_epsilon_for_delta(delta / 2)) + self._small
        return min(apart, renyi_epsilon(self.private, delta))

    @cached_property
    def _losses(self) -> Any:
        """The privacy loss distribution of all charges that have one, but for the small ones."""
        return _convolve(_losses(self.private))


def _own_delta(charge: Charge) -> float:
    """What a mechanism adds to delta by differing from the one that it is priced as."""
    match charge:
        case Gaussian(delta=delta) | ZeroConcentrated(delta=delta):
            return delta
        case DiscreteLaplace() | Exact() | ColumnBits():
            return 0.0
        case _:
            assert_never(charge)


def _root(tried: list[tuple[int, float]], fallback: int) -> int:
    """Where the excess is 0, by a polynomial through the trials, in the inverse so that it needs no solving."""
    root = 0.0
    for k, (times, excess) in enumerate(tried):
        term = float(times)
        for j, (_, other) in enumerate(tried):
            if j != k:
                if other == excess:
                    return fallback
                term *= other / (other - excess)
        root += term
    return int(root) if math.isfinite(root) and 0 <= root < 1e9 else fallback


def _losses(tally: Tally) -> list[Any]:
    """One distribution for equal events, in an order of their own: an account opened anew composes as it did before."""
    events: Counter[float | Gaussian] = Counter()
    for charge, n in tally.items():
        match charge:
            case DiscreteLaplace():
                events[charge.epsilon] += n if charge.epsilon > _SMALL else 0
            case Gaussian():
                events[msgspec.structs.replace(charge, delta=0.0)] += n
            case ZeroConcentrated() | Exact() | ColumnBits():
                pass  # by Renyi divergences, or counted
            case _:  # never composed as nothing
                assert_never(charge)
    found = []
    for event, n in sorted(events.items(), key=repr):
        effort.check()
        with _composing:
            found += [_distribution(event, n)] if n else []
    return found


def _convolve(losses: list[Any]) -> Any:
    """All of them composed, in pairs of neighbours, so that the large ones meet last and seldom."""
    from dp_accounting.pld import privacy_loss_distribution

    if not losses:
        return privacy_loss_distribution.identity()
    while len(losses) > 1:
        pairs = zip(losses[::2], losses[1::2], strict=False)
        with _composing:
            losses = [_pair(first, second) for first, second in pairs] + losses[len(losses) // 2 * 2 :]
    return losses[0]


@lru_cache(maxsize=8)
def _pair(first: Any, second: Any) -> Any:
    """Of two distributions: those of an account and of a round are the same objects at all parties of a process."""
    return first.compose(second)


def _delta(losses: Any, epsilon: float) -> float:
    """Of a distribution at this epsilon, kept as long as it: parties of one process ask the same, all at once."""
    with _reading:
        known = _deltas.setdefault(losses, {})
        if epsilon not in known:
            known[epsilon] = float(losses.get_delta_for_epsilon(epsilon))
        return known[epsilon]


@lru_cache(maxsize=8)
def _composed(price: _Price) -> Any:
    """Of all charges of a request, or of several."""
    return _convolve(_losses(dict(price)))


@lru_cache(maxsize=32)  # a large one has some megabytes
def _distribution(event: float | Gaussian, times: int) -> Any:
    """Of so many equal events: a pure epsilon, or Gaussian noise."""
    if isinstance(event, Gaussian):
        times, event = times * event.steps, msgspec.structs.replace(event, steps=1)
    one = _step(event)
    return one.self_compose(times) if times > 1 else one


@lru_cache(maxsize=8)
def _step(event: float | Gaussian) -> Any:
    """Of one event; a search for how many fit composes it again and again."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    if isinstance(event, Gaussian):
        return pld.from_gaussian_mechanism(event.noise_multiplier, sampling_prob=event.sampling_rate)
    return pld.from_discrete_laplace_mechanism(event, 1)


def renyi_epsilon(tally: Tally, delta: float) -> float:
    """Epsilon at this delta of all these charges, composed by Renyi divergences alone; without their own deltas."""
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant()
    for charge, n in tally.items():
        match charge:
            case ZeroConcentrated(rho=rho):
                accountant.compose(dp_event.ZCDpEvent(rho), n)
            case DiscreteLaplace():
                accountant.compose(dp_event.ZCDpEvent(charge.epsilon**2 / 2), n)
            case Gaussian():
                noise = dp_event.GaussianDpEvent(charge.noise_multiplier)
                sampled = dp_event.PoissonSampledDpEvent(charge.sampling_rate, noise)
                accountant.compose(noise if charge.sampling_rate == 1 else sampled, n * charge.steps)
            case Exact() | ColumnBits():
                pass
            case _:
                assert_never(charge)
    return float(accountant.get_epsilon(delta))

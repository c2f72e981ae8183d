"""The strategies once more, line by line from their papers, in float64 and without anything of privsdk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rounding import FUNCTION, roundoff

Reals = npt.NDArray[np.float64]


class Client(NamedTuple):
    """Rows with a column of ones, and labels; `sigmoid` for logistic regression, else least squares.

    `errors` gets, for each gradient, how far single precision may round it, in norm.
    """

    a: Reals
    y: Reals
    sigmoid: bool
    errors: list[float]

    def gradient(self, w: Reals, batch: npt.NDArray[np.int64]) -> Reals:
        a, y = self.a[batch], self.y[batch]
        terms = np.abs(a) @ np.abs(w) / 4 + 1 if self.sigmoid else np.abs(a) @ np.abs(w) + np.abs(y)
        self.errors.append(roundoff(sum(a.shape) + FUNCTION) * float(np.linalg.norm(np.abs(a).T @ terms / len(y))))
        prediction = 1 / (1 + np.exp(-(a @ w))) if self.sigmoid else a @ w
        return a.T @ (prediction - y) / len(y)


class Setting(NamedTuple):
    """`epochs` of batches of `size`; without either, `steps` on all rows. `seed` and a number draw a client's order."""

    rate: float
    steps: int = 5
    epochs: int = 0
    size: int = 0
    seed: int = 5


def batches(setting: Setting, client: Client, i: int, number: int) -> Iterator[npt.NDArray[np.int64]]:
    n = len(client.y)
    rng = np.random.default_rng([setting.seed, i, number])
    if setting.epochs:
        for _ in range(setting.epochs):
            order = rng.permutation(n)
            for start in range(0, n, setting.size or n):
                yield order[start : start + (setting.size or n)]
    else:
        for _ in range(setting.steps):
            yield np.arange(n)


def fedavg(clients: list[Client], chosen: list[list[int]], s: Setting, mu: float = 0.0) -> tuple[Reals, list[Reals]]:
    """McMahan et al. 2017, algorithm 1; with mu > 0 Li et al. 2020: each step is on F_k + mu/2 |w - w_t|^2."""
    w = np.zeros(clients[0].a.shape[1])
    path = []
    for t, s_t in enumerate(chosen):
        m_t = sum(len(clients[k].y) for k in s_t)
        after = np.zeros_like(w)
        for k in s_t:
            w_k = w.copy()
            for b in batches(s, clients[k], k, t):
                w_k = w_k - s.rate * (clients[k].gradient(w_k, b) + mu * (w_k - w))
            after = after + len(clients[k].y) / m_t * w_k
        w = after
        path.append(w)
    return w, path


def scaffold(
    clients: list[Client], chosen: list[list[int]], s: Setting, eta_g: float = 1.0
) -> tuple[Reals, Reals, list[Reals]]:
    """Karimireddy et al. 2020, algorithm 1, option II. Returns x, c and all c_i."""
    n = len(clients)
    x = np.zeros(clients[0].a.shape[1])
    c = np.zeros_like(x)
    c_i = [np.zeros_like(x) for _ in clients]
    for t, drawn in enumerate(chosen):
        dy, dc = [], []
        for i in drawn:
            y, k = x.copy(), 0
            for b in batches(s, clients[i], i, t):
                y = y - s.rate * (clients[i].gradient(y, b) - c_i[i] + c)
                k += 1
            plus = c_i[i] - c + (x - y) / (k * s.rate)
            dy.append(y - x)
            dc.append(plus - c_i[i])
            c_i[i] = plus
        x = x + eta_g * sum(dy) / len(drawn)
        c = c + len(drawn) / n * (sum(dc) / len(drawn))
    return x, c, c_i


def fedopt(
    clients: list[Client],
    chosen: list[list[int]],
    s: Setting,
    kind: str,
    eta: float,
    beta1: float,
    beta2: float,
    tau: float,
) -> Reals:
    """Reddi et al. 2021, algorithm 2, with the updates weighted by rows."""
    x = np.zeros(clients[0].a.shape[1])
    m, v = np.zeros_like(x), np.full_like(x, tau**2)
    condition = 1.0
    for t, drawn in enumerate(chosen):
        total = sum(len(clients[i].y) for i in drawn)
        delta = np.zeros_like(x)
        for i in drawn:
            x_i = x.copy()
            for b in batches(s, clients[i], i, t):
                x_i = x_i - s.rate * clients[i].gradient(x_i, b)
            delta = delta + len(clients[i].y) * (x_i - x) / total
        m = beta1 * m + (1 - beta1) * delta
        if kind == "adam":
            v = beta2 * v + (1 - beta2) * delta**2
        else:
            v = v - (1 - beta2) * delta**2 * np.sign(v - delta**2)
        x = x + eta * m / (np.sqrt(v) + tau)
        condition = max(condition, float((eta / (np.sqrt(v) + tau)).max()))
    for each in clients:
        each.errors[:] = [condition * error for error in each.errors]  # those of delta, as they are in x
    return x


def rounding(clients: list[Client], s: Setting, w: Reals) -> float:
    """How far single precision may end from w, in norm, by the gradients that were asked for and the steps along them.

    No step amplifies an earlier error: the losses are convex, and the rates below 2 / L.
    """
    step = roundoff(3) * float(np.linalg.norm(w))
    return math.hypot(*(math.hypot(s.rate * error, step) for each in clients for error in each.errors))


def middle(values: list[float]) -> float:
    """The median of numbers."""
    ordered = sorted(values)
    n = len(ordered)
    return ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2


def without_extremes(beta: float) -> Callable[[list[float]], float]:
    """The mean of numbers without the beta n least and largest, for beta n whole or rounded up."""

    def mean(values: list[float]) -> float:
        ordered = sorted(values)
        for _ in range(
            round(beta * len(values))
            if math.isclose(beta * len(values), round(beta * len(values)))
            else math.ceil(beta * len(values))
        ):
            if len(ordered) > 2:
                ordered = ordered[1:-1]
        return sum(ordered) / len(ordered)

    return mean


def robust(
    clients: list[Client], chosen: list[list[int]], s: Setting, combine: Callable[[list[float]], float]
) -> Reals:
    """Yin et al. 2018, algorithm 1, coordinate by coordinate, of local trainings' changes."""
    w = np.zeros(clients[0].a.shape[1])
    for t, drawn in enumerate(chosen):
        changes = []
        for i in drawn:
            w_i = w.copy()
            for b in batches(s, clients[i], i, t):
                w_i = w_i - s.rate * clients[i].gradient(w_i, b)
            changes.append(w_i - w)
        w = w + np.array([combine([float(change[j]) for change in changes]) for j in range(len(w))])
    return w


def fedbuff(clients: list[Client], order: list[int], s: Setting, size: int, eta_g: float) -> tuple[Reals, list[float]]:
    """Nguyen et al. 2022, algorithms 1 and 2, K = `size`, updates of clients in this order. Returns w, staleness."""
    w = np.zeros(clients[0].a.shape[1])
    t, k, buffer = 0, 0, np.zeros_like(w)
    begun = dict.fromkeys(range(len(clients)), (w, 0, 1))  # model, its step, how many trainings
    ages: list[int] = []
    for i in order:
        start, then, count = begun[i]
        y = start.copy()
        for b in batches(s, clients[i], i, count):
            y = y - s.rate * clients[i].gradient(y, b)
        tau = t - then
        ages.append(tau)
        buffer = buffer + (y - start) / math.sqrt(1 + tau)
        k += 1
        if k == size:
            w = w + eta_g * buffer / size
            t, k, buffer = t + 1, 0, np.zeros_like(w)
        begun[i] = (w, t, count + 1)
    return w, [sum(ages[at : at + size]) / size for at in range(0, len(ages), size)]

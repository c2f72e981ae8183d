"""Training against a membership attack: what it gains is part of the loss. A defence that is measured, not offered.

M. Nasr, R. Shokri, A. Houmansadr, "Machine Learning with Membership Privacy using Adversarial Regularization", CCS
2018, algorithm 1. In their letters: f classifies, h says how probably (x, y, f(x)) is a member, D are the training rows
and D' reference rows, and

    min over f of  L_D(f) + lambda * max over h of  1/2 E_D[log h] + 1/2 E_D'[log(1 - h)]

Nothing bounds what an attacker gains who trains models in the same way: L. Song, P. Mittal, "Systematic Evaluation of
Privacy Risks of Machine Learning Models", USENIX Security 2021, section 5.1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

HIDDEN, ATTACK_STEPS = 32, 3  # of h: units, and steps for each of f's


def softmax(sums: Reals) -> Reals:
    raised = np.exp(sums - sums.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


class Attack:
    """h: one hidden layer over the probabilities and the label, by gradient ascent on its own gain."""

    def __init__(self, classes: int, rng: np.random.Generator) -> None:
        self._weights = [rng.normal(0, 0.3, (2 * classes + 1, HIDDEN)), rng.normal(0, 0.3, (HIDDEN + 1, 1))]

    def _forward(self, p: Reals, y: Reals) -> tuple[Reals, Reals, Reals]:
        given = np.column_stack([p, y, np.ones(len(p))])
        hidden = np.column_stack([np.maximum(given @ self._weights[0], 0), np.ones(len(p))])
        return given, hidden, 1 / (1 + np.exp(-(hidden @ self._weights[1])[:, 0]))

    def _back(self, hidden: Reals, errors: Reals) -> Reals:
        return np.asarray(errors[:, None] * self._weights[1][:-1, 0] * (hidden[:, :-1] > 0))

    def ascend(self, p: Reals, y: Reals, member: Reals, rate: float) -> None:
        """One step on rows of both kinds, each weighing a half."""
        given, hidden, h = self._forward(p, y)
        errors = (member - h) * np.where(member == 1, 0.5 / member.sum(), 0.5 / (1 - member).sum())
        first = given.T @ self._back(hidden, errors)
        self._weights[1] += rate * (hidden.T @ errors)[:, None]
        self._weights[0] += rate * first

    def slope(self, p: Reals, y: Reals) -> Reals:
        """d log h / d p of each row."""
        _, hidden, h = self._forward(p, y)
        return np.asarray((self._back(hidden, 1 - h) @ self._weights[0].T)[:, : p.shape[1]])


def trained(
    x: Reals, y: Labels, reference: tuple[Reals, Labels], *, weight: float, steps: int, rate: float, seed: int
) -> Reals:
    """The weights, biases last, of a softmax regression so trained; by `weight`, the paper's lambda, 0 as usual."""
    rng, classes = np.random.default_rng(seed), int(y.max()) + 1
    inputs, others = (np.column_stack([each, np.ones(len(each))]) for each in (x, reference[0]))
    own, theirs = np.eye(classes)[y], np.eye(classes)[reference[1]]
    member, attack = np.r_[np.ones(len(x)), np.zeros(len(others))], Attack(classes, rng)
    f = np.zeros((inputs.shape[1], classes))
    for _ in range(steps):
        p = softmax(inputs @ f)
        errors = p - own
        if weight:
            both = np.concatenate([p, softmax(others @ f)])
            for _ in range(ATTACK_STEPS):
                attack.ascend(both, np.concatenate([own, theirs]), member, rate=1.0)
            slope = attack.slope(p, own)
            errors = errors + weight / 2 * p * (slope - (slope * p).sum(axis=1, keepdims=True))
        f -= rate * inputs.T @ errors / len(x)
    return f

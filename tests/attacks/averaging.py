"""Averaging noise away: the same number, asked for again and in other words, each time with noise of its own.

C. Dwork, A. Roth, "The Algorithmic Foundations of Differential Privacy", 2014, section 1.1 (the law of large numbers
against noise that is drawn anew), section 3.5.2 (what composition leaves of it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from privsdk.errors import BudgetExceeded

Reals = npt.NDArray[np.float64]


def averaged(questions: Sequence[Callable[[], Reals]], most: int) -> tuple[Reals, int]:
    """The mean of all answers to these questions in turn, of which each gives the same numbers with new noise, until
    the owner answers no more or `most` are there; and how many."""
    answers: list[Reals] = []
    while len(answers) < most:
        try:
            answers.append(questions[len(answers) % len(questions)]())
        except BudgetExceeded:
            break
    return np.mean(answers, axis=0), len(answers)


def guessed(epsilon: float, delta: float = 0.0) -> float:
    """How often at most a fair coin is guessed by what is (epsilon, delta)-private of it.

    Source: P. Kairouz, S. Oh, P. Viswanath, "The Composition Theorem for Differential Privacy", ICML 2015, section 2.
    """
    return (math.exp(epsilon) + delta) / (1 + math.exp(epsilon))

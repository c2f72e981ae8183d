"""Counting what a claim's test really tried."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import pytest

T = TypeVar("T")


def lengthy(*values: Any) -> list[Any]:
    """Further parameters of a claim's test, for `make claims` and `make soak` alone."""
    each = (value if isinstance(value, tuple) else (value,) for value in values)
    return [pytest.param(*value, marks=pytest.mark.lengthy) for value in each]


class Cases:
    """Counts the cases a test really tried, for the claims report."""

    def __init__(self) -> None:
        self.tried = 0
        self.figure = ""
        self.gain = ("", "", "")

    def __call__(self, number: int = 1) -> None:
        self.tried += number

    def say(self, figure: str) -> None:
        """A measured figure to print beside the claim."""
        self.figure = figure

    def gains(self, gain: str, *, before: str = "", bound: str = "") -> None:
        """What an attack still gains, measured; and where the test measures them, what it gains without the defence,
        and what theory lets it gain at most."""
        self.gain = (before, gain, bound)


class Counts(Protocol):
    """What `make test`, `make claims` and `make soak` each try, and which of them this is."""

    def __call__(self, few: T, more: T, most: T, /) -> T: ...

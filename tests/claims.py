"""Counting what a claim's test really tried."""

from __future__ import annotations

from typing import Protocol, TypeVar

T = TypeVar("T")


class Cases:
    """Counts the cases a test really tried, for the claims report."""

    def __init__(self) -> None:
        self.tried = 0
        self.figure = ""

    def __call__(self, number: int = 1) -> None:
        self.tried += number

    def say(self, figure: str) -> None:
        """A measured figure to print beside the claim."""
        self.figure = figure


class Counts(Protocol):
    """What `make test`, `make claims` and `make soak` each try, and which of them this is."""

    def __call__(self, few: T, more: T, most: T, /) -> T: ...

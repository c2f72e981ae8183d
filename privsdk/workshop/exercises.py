"""Exercises of the tutorials: says whether an answer is right, and gives a hint where it is not. Never the answer.

What is right stands in `answers`, apart from the notebooks, so that nobody reads it by unfolding a cell. This is for
learning, and no examination: whoever opens the package finds it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..display.cards import Card, Displayed
from ..errors import UnknownName
from .answers import ANSWERS


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Feedback(Displayed):
    """What `check` says of an answer. `right` is None where there is none yet."""

    exercise: str
    right: bool | None
    hint: str = ""

    def _card(self) -> Card:
        said = {None: "not answered yet", True: "✓ right", False: "✗ not yet"}[self.right]
        facts = [("hint", self.hint)] if self.hint else []
        return Card(title=f"exercise {self.exercise}: {said}", facts=facts)


def check(exercise: str, answer: object) -> Feedback:
    """Whether this is the answer to an exercise, such as `check("01.2", {"RAIL"})`; None is no answer yet.

    An answer of another kind than the one that is asked for is not right either; nothing is raised.
    """
    if exercise not in ANSWERS:
        raise UnknownName.among("exercise", exercise, ANSWERS, where="in the tutorials")
    if answer is None:
        return Feedback(exercise=exercise, right=None)
    expected = ANSWERS[exercise]
    try:
        right = bool(expected.right(answer))
    except Exception:  # whatever an answer of another kind runs into
        asked = f"an answer of the type {type(answer).__name__} cannot be checked; {expected.hint}"
        return Feedback(exercise=exercise, right=False, hint=asked)
    return Feedback(exercise=exercise, right=right, hint="" if right else expected.hint)

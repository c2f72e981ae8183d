"""Widgets for notebooks: what parties offer, what a question would cost, how a run goes on, what is left.

Each shows what the parties themselves reply, keeps itself fresh from threads of its own, and is drawn by a plain ES
module in `static/`: no build, nothing from a network. Where widgets cannot be shown each is its card, as text or HTML.
"""

from .budget import budgets
from .picker import picker
from .progress import progress
from .what_if import what_if

__all__ = ["budgets", "picker", "progress", "what_if"]


def __dir__() -> list[str]:
    return __all__  # Tab shows these, not the modules that they come from

"""What a run tells whom, to look at: in words, and as a diagram of who brings what and who learns something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from ..display.cards import Card, Displayed, Grid
from ..display.flow import FlowEnd, flow
from ..display.svg import Picture
from ..display.tabular import Tabular
from ..governance.learns import Caller, Coalition, Eavesdropper, Learns, Parties
from ..protocol.operation import Request

MOST_NAMES = 4
MOST_ENDS = 8  # on one side of a diagram


class Learned(Displayed, Tabular, tuple[Learns, ...]):
    """What each party, the caller and an eavesdropper learn from a request.

    Attributes
    ----------
    request : Request
    """

    request: Request

    def __new__(cls, items: Iterable[Learns], request: Request) -> Learned:
        self = super().__new__(cls, items)
        self.request = request
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self), self.request

    @property
    def picture(self) -> Picture:
        """Who brings what, and who learns something of it."""
        brought, learners = _brought(self.request), _learners(self, self.request)
        givers = [
            FlowEnd(who=_brief(names), what=what or "brings no data", solid=bool(what))
            for what, names in brought.items()
        ]
        some = [end.who for end in learners if end.solid]
        none = [end.who for end in learners if not end.solid]
        description = ". ".join(
            f"{_brief(names)} bring{'' if len(names) > 1 else 's'} {what or 'no data'}"
            for what, names in brought.items()
        )
        description += f". Something is learned by {', '.join(some)}" if some else ""
        description += f". Nothing of the data is learned by {', '.join(none)}" if none else ""
        caption = "who brings what, and who learns something"
        shown = givers if len(givers) <= MOST_ENDS else _fewer(givers)
        return flow(
            caption, shown, self.request.operation, learners if len(learners) <= MOST_ENDS else _fewer(learners),
            description=f"{description}.",
        )  # fmt: skip

    def to_arrow(self) -> pa.Table:
        """Columns who and what."""
        return pa.table(
            {"who": [str(item.who) for item in self], "what": [item.text for item in self]},
            schema=pa.schema([("who", pa.string()), ("what", pa.string())]),
        )

    def _card(self) -> Card:
        title = f"what is learned from {self.request.operation}"
        return Card(title=title, pictures=(self.picture,), grids=(("in words", learns_grid(self)),))


def learns_grid(learns: Sequence[Learns]) -> Grid:
    return Grid(header=("who", "what"), rows=[(str(item.who), item.text) for item in learns])


def _brief(names: Sequence[str]) -> str:
    """Many names as the first of them and how many more: all stand in the table of what is learned."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"


def _brought(request: Request) -> dict[str, list[str]]:
    """Who brings which columns of tables of which name; "" is for no data."""
    whose: dict[str, list[str]] = {}
    for party in request.parties:
        operand = request.operands.get(party)
        what = ""
        if operand is not None:
            matched = "matched rows of " if operand.alignment else ""
            what = f"{matched}{operand.table}: {', '.join(operand.columns) or 'rows'}"
        whose.setdefault(what, []).append(party)
    return whose


def _learners(learns: Sequence[Learns], request: Request) -> list[FlowEnd]:
    """Everyone but those who would have to collude."""
    ends = []
    for item in learns:
        match item.who:
            case Coalition():
                continue
            case Eavesdropper():
                who = "an eavesdropper"
            case Caller(name=name):
                who = name if name in request.parties else f"{name} (you)"
            case Parties(names=names):
                who = _brief(names)
        ends.append(FlowEnd(who=who, what=item.text, solid=item.tells))
    return ends


def _fewer(ends: Sequence[FlowEnd]) -> list[FlowEnd]:
    """The first ends as one, so that the drawing stays small."""
    first, *rest = ends[: len(ends) - MOST_ENDS + 1]
    names = f"{first.who} and {len(rest)} more"
    solid = any(end.solid for end in (first, *rest))
    what = first.what if all(end.what == first.what for end in rest) else "each something else: see below"
    return [FlowEnd(who=names, what=what, solid=solid), *ends[len(rest) + 1 :]]

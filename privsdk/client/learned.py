"""What a run tells whom, to look at: in words, and as a diagram of who brings what and who learns something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from ..display.cards import Card, Displayed, Grid
from ..display.svg import FlowEnd, Picture, flow
from ..display.tabular import Tabular
from ..governance.policy import Learns
from ..protocol.request import Request

ONLOOKER = "onlooker"
MOST_NAMES = 4
MOST_ENDS = 8  # on one side of a diagram


class Learned(Displayed, Tabular, tuple[Learns, ...]):
    """What each party, the caller and an onlooker learn from a request.

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
        givers, learners = _givers(self.request), _learners(self, self.request)
        some = [end.who for end in learners if end.solid]
        none = [end.who for end in learners if not end.solid]
        told = ". ".join(
            f"{end.who} bring{'' if len(end.who.split(', ')) > 1 else 's'} {end.what if end.solid else 'no data'}"
            for end in givers
        )
        told += f". Something is learned by {', '.join(some)}" if some else ""
        told += f". Nothing of the data is learned by {', '.join(none)}" if none else ""
        caption = "who brings what, and who learns something"
        shown = givers if len(givers) <= MOST_ENDS else _fewer(givers)
        return flow(
            caption, shown, self.request.operation, learners if len(learners) <= MOST_ENDS else _fewer(learners),
            told=f"{told}.",
        )  # fmt: skip

    def to_arrow(self) -> pa.Table:
        """Columns who and what."""
        return pa.table(
            {"who": [item.who for item in self], "what": [item.what for item in self]},
            schema=pa.schema([("who", pa.string()), ("what", pa.string())]),
        )

    def _card(self) -> Card:
        title = f"what is learned from {self.request.operation}"
        return Card(title=title, pictures=(self.picture,), grids=(("in words", learns_grid(self)),))


def learns_grid(learns: Sequence[Learns]) -> Grid:
    return Grid(header=("who", "what"), rows=[(item.who, item.what) for item in learns])


def _brief(who: str) -> str:
    """Many names as the first of them and how many more: all stand in the table of what is learned."""
    names = who.split(", ")
    return (
        who
        if len(names) <= MOST_NAMES
        else f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"
    )


def _givers(request: Request) -> list[FlowEnd]:
    """Parties that bring the same columns of tables of one name stand together."""
    whose: dict[str, list[str]] = {}
    for party in request.parties:
        operand = request.operands.get(party)
        what = ""
        if operand is not None:
            matched = "matched rows of " if operand.alignment else ""
            what = f"{matched}{operand.table}: {', '.join(operand.columns) or 'rows'}"
        whose.setdefault(what, []).append(party)
    return [
        FlowEnd(who=_brief(", ".join(who)), what=what or "brings no data", solid=bool(what))
        for what, who in whose.items()
    ]


def _learners(learns: Sequence[Learns], request: Request) -> list[FlowEnd]:
    """Everyone but those who would have to collude."""
    ends = []
    for item in learns:
        if item.who.endswith(" together"):
            continue
        you = " (you)" if item.who == request.caller and item.who not in request.parties else ""
        who = "an onlooker" if item.who == ONLOOKER else f"{item.who}{you}"
        ends.append(FlowEnd(who=_brief(who), what=item.what, solid=not item.what.startswith("nothing")))
    return ends


def _fewer(ends: Sequence[FlowEnd]) -> list[FlowEnd]:
    """All who learn something, or nothing, of the same beginning together, so that the drawing stays small."""
    first, *rest = ends[: len(ends) - MOST_ENDS + 1]
    names = f"{first.who} and {len(rest)} more"
    solid = any(end.solid for end in (first, *rest))
    what = first.what if all(end.what == first.what for end in rest) else "each something else: see below"
    return [FlowEnd(who=names, what=what, solid=solid), *ends[len(rest) + 1 :]]

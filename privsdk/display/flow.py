"""The flow of a computation for cards: who brings what into it, and who learns what from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .svg import ACCENT, LETTER, Picture, drawing, element, label, number, rect


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEnd:
    """One end of a flow: who, and what is brought or learned; `solid` where that is something."""

    who: str
    what: str
    solid: bool


def flow(
    caption: str, givers: Sequence[FlowEnd], verb: str, learners: Sequence[FlowEnd], *, description: str
) -> Picture:
    """Who brings what into a computation, and who learns what from it; arrows go to those alone who learn something."""
    given, learned, row = 180, 250, 44
    height = row * max(len(givers), len(learners)) + 4
    middle, box = height / 2, (given + 50, given + 50 + 110)
    width = box[1] + 50 + learned
    parts = [
        rect(box[0], middle - 17, 110, 34, rx=6, fill="none", style=f"stroke:{ACCENT};stroke-width:1.5"),
        label(_cut(verb, 110), (box[0] + box[1]) / 2, middle + 4, anchor="middle", weight=600),
    ]
    for giver, place in zip(givers, _spread(len(givers), row, middle), strict=True):
        parts += _node(giver, 1, place, given)
        parts.append(_arrow(given + 1, place, box[0], middle, solid=giver.solid))
    for learner, place in zip(learners, _spread(len(learners), row, middle), strict=True):
        parts += _node(learner, width - learned - 1, place, learned)
        parts.append(_arrow(box[1], middle, width - learned - 1, place, solid=learner.solid))
    return Picture(caption=caption, description=description, svg=drawing(caption, description, parts, width, height))


def _spread(count: int, row: float, middle: float) -> list[float]:
    return [middle + (n - (count - 1) / 2) * row for n in range(count)]


def _node(end: FlowEnd, x: float, y: float, width: float) -> list[str]:
    solid: dict[str, object] = {} if end.solid else {"stroke_dasharray": "3 3"}
    return [
        rect(x, y - 18, width, 36, rx=6, fill="none", stroke="currentColor", stroke_opacity=0.5, **solid),
        label(_cut(end.who, width), x + 8, y - 3, weight=600),
        label(_cut(end.what, width), x + 8, y + 12, opacity=0.85),
    ]


def _arrow(x: float, y: float, to_x: float, to_y: float, *, solid: bool) -> str:
    """A bent line; only a solid one has a head."""
    turn = (x + to_x) / 2
    tip = to_x - 7 if solid else to_x
    start, bend, back, end = (f"{number(a)},{number(b)}" for a, b in ((x, y), (turn, y), (turn, to_y), (tip, to_y)))
    path = f"M{start} C{bend} {back} {end}"
    if not solid:
        return element("path", d=path, fill="none", stroke="currentColor", stroke_opacity=0.4, stroke_dasharray="2 4")
    head = f"M{number(to_x)},{number(to_y)} l-8,-4 v8 z"
    line = element("path", d=path, fill="none", style=f"stroke:{ACCENT};stroke-width:1.6")
    return line + element("path", d=head, style=f"fill:{ACCENT}")


def _cut(text: str, width: float) -> str:
    """As much of a text as surely fits into a box."""
    most = int((width - 12) / LETTER)
    return text if len(text) <= most else f"{text[: most - 1].rstrip(' ,;')}…"

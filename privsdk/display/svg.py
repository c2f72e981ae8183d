"""Small pictures for cards, as our own SVG: what all share, gauges, and flows. Curves have a file of their own.

Drawn from figures alone; decides nothing. Colours are the page's own (`currentColor`, JupyterLab's brand colour), so
that light and dark both read, and no two things differ by colour alone. What a picture shows is also said in
words, which stay where a page takes SVG out, as JupyterLab does with notebooks that it does not trust.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from .readable import readable

ACCENT = "var(--jp-brand-color1,#1976d2)"
LETTER = 6.2  # as wide as a letter of its labels surely is on average


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing, its caption, what it shows in words, and how it is drawn with letters.

    Attributes
    ----------
    description : str
        All that must be known of it, in words: below it on a page, in place of it for whoever cannot see it.
    letters : tuple of str
        Lines of a fixed width; none where the words are enough.
    """

    caption: str
    description: str
    svg: str
    letters: tuple[str, ...] = ()


class Gauge(str):
    """Text such as "0.3 of 1" that is shown with a bar of what is left, and of what a question would take of it."""

    __slots__ = ("left", "taken")
    left: float
    taken: float

    def __new__(cls, text: str, *, left: float, taken: float = 0.0) -> Gauge:
        """Shares of the whole; what is not left and not taken is gone."""
        self = super().__new__(cls, text)
        self.left = min(1.0, max(0.0, left))
        self.taken = min(1.0 - self.left, max(0.0, taken))
        return self

    @property
    def letters(self) -> str:
        """Ten letters: # left, = taken, . gone. Something that is left shows as one at least."""
        full = round(10 * self.left)
        full = max(full, 1) if self.left > 0 else 0
        full = min(full, 9) if self.left < 1 else 10
        taken = min(10 - full, max(round(10 * self.taken), 1 if self.taken > 0 else 0))
        return f"[{'#' * full}{'=' * taken}{'.' * (10 - full - taken)}]"

    @property
    def svg(self) -> str:
        whole, left, taken = 80.0, 80 * self.left, 80 * self.taken
        parts = [rect(0.5, 0.5, whole, 9, fill="none", stroke="currentColor", stroke_opacity=0.4)]
        if left:
            parts.append(rect(0.5, 0.5, left, 9, style=f"fill:{ACCENT}"))
        if taken:  # outlined and half as high, to differ from what is left also without colour
            parts.append(rect(0.5 + left, 3, taken, 4, fill="currentColor", fill_opacity=0.6))
        style = "vertical-align:middle;margin-right:8px"
        # its text is next to it
        return element(
            "svg", *parts, viewBox="0 0 81 10", width=81, height=10, style=style, aria_hidden="true", focusable="false"
        )


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


def drawing(caption: str, description: str, parts: Sequence[str], width: float, height: float) -> str:
    named = element("title", escaped(caption)) + element("desc", escaped(description))
    style = "max-width:100%;height:auto;display:block;font-family:inherit"
    size = {"viewBox": f"0 0 {number(width)} {number(height)}", "width": number(width), "height": number(height)}
    return element("svg", named, *parts, role="img", **size, style=style)


def label(
    text: str, x: float, y: float, *, anchor: str = "start", weight: int = 400, opacity: float = 1, **more: object
) -> str:
    style = {"font_size": 11, "font_weight": weight, "fill": "currentColor", "fill_opacity": opacity}
    return element("text", escaped(text), x=number(x), y=number(y), text_anchor=anchor, **style, **more)


def rect(x: float, y: float, width: float, height: float, **more: object) -> str:
    return element("rect", x=number(x), y=number(y), width=number(width), height=number(height), **more)


def stroke(x: float, y: float, to_x: float, to_y: float, *, opacity: float, **more: object) -> str:
    ends = {"x1": number(x), "y1": number(y), "x2": number(to_x), "y2": number(to_y)}
    return element("line", **ends, stroke="currentColor", stroke_opacity=opacity, **more)


def element(tag: str, *children: str, **attributes: object) -> str:
    """An element; `children` are elements or escaped text."""
    given = "".join(f' {name.replace("_", "-")}="{html.escape(str(value))}"' for name, value in attributes.items())
    return f"<{tag}{given}>{''.join(children)}</{tag}>"


def escaped(text: str) -> str:
    return html.escape(readable(text))


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

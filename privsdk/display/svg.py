"""Small pictures for cards: curves, gauges, and who gives and who learns, as our own SVG and in letters for terminals.

Drawn from figures alone; decides nothing. Colours are the page's own (`currentColor`, JupyterLab's brand colour), so
that light and dark both read, and no two things are told apart by colour only. What a picture shows is also said in
words, which stay where a page takes SVG out, as JupyterLab does with notebooks that it does not trust.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

ACCENT = "var(--jp-brand-color1,#1976d2)"
LEFT, RIGHT, TOP, BOTTOM = 56, 404, 10, 150  # a curve's box, in the units of its drawing
HEIGHT = 190
LETTER = 6.2  # as wide as a letter of its labels surely is on average
COLUMNS, LINES = 48, 6  # of a curve in letters

Points = Sequence[tuple[float, float | None]]


_CONTROLS = {
    code: f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
    for code in (*range(32), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) != "\n"
}


def readable(text: str) -> str:
    """A text without what would steer a terminal or turn the order of letters: a party chooses its names itself."""
    return text.translate(_CONTROLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing, its caption, what it shows in words, and how it is drawn with letters.

    Attributes
    ----------
    told : str
        All that must be known of it: stands beside it on a page, in place of it for who cannot see it.
    letters : tuple of str
        Lines of a fixed width; none where the words are enough.
    """

    caption: str
    told: str
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
        parts = [_rect(0.5, 0.5, whole, 9, fill="none", stroke="currentColor", stroke_opacity=0.4)]
        if left:
            parts.append(_rect(0.5, 0.5, left, 9, style=f"fill:{ACCENT}"))
        if taken:  # outlined and half as high, so that it is told from what is left without its colour
            parts.append(_rect(0.5 + left, 3, taken, 4, fill="currentColor", fill_opacity=0.6))
        style = "vertical-align:middle;margin-right:8px"
        # its text stands beside it
        return _element(
            "svg", *parts, viewBox="0 0 81 10", width=81, height=10, style=style, aria_hidden="true", focusable="false"
        )


@dataclass(frozen=True, slots=True)
class Axis:
    """From figures to places on a drawing, along one side of it."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False  # such as numbers of rounds: there is nothing between them

    def at(self, value: float) -> float:
        """The place of a figure."""
        low, high, value = map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round figures within it, rising: two of them at least, but on a short logarithmic axis."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = (1, 2, 5) if self.high / self.low < 200 else (1,)
            found = [each * 10.0**decade for decade in decades for each in every]
            return [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]
        rough = (self.high - self.low) / 4
        step = 10.0 ** math.floor(math.log10(rough))
        step *= next(each for each in (1, 2, 2.5, 5, 10) if each * step >= rough * 0.999)
        if self.whole:
            step = math.ceil(step)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis_over(values: Sequence[float], start: float, end: float, *, log: bool = False, whole: bool = False) -> Axis:
    """One that holds all of these, with room where they are all the same."""
    low, high = min(values), max(values)
    if log:
        return Axis(low, high, start, end, log) if low < high else Axis(low / 2, high * 2, start, end, log)
    room = 0.0 if low < high else max(abs(low) * 0.1, 0.5)
    return Axis(low - room, high + room, start, end, whole=whole)


def curves(
    caption: str,
    lines: Mapping[str, Points],
    *,
    told: str,
    x: str,
    y: str,
    log: bool = False,
    here: float | None = None,
    end: tuple[float, str] | None = None,
) -> Picture | None:
    """Lines over a common axis, each named at its end where there are several; None where there is nothing to draw.

    Parameters
    ----------
    lines : mapping of name to (x, y) pairs
        x rising; a y that is None or no finite number leaves a gap.
    x, y : str
        What the axes are, with units.
    log : bool
        Both axes; all figures are above 0.
    here : float, optional
        Where on the first axis this question stands.
    end : (float, str), optional
        From where on it is beyond reach, and what that is called.
    """
    known = {name: [(a, b) for a, b in line if b is not None and math.isfinite(b)] for name, line in lines.items()}
    every = [point for line in known.values() for point in line]
    if len({a for a, _ in every}) < 2:
        return None
    whole = all(a == int(a) for a, _ in every)
    across = axis_over([a for a, _ in every], LEFT, RIGHT, log=log, whole=whole)
    up = axis_over([b for _, b in every], BOTTOM, TOP, log=log)
    parts = [*_frame(across, up, x, y), *_marked(across, here, end)]
    for number, (name, line) in enumerate(lines.items()):
        parts += _line(line, across, up, dashes=_DASHES[number % len(_DASHES)], name=name)
        if here is not None:
            parts += [
                _element("circle", cx=_n(across.at(a)), cy=_n(up.at(b)), r=4, style=f"fill:{ACCENT}")
                for a, b in known[name]
                if a == here
            ]
    beside = [*(lines if len(lines) > 1 else ()), *([end[1]] if end else ())]
    width = RIGHT + 12 + LETTER * max(map(len, beside), default=2)
    if len(lines) > 1:
        ends = {name: up.at(line[-1][1]) for name, line in known.items() if line}
        parts += [_label(name, RIGHT + 6, place + 4) for name, place in _apart(ends).items()]
    letters = _letters(every, across, up) if len(lines) == 1 and not log else ()
    return Picture(caption=caption, told=told, svg=_drawing(caption, told, parts, width, HEIGHT), letters=letters)


def course(caption: str, lines: Mapping[str, Points], *, step: str, y: str) -> Picture | None:
    """Curves of figures told step by step, such as a loss; says where each began, ended, and was at its least and most
    on the way."""
    told = []
    for name, line in lines.items():
        known = [(a, b) for a, b in line if b is not None and math.isfinite(b)]
        if not known:
            continue
        (first, begun), (last, ended) = known[0], known[-1]
        least, most = min(known, key=lambda point: point[1]), max(known, key=lambda point: point[1])
        between = [
            f"{what} {b:.4g} at {a:g}" for what, (a, b) in (("least", least), ("most", most)) if b not in (begun, ended)
        ]
        told.append(
            f"{name}: {begun:.4g} at {step} {first:g}, {ended:.4g} at {last:g}{''.join(f'; {t}' for t in between)}"
        )
    return curves(caption, lines, told="\n".join(told), x=step, y=y)


_DASHES = ("", "6 3", "2 2", "9 3 2 3", "1 3")


def _frame(across: Axis, up: Axis, x: str, y: str) -> list[str]:
    """Both axes with their ticks, a faint line at each of the upright one's."""
    parts = []
    for tick in up.ticks():
        parts.append(_stroke(LEFT, up.at(tick), RIGHT, up.at(tick), opacity=0.15))
        parts.append(_label(f"{tick:.4g}", LEFT - 6, up.at(tick) + 4, anchor="end"))
    for tick in across.ticks():
        parts.append(_stroke(across.at(tick), BOTTOM, across.at(tick), BOTTOM + 4, opacity=0.6))
        parts.append(_label(f"{tick:.4g}", across.at(tick), BOTTOM + 16, anchor="middle"))
    parts.append(_stroke(LEFT, BOTTOM, RIGHT, BOTTOM, opacity=0.6))
    parts.append(_label(x, (LEFT + RIGHT) / 2, HEIGHT - 6, anchor="middle"))
    middle = (TOP + BOTTOM) / 2
    parts.append(_label(y, 12, middle, anchor="middle", transform=f"rotate(-90 12 {middle:g})"))
    return parts


def _marked(across: Axis, here: float | None, end: tuple[float, str] | None) -> list[str]:
    """What is beyond reach, and where this question stands."""
    parts = []
    if end is not None and end[0] < across.high:
        place = across.at(max(end[0], across.low))
        parts.append(_rect(place, TOP, across.end - place, BOTTOM - TOP, fill="currentColor", fill_opacity=0.1))
        parts.append(_label(end[1], across.end + 6, TOP + 8))
    if here is not None:
        parts.append(_stroke(across.at(here), TOP, across.at(here), BOTTOM, opacity=0.7, stroke_dasharray="3 3"))
    return parts


def _line(line: Points, across: Axis, up: Axis, *, dashes: str, name: str) -> list[str]:
    """A line through each unbroken stretch of points; a point that stands alone as a dot."""
    parts = []
    for known, stretch in groupby(line, key=lambda point: point[1] is not None and math.isfinite(point[1])):
        places = [(across.at(a), up.at(b)) for a, b in stretch if known and b is not None]
        if len(places) == 1:
            parts.append(_element("circle", cx=_n(places[0][0]), cy=_n(places[0][1]), r=2, fill="currentColor"))
        elif places:
            text = " ".join(f"{_n(a)},{_n(b)}" for a, b in places)
            drawn = {"points": text, "fill": "none", "stroke": "currentColor", "stroke_width": 1.8}
            parts.append(_element("polyline", **drawn, **({"stroke_dasharray": dashes} if dashes else {})))
    return parts


def _apart(places: Mapping[str, float], gap: float = 12.0) -> dict[str, float]:
    """Places of labels, moved no nearer to each other than this, and no lower than the box."""
    order = sorted(places, key=lambda name: places[name])
    moved = {name: places[name] for name in order}
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + gap)
    over = max(0.0, max(moved.values(), default=0.0) - BOTTOM)
    return {name: place - over for name, place in moved.items()}


def _letters(points: Sequence[tuple[float, float]], across: Axis, up: Axis) -> tuple[str, ...]:
    """One line's points on a field of letters."""
    field = [[" "] * COLUMNS for _ in range(LINES)]
    for a, b in points:
        column = round((across.at(a) - LEFT) / (RIGHT - LEFT) * (COLUMNS - 1))
        row = round((up.at(b) - TOP) / (BOTTOM - TOP) * (LINES - 1))
        field[row][column] = "*"
    names = [f"{up.high:.4g}", *[""] * (LINES - 2), f"{up.low:.4g}"]
    width = max(map(len, names))
    drawn = [f"{name:>{width}} |{''.join(row)}".rstrip() for name, row in zip(names, field, strict=True)]
    first, last = f"{across.low:.4g}", f"{across.high:.4g}"
    return (*drawn, f"{'':>{width}}  {first}{last:>{COLUMNS - len(first)}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEnd:
    """One end of a flow: who, and what is brought or learned; `solid` where that is something."""

    who: str
    what: str
    solid: bool


def flow(caption: str, givers: Sequence[FlowEnd], verb: str, learners: Sequence[FlowEnd], *, told: str) -> Picture:
    """Who brings what into a computation, and who learns what from it; arrows go to those alone who learn something."""
    given, learned, row = 180, 250, 44
    height = row * max(len(givers), len(learners)) + 4
    middle, box = height / 2, (given + 50, given + 50 + 110)
    width = box[1] + 50 + learned
    parts = [
        _rect(box[0], middle - 17, 110, 34, rx=6, fill="none", style=f"stroke:{ACCENT};stroke-width:1.5"),
        _label(_cut(verb, 110), (box[0] + box[1]) / 2, middle + 4, anchor="middle", weight=600),
    ]
    for giver, place in zip(givers, _spread(len(givers), row, middle), strict=True):
        parts += _node(giver, 1, place, given)
        parts.append(_arrow(given + 1, place, box[0], middle, solid=giver.solid))
    for learner, place in zip(learners, _spread(len(learners), row, middle), strict=True):
        parts += _node(learner, width - learned - 1, place, learned)
        parts.append(_arrow(box[1], middle, width - learned - 1, place, solid=learner.solid))
    return Picture(caption=caption, told=told, svg=_drawing(caption, told, parts, width, height))


def _spread(count: int, row: float, middle: float) -> list[float]:
    return [middle + (n - (count - 1) / 2) * row for n in range(count)]


def _node(end: FlowEnd, x: float, y: float, width: float) -> list[str]:
    solid: dict[str, object] = {} if end.solid else {"stroke_dasharray": "3 3"}
    return [
        _rect(x, y - 18, width, 36, rx=6, fill="none", stroke="currentColor", stroke_opacity=0.5, **solid),
        _label(_cut(end.who, width), x + 8, y - 3, weight=600),
        _label(_cut(end.what, width), x + 8, y + 12, opacity=0.85),
    ]


def _arrow(x: float, y: float, to_x: float, to_y: float, *, solid: bool) -> str:
    """A bent line; only a solid one has a head."""
    turn = (x + to_x) / 2
    tip = to_x - 7 if solid else to_x
    path = f"M{_n(x)},{_n(y)} C{_n(turn)},{_n(y)} {_n(turn)},{_n(to_y)} {_n(tip)},{_n(to_y)}"
    if not solid:
        return _element("path", d=path, fill="none", stroke="currentColor", stroke_opacity=0.4, stroke_dasharray="2 4")
    head = f"M{_n(to_x)},{_n(to_y)} l-8,-4 v8 z"
    line = _element("path", d=path, fill="none", style=f"stroke:{ACCENT};stroke-width:1.6")
    return line + _element("path", d=head, style=f"fill:{ACCENT}")


def _cut(text: str, width: float) -> str:
    """As much of a text as surely fits into a box."""
    most = int((width - 12) / LETTER)
    return text if len(text) <= most else f"{text[: most - 1].rstrip(' ,;')}…"


def _drawing(caption: str, told: str, parts: Sequence[str], width: float, height: float) -> str:
    named = _element("title", _escaped(caption)) + _element("desc", _escaped(told))
    style = "max-width:100%;height:auto;display:block;font-family:inherit"
    size = {"viewBox": f"0 0 {_n(width)} {_n(height)}", "width": _n(width), "height": _n(height)}
    return _element("svg", named, *parts, role="img", **size, style=style)


def _label(
    text: str, x: float, y: float, *, anchor: str = "start", weight: int = 400, opacity: float = 1, **more: object
) -> str:
    style = {"font_size": 11, "font_weight": weight, "fill": "currentColor", "fill_opacity": opacity}
    return _element("text", _escaped(text), x=_n(x), y=_n(y), text_anchor=anchor, **style, **more)


def _rect(x: float, y: float, width: float, height: float, **more: object) -> str:
    return _element("rect", x=_n(x), y=_n(y), width=_n(width), height=_n(height), **more)


def _stroke(x: float, y: float, to_x: float, to_y: float, *, opacity: float, **more: object) -> str:
    ends = {"x1": _n(x), "y1": _n(y), "x2": _n(to_x), "y2": _n(to_y)}
    return _element("line", **ends, stroke="currentColor", stroke_opacity=opacity, **more)


def _element(tag: str, *children: str, **attributes: object) -> str:
    """An element; `children` are elements or escaped text."""
    given = "".join(f' {name.replace("_", "-")}="{html.escape(str(value))}"' for name, value in attributes.items())
    return f"<{tag}{given}>{''.join(children)}</{tag}>"


def _escaped(text: str) -> str:
    return html.escape(readable(text))


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

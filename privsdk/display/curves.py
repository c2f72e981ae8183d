"""Curves for cards, over two axes, as SVG and in letters for terminals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from .svg import ACCENT, LETTER, Picture, drawing, element, label, number, rect, stroke

LEFT, RIGHT, TOP, BOTTOM = 56, 404, 10, 150  # a curve's box, in the units of its drawing
HEIGHT = 190
COLUMNS, LINES = 48, 6  # of a curve in letters

Points = Sequence[tuple[float, float | None]]


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
    description: str,
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
        Where this question is on the first axis.
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
    for at, (name, line) in enumerate(lines.items()):
        parts += _line(line, across, up, dashes=_DASHES[at % len(_DASHES)], name=name)
        if here is not None:
            parts += [
                element("circle", cx=number(across.at(a)), cy=number(up.at(b)), r=4, style=f"fill:{ACCENT}")
                for a, b in known[name]
                if a == here
            ]
    at_the_ends = [*(lines if len(lines) > 1 else ()), *([end[1]] if end else ())]
    width = RIGHT + 12 + LETTER * max(map(len, at_the_ends), default=2)
    if len(lines) > 1:
        ends = {name: up.at(line[-1][1]) for name, line in known.items() if line}
        parts += [label(name, RIGHT + 6, place + 4) for name, place in _apart(ends).items()]
    letters = _letters(every, across, up) if len(lines) == 1 and not log else ()
    return Picture(
        caption=caption,
        description=description,
        svg=drawing(caption, description, parts, width, HEIGHT),
        letters=letters,
    )


def course(caption: str, lines: Mapping[str, Points], *, step: str, y: str) -> Picture | None:
    """Curves of figures by step, such as a loss; described by each one's first, last, least and greatest."""
    described = []
    for name, line in lines.items():
        known = [(a, b) for a, b in line if b is not None and math.isfinite(b)]
        if not known:
            continue
        (first, begun), (last, ended) = known[0], known[-1]
        least, most = min(known, key=lambda point: point[1]), max(known, key=lambda point: point[1])
        between = [
            f"{what} {b:.4g} at {a:g}" for what, (a, b) in (("least", least), ("most", most)) if b not in (begun, ended)
        ]
        described.append(
            f"{name}: {begun:.4g} at {step} {first:g}, {ended:.4g} at {last:g}{''.join(f'; {t}' for t in between)}"
        )
    return curves(caption, lines, description="\n".join(described), x=step, y=y)


_DASHES = ("", "6 3", "2 2", "9 3 2 3", "1 3")


def _frame(across: Axis, up: Axis, x: str, y: str) -> list[str]:
    """Both axes with their ticks, a faint line at each of the upright one's."""
    parts = []
    for tick in up.ticks():
        parts.append(stroke(LEFT, up.at(tick), RIGHT, up.at(tick), opacity=0.15))
        parts.append(label(f"{tick:.4g}", LEFT - 6, up.at(tick) + 4, anchor="end"))
    for tick in across.ticks():
        parts.append(stroke(across.at(tick), BOTTOM, across.at(tick), BOTTOM + 4, opacity=0.6))
        parts.append(label(f"{tick:.4g}", across.at(tick), BOTTOM + 16, anchor="middle"))
    parts.append(stroke(LEFT, BOTTOM, RIGHT, BOTTOM, opacity=0.6))
    parts.append(label(x, (LEFT + RIGHT) / 2, HEIGHT - 6, anchor="middle"))
    middle = (TOP + BOTTOM) / 2
    parts.append(label(y, 12, middle, anchor="middle", transform=f"rotate(-90 12 {middle:g})"))
    return parts


def _marked(across: Axis, here: float | None, end: tuple[float, str] | None) -> list[str]:
    """What is beyond reach, and where this question is."""
    parts = []
    if end is not None and end[0] < across.high:
        place = across.at(max(end[0], across.low))
        parts.append(rect(place, TOP, across.end - place, BOTTOM - TOP, fill="currentColor", fill_opacity=0.1))
        parts.append(label(end[1], across.end + 6, TOP + 8))
    if here is not None:
        parts.append(stroke(across.at(here), TOP, across.at(here), BOTTOM, opacity=0.7, stroke_dasharray="3 3"))
    return parts


def _line(line: Points, across: Axis, up: Axis, *, dashes: str, name: str) -> list[str]:
    """A line through each unbroken stretch of points; a single point as a dot."""
    parts = []
    for known, stretch in groupby(line, key=lambda point: point[1] is not None and math.isfinite(point[1])):
        places = [(across.at(a), up.at(b)) for a, b in stretch if known and b is not None]
        if len(places) == 1:
            parts.append(element("circle", cx=number(places[0][0]), cy=number(places[0][1]), r=2, fill="currentColor"))
        elif places:
            text = " ".join(f"{number(a)},{number(b)}" for a, b in places)
            drawn = {"points": text, "fill": "none", "stroke": "currentColor", "stroke_width": 1.8}
            parts.append(element("polyline", **drawn, **({"stroke_dasharray": dashes} if dashes else {})))
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

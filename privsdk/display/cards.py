"""How objects show themselves, as text and as HTML, from one description; no widget needed.

An object gives a `Card`; this module draws it. Cards hold facts about parties, prices and results of the caller's
own, never rows. Both drawings state the same: what a picture shows is in its words, too.
"""

from __future__ import annotations

import math
import re
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

import pyarrow as pa

from ..errors.absent import Guided
from .readable import readable
from .svg import Gauge, Picture, escaped

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A small table: a header and rows of text, where a `Gauge` is text with a bar."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is shown of an object: a title, labelled facts, pictures, and tables under captions.

    `answers` are tables, too, and come first: what was asked for.
    """

    title: str
    answers: Sequence[tuple[str, Grid]] = ()
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    grids: Sequence[tuple[str, Grid]] = ()


class Displayed(Guided, ABC):
    """Mixin: shows `_card()` as repr and as HTML in notebooks."""

    __slots__ = ()

    @abstractmethod
    def _card(self) -> Card: ...

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_html_(self) -> str:
        return to_html(self._card())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As IPython prints it: whole, but inside a list or dictionary its title alone."""
        card = self._card()
        printer.text(readable(card.title) if len(printer.stack) > 1 else to_text(card))


def at_most(bound: float) -> str:
    """A bound in two digits, rounded up so that it stays one."""
    text = f"{bound:.1e}"
    if float(text) < bound:
        exponent = math.floor(math.log10(bound))
        text = f"{(math.floor(bound / 10.0 ** (exponent - 1)) + 1) * 10.0 ** (exponent - 1):.1e}"
    return f"{float(text):.2g}"


MOST_ROWS = 25


def grid_of(table: pa.Table, *, most: int = MOST_ROWS, digits: int = 6) -> Grid:
    """An Arrow table's first rows as text; for results that are the caller's own."""
    rows = [tuple(cell(value, digits) for value in row.values()) for row in table.slice(0, most).to_pylist()]
    if table.num_rows > most:
        rows.append((f"... {table.num_rows - most:,} more", *[""] * (table.num_columns - 1)))
    return Grid(header=tuple(table.column_names), rows=rows)


def cell(value: object, digits: int = 6) -> str:
    """A value of a result as text: integers with thousands separators, reals in so many digits."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}g}"


def without_empty(grid: Grid) -> Grid:
    """A grid without the columns that say nothing in any row."""
    said = [i for i in range(len(grid.header)) if not grid.rows or any(row[i] for row in grid.rows)]
    return Grid(header=tuple(grid.header[i] for i in said), rows=[tuple(row[i] for i in said) for row in grid.rows])


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, in the order in which they first appear: what is alike is said once, of all together."""
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def size_text(count: int) -> str:
    """1234567 as "1.2 MB"."""
    power = 0 if count < 1000 else min(4, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.{1 if power else 0}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]\d+)?%?|nan|-|")


def _numeric(grid: Grid) -> list[bool]:
    """Which columns hold numbers only, and are set flush right."""
    return [bool(grid.rows) and all(_NUMBER.fullmatch(row[i]) for row in grid.rows) for i in range(len(grid.header))]


WIDTH = 110  # letters in a line of text, where words can be parted
NARROWEST = 24  # a column of words gets no narrower
LONGEST = 32  # and a fact's label takes no more


def _wrapped(text: str, width: int) -> str:
    """In lines of so many letters; a line that goes on is set in as far as its first."""
    lines = []
    for line in readable(text).split("\n"):
        inset = line[: len(line) - len(line.lstrip(" \u2502\u251c\u2514\u2500"))]
        following = re.sub("[\u251c\u2514\u2500]", " ", inset.replace("\u251c", "\u2502"))
        parts = textwrap.wrap(line, width, subsequent_indent=following, break_long_words=False, break_on_hyphens=False)
        lines += parts if len(line) > width else [line]
    return "\n".join(lines)


def _lettered(grid: Grid) -> list[tuple[str, ...]]:
    """Header and rows as text of no more than `WIDTH` letters, as far as the widest columns can be made narrower."""
    rows = [
        tuple(f"{text.letters} {readable(text)}" if isinstance(text, Gauge) else readable(text) for text in row)
        for row in (grid.header, *grid.rows)
    ]
    widths = [max(len(line) for row in rows for line in row[i].split("\n")) for i in range(len(grid.header))]
    room = WIDTH - 2 * len(widths) - 2
    most = next((n for n in range(max(widths), NARROWEST, -1) if sum(min(w, n) for w in widths) <= room), NARROWEST)
    if most < max(widths):
        rows = [tuple(_wrapped(text, most) if widths[i] > most else text for i, text in enumerate(row)) for row in rows]
    return rows


def to_text(card: Card) -> str:
    """The card for terminals, saved notebooks and `print`."""
    width = min(LONGEST, max((len(readable(label)) for label, _ in card.facts), default=0))
    lines = [readable(card.title)]
    for caption, grid in card.answers:
        lines += _grid_lines(caption, grid)
    for label, text in card.facts:
        wrapped = _wrapped(text, WIDTH - width - 4).split("\n")
        named = _wrapped(label, width or 1).split("\n")
        lines += [f"  {one:<{width}}  {two}".rstrip() for one, two in zip_longest(named, wrapped, fillvalue="")]
    for picture in card.pictures:
        lines.append(f"  {readable(picture.caption)}")
        lines += [f"    {line}".rstrip() for line in picture.letters]
        lines += [f"    {line}" for line in _wrapped(picture.description, WIDTH - 4).split("\n")]
    for caption, grid in card.grids:
        lines += _grid_lines(caption, grid)
    return "\n".join(lines)


def _grid_lines(caption: str, grid: Grid) -> list[str]:
    lines = [f"  {readable(caption)}"]
    split: list[tuple[str, ...]] = []
    for row in _lettered(grid):
        split += zip_longest(*(text.split("\n") for text in row), fillvalue="")
    widths = [max(len(row[i]) for row in split) for i in range(len(grid.header))]
    aligned = [">" if number else "<" for number in _numeric(grid)]
    for row in split:
        cells = (f"{text:{side}{w}}" for text, side, w in zip(row, aligned, widths, strict=True))
        lines.append("    " + "  ".join(cells).rstrip())
    return lines


# Only JupyterLab's own theme variables with fallbacks that inherit: readable in light, dark and plain pages.
_BOX = (
    "border:1px solid var(--jp-border-color1,#8888);border-radius:6px;padding:10px 14px;margin:4px 0;"
    "display:inline-block;max-width:100%;box-sizing:border-box;overflow-x:auto;color:inherit;font-size:13px;"
    "line-height:1.5"
)
_CELL = (
    "text-align:left;vertical-align:top;padding:1px 14px 1px 0;white-space:pre-wrap;line-height:1.5;"
    "background:none;color:inherit"
)
_TABLE = "border:none;margin:4px 0 0 0"
_QUIET = "opacity:.8;font-weight:500"
_CAPTION = f"margin-top:8px;{_QUIET}"
_DESCRIPTION = "max-width:720px;white-space:pre-line;font-size:12px;opacity:.9"
# JupyterLab takes SVG out of a notebook that it does not trust, but not the words in it: these then have no size.
_FRAME = "font-size:0px;line-height:0;margin:2px 0 0 0"


def to_html(card: Card) -> str:
    """The card for notebooks, and for the pages that nbconvert makes of them."""
    out = [f'<div class="privsdk-card" style="{_BOX}"><div style="font-weight:600">{escaped(card.title)}</div>']
    for caption, grid in card.answers:
        out += _grid_html(caption, grid)
    if card.facts:
        out.append(f'<table style="{_TABLE}">')
        for label, text in card.facts:
            style = f"{_CELL};{_QUIET}{';white-space:nowrap' if len(label) <= LONGEST else ''}"
            out.append(f'<tr style="background:none"><th scope="row" style="{style}">{escaped(label)}</th>')
            out.append(f'<td style="{_CELL}">{escaped(text)}</td></tr>')
        out.append("</table>")
    for picture in card.pictures:
        out.append(f'<div style="{_CAPTION}">{escaped(picture.caption)}</div>')
        out.append(f'<div style="{_FRAME}">{picture.svg}</div>')
        out.append(f'<div style="{_DESCRIPTION}">{escaped(picture.description)}</div>')
    for caption, grid in card.grids:
        out += _grid_html(caption, grid)
    out.append("</div>")
    return "".join(out)


def page_of(card: Card) -> str:
    """The card as a page of its own, light or dark as its reader has it."""
    style = "html{color-scheme:light dark;font-family:system-ui,sans-serif}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escaped(card.title)}</title>'
        f"<style>{style}</style></head><body>{to_html(card)}</body></html>\n"
    )


def _grid_html(caption: str, grid: Grid) -> list[str]:
    sides = [f"{_CELL};text-align:right" if number else _CELL for number in _numeric(grid)]
    out = [f'<div style="{_CAPTION}">{escaped(caption)}</div>']
    out.append(f'<table style="{_TABLE}"><thead><tr>')
    out += [
        f'<th scope="col" style="{side};font-weight:600">{escaped(text)}</th>'
        for side, text in zip(sides, grid.header, strict=True)
    ]
    out.append("</tr></thead><tbody>")
    for row in grid.rows:
        cells = "".join(f'<td style="{side}">{_drawn(text)}</td>' for side, text in zip(sides, row, strict=True))
        out.append(f'<tr style="background:none">{cells}</tr>')
    out.append("</tbody></table>")
    return out


def _drawn(text: str) -> str:
    if not isinstance(text, Gauge):
        return escaped(text)
    return f'<span style="white-space:nowrap">{text.svg}{escaped(text)}</span>'


def card_of(value: Any) -> Card:
    """A value's facts, pictures and grids on its result's card; its title is the value in one line."""
    if isinstance(value, pa.Table):
        metadata = value.schema.metadata or {}
        withheld = metadata.get(b"withheld_groups", b"0").decode()
        reason = metadata.get(b"withheld_because")
        because = f" {reason.decode()}" if reason else ": below the minimum count, or the next smallest to one that is"
        facts = [("suppressed", f"{withheld} group{'s' * (withheld != '1')}{because}")] if withheld != "0" else []
        if b"left_out" in metadata:
            facts.append(("left out", metadata[b"left_out"].decode()))
        return Card(title="", facts=facts, answers=[("value", grid_of(value))])
    if isinstance(value, Displayed):
        return value._card()
    return Card(title=str(value))

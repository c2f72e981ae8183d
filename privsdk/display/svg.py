"""Small pictures for cards, as our own SVG: what all share, and gauges. Curves and flows have files of their own.

Drawn from figures alone; decides nothing. Colours are the page's own (`currentColor`, JupyterLab's brand colour), so
that light and dark both read, and no two things differ by colour alone. What a picture shows is also said in
words, which stay where a page takes SVG out, as JupyterLab does with notebooks that it does not trust.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

ACCENT = "var(--jp-brand-color1,#1976d2)"
LETTER = 6.2  # as wide as a letter of its labels surely is on average


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


def drawing(caption: str, description: str, parts: Sequence[str], width: float, height: float) -> str:
    named = element("title", _escaped(caption)) + element("desc", _escaped(description))
    style = "max-width:100%;height:auto;display:block;font-family:inherit"
    size = {"viewBox": f"0 0 {number(width)} {number(height)}", "width": number(width), "height": number(height)}
    return element("svg", named, *parts, role="img", **size, style=style)


def label(
    text: str, x: float, y: float, *, anchor: str = "start", weight: int = 400, opacity: float = 1, **more: object
) -> str:
    style = {"font_size": 11, "font_weight": weight, "fill": "currentColor", "fill_opacity": opacity}
    return element("text", _escaped(text), x=number(x), y=number(y), text_anchor=anchor, **style, **more)


def rect(x: float, y: float, width: float, height: float, **more: object) -> str:
    return element("rect", x=number(x), y=number(y), width=number(width), height=number(height), **more)


def stroke(x: float, y: float, to_x: float, to_y: float, *, opacity: float, **more: object) -> str:
    ends = {"x1": number(x), "y1": number(y), "x2": number(to_x), "y2": number(to_y)}
    return element("line", **ends, stroke="currentColor", stroke_opacity=opacity, **more)


def element(tag: str, *children: str, **attributes: object) -> str:
    """An element; `children` are elements or escaped text."""
    given = "".join(f' {name.replace("_", "-")}="{html.escape(str(value))}"' for name, value in attributes.items())
    return f"<{tag}{given}>{''.join(children)}</{tag}>"


def _escaped(text: str) -> str:
    return html.escape(readable(text))


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

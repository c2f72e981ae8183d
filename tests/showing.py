"""What a reader finds in a display, in its HTML and in its text, to be compared."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

from privsdk.display.cards import Card

GAUGE = re.compile(r"\[[#=.]{10}\]")


class Page(HTMLParser):
    """The words of a page as someone reads them, and apart from these what stands in its drawings.

    Attributes
    ----------
    words : list of str
        In their order; of drawings none.
    tables : list of rows of cells
    drawings : list of (title, description)
    tags, attributes : set of str
    exposed : int
        Drawings whose words would be seen if their tags were taken out.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.drawings: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.exposed = 0
        self._open: list[tuple[str, str]] = []
        self._row: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        given = {name: value or "" for name, value in attrs}
        if tag == "svg" and given.get("role") == "img":
            self.drawings.append(["", ""])
            self.exposed += "font-size:0" not in self._open[-1][1]
        elif tag == "svg":
            assert given["aria-hidden"] == "true"
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._row.append("")
        self._open.append((tag, given.get("style", "")))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag
        if tag == "tr":
            self.tables[-1].append(self._row)

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        if "svg" in tags:
            if tags[-1] in ("title", "desc"):
                self.drawings[-1][tags[-1] == "desc"] += data
            return
        self.words += data.split()
        if tags[-1] in ("td", "th") or tags[-2:] == ["td", "span"]:
            self._row[-1] += data


def words_of_text(text: str, card: Card) -> Counter[str]:
    """The words of a display in letters, without its bars and curves."""
    lines = text.splitlines()
    for picture in card.pictures:
        for drawn in picture.letters:
            lines.remove(f"    {drawn}".rstrip())
    return Counter(GAUGE.sub("", "\n".join(lines)).split())

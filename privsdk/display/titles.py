"""Titles of parties, in any script: what each calls itself, beside the name in its certificate, which alone says who it
is.

A title never takes a name's place. It stands after the name, and last in its line or cell, so that letters that run
from right to left turn nothing else around. One that reads like another party's name is not shown at all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable

from .readable import one_line

MOST = 60
MOST_MARKS = 3  # on one letter

# Letters that look like Latin ones (of Unicode's confusables, UTS 39), and digits that look like letters.
_LOOKS = str.maketrans("аеорсухіјѕԁһӏԛԝвкмнтαορνυκιτχγ01|", "aeopcyxijsdhlqwbkmhtaopvukitxyoll")  # noqa: RUF001


def is_title(text: str) -> bool:
    """Whether it can be one: of one line, without what steers a terminal or turns letters, and not too long. Brackets
    that it opens it closes, as it is shown in brackets itself."""
    marks = depth = 0
    for letter in text:
        marks = marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        depth += (unicodedata.category(letter) == "Ps") - (unicodedata.category(letter) == "Pe")
        if marks > MOST_MARKS or depth < 0 or unicodedata.category(letter) in ("Cn", "Co"):
            return False
    return depth == 0 < len(text) <= MOST and one_line(text) == text.strip() == text


def look(text: str) -> str:
    """The same for texts that a reader may take for each other."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_LOOKS)
    return "".join(letter for letter in plain if letter.isalnum())


class Titles:
    """The titles that the parties of a federation have given; `names` are all parties."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names
        self._given: dict[str, str] = {}

    def give(self, party: str, title: str) -> None:
        self._given[party] = title

    def of(self, party: str) -> str:
        """A party's title; "" where it gave none that can be shown."""
        title = self._given.get(party, "")
        if not title or not is_title(title):
            return ""
        others = {look(name) for name in self._names() if name != party}
        return "" if title == party or look(title) in others or not look(title) else title

    def titled(self, party: str) -> str:
        """Its name, and its title where it has one."""
        title = self.of(party)
        return f"{party} ({title})" if title else party

    def facts(self, parties: Collection[str]) -> list[tuple[str, str]]:
        """A card's parties, each in a line of its own; none where nobody has a title."""
        lines = "\n".join(map(self.titled, parties))
        return [("parties", lines)] if any(map(self.of, parties)) else []

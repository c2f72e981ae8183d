"""What errors say, as data: a struct for each reason, with typed fields and no text.

The structs are in `inputs`, `sources`, `refusals` and `sessions`; `privsdk.display.texts` makes the texts. A new reason
is a struct in one of the former and a function in the latter; a reason without a text is shown as its fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar, NamedTuple

import msgspec


class Text(NamedTuple):
    """What an error says: what happened, what to do next, and what that needs, by what it is."""

    message: str
    hint: str = ""
    facts: tuple[tuple[str, str], ...] = ()


class Detail(msgspec.Struct, frozen=True, kw_only=True, tag_field="reason"):
    """What happened, as data. Each kind has a tag, and a text in `privsdk.display.texts`."""


class Stated(Detail, frozen=True, kw_only=True, tag="stated"):
    """Not data yet: the English of where it was raised."""

    message: str
    hint: str = ""


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that was likely meant, or ""."""
    folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return folded.get(name.casefold()) or (near[0] if near else "")


@cache
def reasons() -> dict[str, type[Detail]]:
    return {str(kind.__struct_config__.tag): kind for kind in Detail.__subclasses__()}


def _untranslated(detail: Detail) -> Text:
    fields = msgspec.to_builtins(detail)
    return Text(fields.pop("reason"), ", ".join(f"{name}: {value}" for name, value in fields.items()))


class Shown:
    """How errors are shown: set by `privsdk.display`, its `texts` and its `refusals`, when it is loaded."""

    text: ClassVar[Callable[[Detail], Text]] = staticmethod(_untranslated)
    readable: ClassVar[Callable[[str], str]] = staticmethod(str)
    html: ClassVar[Callable[[Any], str]] = staticmethod(str)
    lines: ClassVar[Callable[[Any], list[str]]] = staticmethod(lambda error: str(error).split("\n"))


def show_with(text: Callable[[Detail], Text], readable: Callable[[str], str]) -> None:
    """Have this make the texts of all errors, and that write out what others may have put into them."""
    Shown.text = staticmethod(text)
    Shown.readable = staticmethod(readable)

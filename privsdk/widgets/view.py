"""What all widgets have in common: a plain ES module from `static/`, one style, and a card where none can be shown."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget

from ..displays import Card, to_html, to_text


@cache
def asset(name: str) -> str:
    """A file of `static/`."""
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


@cache
def module(name: str) -> str:
    """The ES module of a view: what all views share, then its own, as one text."""
    return f"{asset('dom.js')}\n{asset(f'{name}.js')}"


STYLE = asset("privsdk.css")


class View(anywidget.AnyWidget):
    """A widget that is also a card. A subclass sets `_esm = module(name)`."""

    _css = STYLE

    @abstractmethod
    def _card(self) -> Card: ...

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        card = self._card()
        return {**data, "text/plain": to_text(card), "text/html": to_html(card)}, metadata

"""What all widgets have in common: a plain ES module from `static/`, one style, and a card where none can be shown."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget
from IPython.display import DisplayHandle

from ..display.cards import Card, to_html, to_text


@cache
def asset(name: str) -> str:
    """A file of `static/`."""
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


@cache
def module(*names: str) -> str:
    """The ES module of a view: what all views share, what some do, then its own, as one text."""
    return "\n".join(asset(f"{name}.js") for name in ("dom", *names))


STYLE = asset("privsdk.css")


class View(anywidget.AnyWidget):
    """A widget that is also a card. A subclass sets `_esm = module(name)`."""

    _css = STYLE

    def __init__(self, **traits: Any) -> None:
        self._outputs: list[DisplayHandle] = []
        super().__init__(**traits)

    @abstractmethod
    def _card(self) -> Card: ...

    def close(self) -> None:
        """Take the widget away, and leave its card in its place."""
        if self.comm is not None:
            self.layout.close()  # a model of its own, which stays where only the widget is closed
            super().close()
            self._renew()

    def __repr__(self) -> str:
        return to_text(self._card())

    def _ipython_display_(self) -> None:
        """Show it, in an output that can be renewed."""
        data, metadata = self._bundle()
        self._outputs.append(DisplayHandle())
        self._outputs[-1].display(data, metadata=metadata, raw=True)

    def _renew(self) -> None:
        """Have its outputs hold the card of now, which is what a saved notebook keeps. The page draws the view anew."""
        data, metadata = self._bundle()
        for output in self._outputs:
            output.update(data, metadata=metadata, raw=True)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._bundle()

    def _bundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The card, and while it is open the widget."""
        card = self._card()
        shown = {"text/plain": to_text(card), "text/html": to_html(card)}
        data, metadata = (super()._repr_mimebundle_() if self.comm is not None else None) or ({}, {})
        return {**data, **shown}, metadata

"""What widgets have in common: an ES module from `static/`, one style, a card where none can be shown, a federation."""

from __future__ import annotations

import threading
from abc import abstractmethod
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from IPython.display import DisplayHandle

from ..client.federation import Federation
from ..display.cards import Card, to_html, to_text
from ..errors import InvalidArgument
from .facts import Json
from .follower import Subscription

FIRST_S = 5.0  # for the parties' first replies: a view's card, which a saved notebook keeps, is made at once


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
        """The card, and while it is open the widget. ipywidgets takes `_repr_mimebundle_` away from a closed one."""
        card = self._card()
        shown = {"text/plain": to_text(card), "text/html": to_html(card)}
        data, metadata = (super()._repr_mimebundle_() if self.comm is not None else None) or ({}, {})
        return {**data, **shown}, metadata


class FederationView(View):
    """A view of a federation, kept fresh by its follower until `close()`.

    Traits whose names begin with "_" are set by the follower's thread, so do not observe them; all others change only
    when the notebook or its reader changes them. A reader's change that is made while a cell runs reaches the kernel
    when that cell ends.
    """

    _ended = traitlets.Bool().tag(sync=True)
    _caller = traitlets.Unicode().tag(sync=True)
    _purpose = traitlets.Unicode().tag(sync=True)

    def __init__(self, fed: Federation, **traits: Any) -> None:
        self._setting = threading.RLock()  # what ipywidgets keeps of changes to be sent is not made for two threads
        self._gone = False
        self._subscription: Subscription | None = None
        if not isinstance(fed, Federation):
            raise InvalidArgument(
                f"a federation was expected, not a {type(fed).__name__}", hint="ps.embedded(...) or ps.connect(...)"
            )
        if fed.closed:
            raise InvalidArgument("this federation is closed", hint="open it anew")
        self._fed = fed
        self._first = threading.Event()
        super().__init__(_caller=fed.caller, _purpose=fed.purpose, **traits)
        self._subscription = Subscription(fed, self._show)
        self._first.wait(FIRST_S)

    def close(self) -> None:
        """Take it out of the notebook and release all that it holds: its subscription, its comm."""
        with self._setting:
            self._gone = True
            super().close()
            if self._subscription is not None:  # None where it was refused, and is closed by being forgotten
                self._subscription.close()

    def notify_change(self, change: Any) -> None:
        with self._setting:
            super().notify_change(change)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        with self._setting:
            super().set_state(sync_data)

    @abstractmethod
    def _traits_for(self, facts: Json) -> dict[str, Any]:
        """The values of the traits that show these facts of the federation; quick, for other views wait."""

    def _show(self, facts: Json) -> None:
        self._put(_ended=facts["closed"], **self._traits_for(facts))
        self._first.set()

    def _put(self, **values: Any) -> None:
        with self._setting:
            if self._gone:
                return
            with self.hold_sync():
                for name, value in values.items():
                    setattr(self, name, value)

"""The run view: how far a run is, where each party is, what is left of the budgets, and buttons that end it."""

from __future__ import annotations

from typing import Any

import traitlets

from ..client.kernel import kernel_id
from ..client.plan import Run
from ..display.cards import Card
from ..errors import InvalidArgument
from .follower import RunSubscription
from .view import View, module


class RunView(View):
    """A run as it goes on. `close()` takes it away; the run goes on.

    Traits
    ------
    facts : dict
        The run, as `run_facts.followed` gives it.
    kernel : str
        Which kernel the page has its server interrupt, where one waits for the run and hears no click.
    note : str
        The page's last remark on a button that was pressed.
    """

    _esm = module("running", "progress")
    facts = traitlets.Dict().tag(sync=True)
    kernel = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)

    def __init__(self, run: Run[Any]) -> None:
        self.run = run
        super().__init__(kernel=kernel_id())
        self.on_msg(lambda _widget, content, _buffers: self._asked(content))
        self._subscription = RunSubscription(run, self._show)

    def close(self) -> None:
        """Take it away, and leave its card in its place. The run goes on."""
        self._subscription.close()
        super().close()

    def _asked(self, content: Any) -> None:
        """What a button asks for: heard only while no cell blocks the notebook."""
        press(self.run, content)
        self._subscription.refresh()

    def _show(self, followed: dict[str, Any]) -> None:
        self.facts = followed
        if followed["run"]["state"] != "running":
            self._renew()

    def _card(self) -> Card:
        result = self.run.result() if self.run.state == "done" else None
        return self.run._card() if result is None else result._card()


def press(run: Run[Any], content: Any) -> None:
    """Do what a button of the run view says: let the present round be the last, or end it at once."""
    asked = content.get("do") if isinstance(content, dict) else None
    if asked == "stop" and run.stops:
        run.stop()
    elif asked == "cancel":
        run.cancel()


def progress(run: Run[Any]) -> RunView:
    """Show how a run goes on: phases and rounds by party, bytes, seconds, its figures as a curve, what is left.

    Its buttons end the run, also while a cell waits for it.

    Parameters
    ----------
    run : Run
        Of `plan.start()`, before, while or after a cell waits for it.
    """
    if not isinstance(run, Run):
        raise InvalidArgument(f"a run was expected, not a {type(run).__name__}", hint="widgets.progress(plan.start())")
    return RunView(run)

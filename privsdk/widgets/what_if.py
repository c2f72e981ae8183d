"""What-if: what a question would give, cost and tell at each epsilon; then consent, the release, its run, its result.

A preview is asked in threads of its own, and a slower one never takes the place of a newer. Consent is about one plan:
another epsilon is another plan, and needs it anew.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import traitlets

from ..client.kernel import kernel_id
from ..client.plan import Plan, Run
from ..client.preview import Preview
from ..client.results import Result
from ..display.cards import Card
from ..errors import InvalidArgument
from .facts import Json
from .follower import RunSubscription
from .plan_facts import Make, choices, largest_allowed, of_failure, of_preview
from .progress import press
from .view import View, module

AT_ONCE = 3  # previews under way


class WhatIf(View):
    """A question before, while and after it is released.

    Attributes
    ----------
    plan : Plan or None
        The one that is shown, or was released.
    result : Result or None
        Of the last release.
    error : Exception or None
        Why the last preview or release failed.

    Traits
    ------
    facts : dict
        The plan that is shown, as `plan_facts` gives it; empty before the first answer.
    choices, epsilon : list of float, float
        The slider's values and where it is; empty and 0 without one.
    considered, agreed : str
        Ids of the plans whose consent is open and given.
    followed : dict
        The run of the release, as `run_facts.followed` gives it; empty before.
    kernel, note : str
        As in `RunView`.
    """

    _esm = module("running", "what_if")
    facts = traitlets.Dict().tag(sync=True)
    choices = traitlets.List(traitlets.Float()).tag(sync=True)
    epsilon = traitlets.Float().tag(sync=True)
    considered = traitlets.Unicode().tag(sync=True)
    agreed = traitlets.Unicode().tag(sync=True)
    followed = traitlets.Dict().tag(sync=True)
    kernel = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, question: Plan[Any] | Make, *, bounds: tuple[float, float], start: float, mock: pa.Table | None
    ) -> None:
        self.plan: Plan[Any] | None = None
        self.result: Result[Any] | None = None
        self.error: BaseException | None = None
        self._question = question
        self._mock = mock
        self._lock = threading.RLock()
        self._preview: Preview | None = None
        self._subscription: RunSubscription | None = None
        self._run: Run[Any] | None = None
        self._wanted: tuple[int, float] | None = None
        self._number = self._shown = self._working = 0
        self._closed = False
        values = () if isinstance(question, Plan) else choices(bounds)
        nearest = min(values, key=lambda value: abs(math.log(value / start)), default=0.0)
        super().__init__(choices=list(values), epsilon=nearest, kernel=kernel_id())
        self.observe(lambda _: self._ask(), "epsilon")
        self.on_msg(lambda _widget, content, _buffers: self._pressed(content))
        self._ask()

    @traitlets.validate("epsilon")
    def _on_slider(self, proposal: dict[str, Any]) -> float:
        """The slider's value that is nearest."""
        return min(self.choices, key=lambda value: abs(value - proposal["value"]), default=0.0)

    def close(self) -> None:
        """Take it away, and leave its card in its place. A run goes on."""
        with self._lock:
            self._closed = True
            subscription = self._subscription
        if subscription is not None:
            subscription.close()
        super().close()

    def _ask(self) -> None:
        """Have the parties asked about the epsilon of now; returns at once."""
        with self._lock:
            if self._closed or self._run is not None:
                return
            self._number += 1
            self._wanted = self._number, self.epsilon
            if self._working < AT_ONCE:
                self._working += 1
                threading.Thread(target=self._work, name="privsdk-what-if", daemon=True).start()

    def _work(self) -> None:
        """Ask about what is wanted last, until nothing else is."""
        while True:
            with self._lock:
                if self._wanted is None or self._closed:
                    self._working -= 1
                    return
                (number, epsilon), self._wanted = self._wanted, None
            plan, preview, error = None, None, None
            try:
                plan = self._question if isinstance(self._question, Plan) else self._question(epsilon)
                preview = plan.preview(mock=self._mock)
                asked = of_preview(plan, preview, epsilon=epsilon or None, largest=self._largest(plan, preview))
            except Exception as failed:  # of the question's own code, or said by a party: shown in its place
                error, asked = failed, of_failure(failed, epsilon=epsilon or None)
            self._show(number, plan, preview, error, asked)

    def _largest(self, plan: Plan[Any], preview: Preview) -> float | None:
        """The largest epsilon of the slider that would pass, where this one does not."""
        if preview.allowed or isinstance(self._question, Plan):
            return None
        return largest_allowed(self._question, self.choices)

    def _show(
        self,
        number: int,
        plan: Plan[Any] | None,
        preview: Preview | None,
        error: BaseException | None,
        asked: Json,
    ) -> None:
        with self._lock:
            if number <= self._shown or self._run is not None or self._closed:
                return
            first, self._shown = self._shown == 0, number
            self.plan, self._preview, self.error = plan if asked["plan"] else None, preview, error
            self.facts = asked
            if first:
                self._renew()

    def _pressed(self, content: Any) -> None:
        """What a button asks for: heard only while no cell blocks the notebook."""
        asked = content.get("do") if isinstance(content, dict) else None
        with self._lock:
            if asked == "release":
                self._release(content.get("plan"))
            elif asked == "again":
                self._again()
            elif self._run is not None and self._subscription is not None:
                press(self._run, content)
                self._subscription.refresh()

    def _release(self, named: Any) -> None:
        """Start the plan of this id, if it is the one shown, consented to, allowed, and not released before."""
        plan = self.plan
        if plan is None or self._run is not None or self._closed or not self.facts.get("allowed"):
            return
        if not named or not (plan.request.run_id == named == self.agreed):
            return
        self._run, self._wanted = plan.start(), None
        self._subscription = RunSubscription(self._run, self._follow)

    def _follow(self, followed: dict[str, Any]) -> None:
        run = self._run
        if run is None or self._closed:
            return
        ended = run.done()
        if ended:  # before the page is told of the end
            self.error = run.error
            self.result = run.result() if run.error is None else None
        self.followed = followed
        if ended:
            self._renew()

    def _again(self) -> None:
        """Ask anew, in another plan with a consent of its own."""
        if self._run is None or not self._run.done() or isinstance(self._question, Plan):
            return
        self._run, self._subscription = None, None
        self.considered = self.agreed = self.note = ""
        self.followed, self.facts = {}, {}
        self._ask()

    def _card(self) -> Card:
        with self._lock:
            run, preview, plan = self._run, self._preview, self.plan
        if run is not None:
            return run._card() if run.error is not None or not run.done() else run.result()._card()
        if preview is not None:
            return preview._card()
        failed = [("failed", str(self.facts["failure"]))] if self.facts.get("failure") else []
        title = "what if" if plan is None else f"what if: {plan.request.operation}"
        return Card(title=f"{title}: {'no preview' if failed else 'the parties are being asked'}", facts=failed)


def what_if(
    question: Plan[Any] | Callable[[float], Plan[Any]],
    *,
    epsilon: tuple[float, float] = (0.05, 2.0),
    start: float | None = None,
    mock: pa.Table | None = None,
) -> WhatIf:
    """Show what a question would give, cost and tell before it is asked, and release it there after consent.

    Parameters
    ----------
    question : Plan, or function of epsilon
        A function gets the slider's epsilon and returns the plan, such as `lambda epsilon: dp.count(table,
        epsilon=epsilon)`. A plan is shown as it is, without a slider.
    epsilon : (float, float)
        The slider's least and most.
    start : float, optional
        Where it begins; in the middle by default.
    mock : Arrow table, optional
        Public or invented rows with the columns of the question, for dp releases: gives the error of the smallest group
        and 20 simulated outcomes. Never a party's own data.

    Examples
    --------
    >>> asked = widgets.what_if(lambda epsilon: dp.count(table, by="region", epsilon=epsilon), mock=mock)
    >>> asked.result  # after Release was pressed
    """
    if not isinstance(question, Plan) and not callable(question):
        raise InvalidArgument(
            f"a plan or a function that makes one was expected, not a {type(question).__name__}",
            hint="widgets.what_if(lambda epsilon: dp.count(table, epsilon=epsilon))",
        )
    low, high = epsilon
    if not 0 < low < high < math.inf:
        raise InvalidArgument(f"a slider from epsilon {low:g} to {high:g}", hint="give finite bounds, the lower first")
    middle = math.sqrt(low * high) if start is None else start
    if not low <= middle <= high:
        raise InvalidArgument(f"a slider from {low:g} to {high:g} cannot start at {middle:g}")
    return WhatIf(question, bounds=(float(low), float(high)), start=middle, mock=mock)

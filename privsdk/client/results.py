"""What comes of a run, to look at: the result, and what it tells whom, in words and as a diagram."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
from msgspec import UNSET

from ..display.cards import Card, Displayed, Grid, card_of, grouped
from ..display.svg import FlowEnd, Picture, flow
from ..display.tabular import PAGE, Tabular, table_of
from ..errors import PrivsdkError, UnsupportedUse
from ..errors.absent import NoContainer
from ..errors.inputs import NotOffered
from ..governance.learns import Caller, Eavesdropper, Learns, Parties
from ..governance.members import Known, known_by_member, roles_with_caller
from ..protocol.control import Finished
from ..protocol.operation import Request, operation_of
from .audit import Receipt
from .budgets import Price, price_text

T = TypeVar("T")

_MEMBERS = (Parties, Caller)
MOST_NAMES = 4
MOST_ENDS = 8  # on one side of a diagram


class Answers(dict[str, Finished]):
    """What each party answered in a run.

    Attributes
    ----------
    lost : mapping of party to PrivsdkError
        Those without whom the run went on, and why each was lost.
    paid : mapping of party to int
        How many instalments those paid, as far as they still say.
    """

    def __init__(
        self,
        answers: Mapping[str, Finished],
        lost: Mapping[str, PrivsdkError] | None = None,
        paid: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(answers)
        self.lost = dict(lost or {})
        self.paid = dict(paid or {})


class Learned(Displayed, Tabular, tuple[Learns, ...]):
    """What each party, the caller and an eavesdropper learn from a request.

    Attributes
    ----------
    request : Request
    """

    request: Request

    def __new__(cls, items: Iterable[Learns], request: Request) -> Learned:
        self = super().__new__(cls, items)
        self.request = request
        return self

    @property
    def members(self) -> tuple[Known, ...]:
        """What each member knows, once, with all of its roles; those who know the same together."""
        roles = roles_with_caller(operation_of(self.request).roles(), self.request.caller)
        return known_by_member(self, roles)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self), self.request

    @property
    def picture(self) -> Picture:
        """Who brings what, and who learns something of it."""
        brought, learners = _brought(self.request), _learners(self)
        givers = [
            FlowEnd(who=_brief(names), what=what or "brings no data", solid=bool(what))
            for what, names in brought.items()
        ]
        some = [end.who for end in learners if end.solid]
        none = [end.who for end in learners if not end.solid]
        description = ". ".join(
            f"{_brief(names)} bring{'' if len(names) > 1 else 's'} {what or 'no data'}"
            for what, names in brought.items()
        )
        description += f". Something is learned by {', '.join(some)}" if some else ""
        description += f". Nothing of the data is learned by {', '.join(none)}" if none else ""
        caption = "who brings what, and who learns something"
        verb = self.request.operation
        return flow(caption, _fewer(givers), verb, _fewer(learners), description=f"{description}.")

    def to_arrow(self) -> pa.Table:
        """Columns who and what."""
        return table_of({"who": pa.string(), "what": pa.string()}, learns_grid(self).rows)

    def _card(self) -> Card:
        title = f"what is learned from {self.request.operation}"
        return Card(title=title, pictures=(self.picture,), grids=(("in words", learns_grid(self)),))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result(Displayed, NoContainer, Tabular, Generic[T]):
    """The outcome of a run.

    Attributes
    ----------
    value : T
        The answer.
    learned : Learned, a tuple of Learns
    spent : Price, a mapping of party to debits
    receipt : Receipt
    seconds : float
        Wall time from the first request to the last answer.
    """

    value: T
    operation: str
    learned: Learned
    spent: Price
    receipt: Receipt
    notes: tuple[tuple[str, str], ...]
    seconds: float

    def to_arrow(self) -> pa.Table:
        """The value as an Arrow table, where it is tabular; a statistic is a row of its figures.

        Raises
        ------
        UnsupportedUse
            It is no table, such as a model.
        """
        value = self.value
        if isinstance(value, pa.Table):
            return value
        if isinstance(value, Tabular):
            return value.to_arrow()
        if is_dataclass(value) and not isinstance(value, Displayed):
            return pa.Table.from_pylist([asdict(value)])  # type: ignore[arg-type] # no class
        known = tuple(name for name in dir(value) if not name.startswith("_"))
        raise UnsupportedUse(NotOffered(of=type(value).__name__, name="to_arrow", known=known))

    def save(self, path: str | Path) -> None:
        """As `Tabular.save`; a model by its own `save`, but for the page of this result."""
        if hasattr(self.value, "save") and Path(path).suffix != PAGE:
            self.value.save(path)
        else:
            Tabular.save(self, path)

    def _reached(self) -> Mapping[str, str]:
        return {name: f"result.value.{name}" for name in dir(self.value) if not name.startswith("_")}

    def _card(self) -> Card:
        value = card_of(self.value)
        said = {label for label, _ in value.facts}  # what came of it takes the place of what was foreseen
        facts = [
            *([("value", value.title)] if value.title else []),
            *value.facts,
            *(note for note in self.notes if note[0] not in said),
            ("spent", price_text(self.spent)),
            ("took", f"{self.seconds:.2f} s, run {self.receipt.run_id}"),
            ("receipt", self.receipt.verdict()),
        ]
        return Card(
            title=f"result of {self.operation}",
            answers=value.answers,
            facts=facts,
            pictures=(*value.pictures, self.learned.picture),
            grids=(*value.grids, ("learned", learns_grid(self.learned))),
        )


def learns_grid(*learned: Learned) -> Grid:
    """Each member once, with all of its roles and what it learns in them, of several plans too; then who is none."""
    known = [(name, one) for each in learned for one in each.members for name in one.names]
    roles = grouped((name, str(role)) for name, one in known for role in one.roles)
    told = grouped(known)
    alike = grouped(((", ".join(dict.fromkeys(roles[name])), _joined(told[name])), name) for name in told)
    rows = [(f"{', '.join(names)} ({played})", text) for (played, text), names in alike.items()]
    others = [item for each in learned for item in each if not isinstance(item.who, _MEMBERS)]
    outside = grouped((item.who, item) for item in others)
    return Grid(header=("who", "what"), rows=[*rows, *((str(who), _joined(items)) for who, items in outside.items())])


def _joined(told: Sequence[Known | Learns]) -> str:
    """A line for each plan that tells anything else."""
    return "\n".join(dict.fromkeys([each.text for each in told if each.what] or [told[0].text]))


def _brief(names: Sequence[str]) -> str:
    """Many names as the first of them and how many more: all stand in the table of what is learned."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"


def _brought(request: Request) -> dict[str, list[str]]:
    """Who brings which columns of tables of which name; "" is for no data."""

    def what(party: str) -> str:
        if party not in request.operands:
            return ""
        operand = request.operands[party]
        if operand.bound is not UNSET and not operand.bound.rows:
            return f"which keys {operand.table} has"
        matched = "matched rows of " if operand.alignment else ""
        return f"{matched}{operand.table}: {', '.join(operand.columns) or 'rows'}"

    return grouped((what(party), party) for party in request.parties)


def _learners(learned: Learned) -> list[FlowEnd]:
    """Everyone but those who would have to collude, each once."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for known in learned.members:
        you = [f"{name} (you)" for name in known.names if name == learned.request.caller]
        alike.setdefault((known.text, known.tells), []).extend(you or known.names)
    ends = [FlowEnd(who=_brief(names), what=text, solid=tells) for (text, tells), names in alike.items()]
    outside = [item for item in learned if isinstance(item.who, Eavesdropper)]
    return [*ends, *(FlowEnd(who="an eavesdropper", what=item.text, solid=item.tells) for item in outside)]


def _fewer(ends: Sequence[FlowEnd]) -> Sequence[FlowEnd]:
    """The first of many ends as one, so that the drawing stays small."""
    if len(ends) <= MOST_ENDS:
        return ends
    first, *rest = ends[: len(ends) - MOST_ENDS + 1]
    names = f"{first.who} and {len(rest)} more"
    solid = any(end.solid for end in (first, *rest))
    what = first.what if all(end.what == first.what for end in rest) else "each something else: see below"
    return [FlowEnd(who=names, what=what, solid=solid), *ends[len(rest) + 1 :]]

"""What errors say, as data: one struct for each reason, with typed fields and no text.

`privsdk.display.texts` makes the texts. A new reason is a struct here and a function there; a reason without a text is
shown as its fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

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


class NameUnknown(Detail, frozen=True, kw_only=True, tag="unknown-name"):
    """No `kind` has this name; `where` says where it was looked for, `known` what there is. `several`: it is a list of
    names, where one is taken."""

    kind: str
    name: str
    known: tuple[str, ...]
    where: str = ""
    several: bool = False

    @property
    def nearest(self) -> str:
        """The known name that was likely meant, or ""."""
        return nearest(self.name, self.known)


class NotOffered(Detail, frozen=True, kw_only=True, tag="not-offered"):
    """An object `of` this class, or a module of this name, has no such attribute, or cannot be used so: by "[]", "len",
    "iteration" or "arithmetic". `index` is how it is reached where it is something else, `near` what is likely meant,
    `known` what there is."""

    of: str
    name: str
    known: tuple[str, ...]
    index: str = ""
    near: str = ""


class CallMisfit(Detail, frozen=True, kw_only=True, tag="call"):
    """Arguments that a verb or declaration does not take: names, and how many were `given` where `placed` may be."""

    verb: str
    unexpected: tuple[str, ...]
    missing: tuple[str, ...]
    twice: tuple[str, ...]
    placed: int
    given: int
    known: tuple[str, ...]


class WrongType(Detail, frozen=True, kw_only=True, tag="type"):
    """An argument is of another type than its verb or declaration takes: its name, what it is, and what is taken."""

    name: str
    given: str
    wanted: str


class NotTables(Detail, frozen=True, kw_only=True, tag="not-tables"):
    """Something else was given where tables are taken: its class."""

    given: str


class NotWritable(Detail, frozen=True, kw_only=True, tag="not-writable"):
    """A table that has no form in this `kind` of file, by its ending."""

    kind: str


class FederationClosed(Detail, frozen=True, kw_only=True, tag="closed"):
    """A federation that was closed, or a handle of one, was used."""


class OperationNotAllowed(Detail, frozen=True, kw_only=True, tag="operation"):
    party: str
    operation: str
    allowed: tuple[str, ...]


class MissingGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A use of a column that no grant allows; `largest` is the epsilon that one would, 0 for none at all, and
    `partners` are those beside whom alone it is not allowed."""

    table: str
    column: str
    disclosure: str
    epsilon: float = 0.0
    largest: float = 0.0
    partners: tuple[str, ...] = ()


class NotPartners(Detail, frozen=True, kw_only=True, tag="partners"):
    """A request names members that this party's owner does not work with."""

    party: str
    named: tuple[str, ...]


class NotGranted(Detail, frozen=True, kw_only=True, tag="grant"):
    """Uses of columns that no grant allows, the smallest grants that would, and the policy's derivation, by line."""

    party: str
    caller: str
    purpose: str
    missing: tuple[MissingGrant, ...]
    grants: tuple[str, ...]
    grants_toml: tuple[str, ...]
    derivation: tuple[str, ...]


class TooFewContributors(Detail, frozen=True, kw_only=True, tag="contributors"):
    """`contributing_recipient` sees the result and contributes to it, so it does not count."""

    party: str
    required: int
    found: int
    contributing_recipient: str = ""


class TooFewLeft(Detail, frozen=True, kw_only=True, tag="left"):
    """So few clients are `left` in a sum that `party` adds nothing to it; `missing` are the others that there were."""

    party: str
    where: str
    left: int
    fewest: int
    missing: tuple[str, ...] = ()


class MinPartiesUnstated(Detail, frozen=True, kw_only=True, tag="min-parties"):
    """A request does not say what `party`'s owner asks for, but `stated`; None: nothing at all."""

    party: str
    required: int
    stated: int | None = None


class TooFewKeys(Detail, frozen=True, kw_only=True, tag="few-keys"):
    """`party` brings fewer distinct keys than the `least` that `owner` asks for."""

    party: str
    owner: str
    least: int


class TooManyKeys(Detail, frozen=True, kw_only=True, tag="many-keys"):
    """`party` brings more distinct keys than the `most` that `owner` allows."""

    party: str
    owner: str
    size: int
    most: int


class TooManyGroups(Detail, frozen=True, kw_only=True, tag="many-groups"):
    """More groups of `party`'s column `by` would be told than the question pays for."""

    party: str
    by: str
    most: int


class EpsilonExceeded(Detail, frozen=True, kw_only=True, tag="epsilon"):
    """`limit` is "" for the dataset's own cap; `fitting` the largest epsilon of this kind that would pass now."""

    dataset: str
    left: float
    of: float
    delta: float
    needed: float
    limit: str = ""
    fitting: float = 0.0


class PriceLever(msgspec.Struct, frozen=True, kw_only=True):
    """A change that lowers an exact price: `governance.prices.Lever`, what to change it to, and the price then."""

    lever: str
    value: int
    price: int


class ExactExceeded(Detail, frozen=True, kw_only=True, tag="exact"):
    """As `EpsilonExceeded`, in exact disclosures; `fitting_epsilon` where the request also takes an epsilon. Each of
    `levers` would make it pass, and `noise` names what takes none of the allowance."""

    dataset: str
    left: int
    of: int
    needed: int
    limit: str = ""
    fitting: int = 0
    fitting_epsilon: float | None = None
    levers: tuple[PriceLever, ...] = ()
    noise: str = ""


class RequestTooLarge(Detail, frozen=True, kw_only=True, tag="request-epsilon"):
    dataset: str
    allowed: float
    needed: float
    fitting: float = 0.0


class Frozen(Detail, frozen=True, kw_only=True, tag="frozen"):
    dataset: str
    why: str


class BudgetReset(Detail, frozen=True, kw_only=True, tag="budget-reset"):
    dataset: str


Because = Literal["few", "undecided", "many"]


class RowsTooAlike(Detail, frozen=True, kw_only=True, tag="differencing"):
    """What exact answers would tell together: of "few" units, which was "undecided", or they are too "many"."""

    party: str
    table: str
    min_count: int
    because: Because = "few"


class PartiesToldApart(Detail, frozen=True, kw_only=True, tag="parties-apart"):
    """Pooled exact results of a column of `party`'s table that together would tell of too few parties: those `named`,
    of whom there are none where that was not found out within the bounds of the search."""

    party: str
    table: str
    column: str
    named: tuple[str, ...]


Misread = Literal["unreadable", "empty", "encoding", "delimiter", "names", "header", "ragged", "readings", "type"]


class FileMisread(Detail, frozen=True, kw_only=True, tag="file"):
    """Why the file of table `where` is not read.

    `column` and `row`, counted from 1 without the header, say where; `readings` what fits, as what is to be declared;
    for a ragged row how many fields it has and should have. `declare` is a line to add beside the table's path.
    """

    where: str
    file: str
    problem: Misread
    column: str = ""
    row: int = 0
    readings: tuple[str, ...] = ()
    declare: str = ""


class CallerMismatch(Detail, frozen=True, kw_only=True, tag="caller"):
    """Who sent a request, and in whose name."""

    certified: str
    named: str


Unfit = Literal["key", "expired", "early", "authority"]


class CertificateUnfit(Detail, frozen=True, kw_only=True, tag="certificate"):
    """A member's certificate is of another key or authority, or not valid now but from `since` to `until`."""

    member: str
    why: Unfit
    since: str
    until: str


class SessionEnded(Detail, frozen=True, kw_only=True, tag="ended"):
    """Where a message of this kind was due; `code` is that of the peer's own error, if it named one."""

    peer: str
    due: str = ""
    code: str = ""


class TimedOut(Detail, frozen=True, kw_only=True, tag="timeout"):
    """A peer that was waited for, how long, and for what: "connect", "read", "step" or "send"."""

    peer: str
    seconds: float
    wait: str


class StreamEnded(Detail, frozen=True, kw_only=True, tag="stream"):
    """With a peer: it "closed" it, it "broke", or it is "shut" at this end already."""

    peer: str
    how: str


class TooBusy(Detail, frozen=True, kw_only=True, tag="busy"):
    """A party that takes no more of something: "runs", "calls", another "question", or the "effort" of this one.

    `most` is how many, and `caller` whose, where that is what counts.
    """

    party: str
    of: str
    most: int = 0
    caller: str = ""


class RunCancelled(Detail, frozen=True, kw_only=True, tag="cancelled"):
    """`charged`: whether charges stand; None where the one who says it does not know.
    `waited_for`: the parties for whom it waited when the run was cancelled."""

    charged: bool | None = None
    waited_for: tuple[str, ...] = ()


class AnswerGone(Detail, frozen=True, kw_only=True, tag="answer"):
    """A run of which there is no answer, what became of it, and whether it was charged."""

    run_id: str
    state: str
    charged: bool


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

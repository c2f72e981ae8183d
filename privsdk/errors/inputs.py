"""What errors of calls and names say: fix the call."""

from __future__ import annotations

from typing import Literal

from .details import Detail, nearest


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


Wrong = Literal["none", "mixed", "parties", "numbers", "several", "many"]


class KeysMisfit(Detail, frozen=True, kw_only=True, tag="keys"):
    """What `on` gives for the tables of these parties: no key, columns beside keys, keys of other `named` parties,
    another number for some of them, several where one is compared, or more in turn than are taken."""

    operation: str
    wrong: Wrong
    parties: tuple[str, ...]
    named: tuple[str, ...] = ()
    number: int = 0


JointProblem = Literal["gone", "expired", "revoked", "changed", "another's", "damaged"]


class JointUnusable(Detail, frozen=True, kw_only=True, tag="joint"):
    """A joint table that a party has no more, or not for this request; a `table` that has changed, and `why` its
    owner revoked it."""

    party: str
    problem: JointProblem
    table: str = ""
    why: str = ""


class JointFileUnusable(Detail, frozen=True, kw_only=True, tag="joint-file"):
    """A file that joint tables are taken up from is not there, is none, is of another `version`, or is of another
    caller or purpose: what `owned` says, where the federation is opened as `asked`."""

    path: str
    problem: Literal["absent", "unreadable", "version", "another's"]
    owned: str = ""
    asked: str = ""


class GroupKeysMisfit(Detail, frozen=True, kw_only=True, tag="group-keys"):
    """Public keys of groups by these columns: so many entries, of which so many are `different`, where 1 to `most` may
    be; or a column twice, or keys that are not a value for each."""

    by: tuple[str, ...]
    entries: int
    different: int
    most: int


class GroupsMisfit(Detail, frozen=True, kw_only=True, tag="groups"):
    """Groups by these columns: none, or one twice."""

    by: tuple[str, ...]


class LevelMisfit(Detail, frozen=True, kw_only=True, tag="level"):
    """A quantile's level that is none between 0 and 1."""

    level: float | None


class RowsPerKeyMisfit(Detail, frozen=True, kw_only=True, tag="rows-per-key"):
    """So many rows of a joint key, which are none or too many, or of a table that is not `joint`."""

    given: int
    joint: bool


class ValidationMisfit(Detail, frozen=True, kw_only=True, tag="validation"):
    """What a cross-validation cannot be: of so many folds, or of more trainings than `most`; of candidates that differ
    in columns, parties or seed, or in what they predict; with noise, a name, groups or evaluations on the way; a search
    over what is no `grid`; or one of which no score was told."""

    wrong: Literal["folds", "trainings", "apart", "labels", "exact", "grid", "untold"]
    number: int = 0
    most: int = 0
    grid: str = ""


class SeveralRowsOfKey(Detail, frozen=True, kw_only=True, tag="several-rows"):
    """A party's table has several rows of a joint key, where one is multiplied with the others' columns."""

    party: str
    table: str


class JointColumnUnfit(Detail, frozen=True, kw_only=True, tag="joint-column"):
    """A column that is no factor of joint products: too "few" values, "infinite" or "constant" ones, fewer
    than `min_count` units that differ from the rest ("alike"), no category of so many ("groups"), or
    a key that makes up a combination of several columns ("together")."""

    party: str
    column: str
    why: Literal["few", "infinite", "constant", "alike", "groups", "together"]
    min_count: int = 0


class JointMismatch(Detail, frozen=True, kw_only=True, tag="joint-mismatch"):
    """What `party` says of a joint statistic does not fit: another join or number of its keys, more columns than were
    asked for, too many complete keys, or no figures."""

    party: str
    wrong: Literal["join", "keys", "number", "columns", "complete", "figures"]


class JointQuestion(Detail, frozen=True, kw_only=True, tag="joint-question"):
    """A question over a join that cannot be: of `column` or `party`, beyond `most`; "write" is what to call instead."""

    wrong: Literal["keys", "twice", "shape", "features", "ridge", "one-party", "edges", "weights"]
    column: str = ""
    party: str = ""
    number: int = 0
    least: int = 0
    most: int = 0
    write: str = ""


class MissingNumbers(Detail, frozen=True, kw_only=True, tag="missing-numbers"):
    """These parties miss numbers at some joint keys, where three or more take part."""

    parties: tuple[str, ...]


class TitleUnfit(Detail, frozen=True, kw_only=True, tag="title"):
    """What no party can call itself: no text, of several lines or more than `most` letters, or with letters that are
    not seen or turn others."""

    title: str
    most: int


class BeyondBound(Detail, frozen=True, kw_only=True, tag="beyond-bound"):
    """A party's column holds a value, or has a `total`, beyond what was declared."""

    party: str
    column: str
    bound: float
    total: bool


class FederationClosed(Detail, frozen=True, kw_only=True, tag="closed"):
    """A federation that was closed, or a handle of one, was used."""

"""What an analyst may want to do with columns, and which disclosures that takes: what a picker greys out by.

An aid for choosing. What is allowed is decided by each party when it is asked, by the operations' own declarations, and
a test holds these uses to them.
"""

from __future__ import annotations

import msgspec

from ..governance.policy import Disclosure
from ..protocol.columns.kinds import Kind
from ..psi.keys.declaration import KEY_TYPES


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part that a column can play in a use.

    Attributes
    ----------
    name : str
    needs : tuple of Disclosure
        All of them.
    kind : str
        What the column must hold, in words; "" for anything.
    pattern : str
        A regular expression that its type must match; "" for any type.
    """

    name: str
    needs: tuple[Disclosure, ...]
    kind: str = ""
    pattern: str = ""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do.

    Attributes
    ----------
    name, label, about : str
    operations : tuple of str
        Any of them will do.
    then : str
        A line of Python for what is chosen; "{tables}" and "{column}" stand for it.
    parts : tuple of Part
    fewest : int
        Parties with a table that it takes.
    alike : bool
        Whether the column must be in every chosen table.
    joint : bool
        Whether the owners' least numbers of contributors hold.
    """

    name: str
    label: str
    about: str
    operations: tuple[str, ...]
    then: str
    parts: tuple[Part, ...]
    fewest: int = 1
    alike: bool = False
    joint: bool = False


def _numbers(name: str, *needs: Disclosure) -> Part:
    return Part(name=name, needs=needs, kind=Kind.NUMBER.value, pattern=Kind.NUMBER.pattern)


def _key(need: Disclosure) -> Part:
    kind = "a string, integer, date, decimal or binary value"
    return Part(name="key", needs=(need,), kind=kind, pattern=KEY_TYPES)


def _public_groups(need: Disclosure) -> Part:
    """Groups whose keys the caller names: see `protocol.groups`."""
    pattern = rf"(large_)?string|(date|time|timestamp|duration).*|{Kind.NUMBER.pattern}"
    return Part(name="groups", needs=(need,), kind="text, numbers, dates or times", pattern=pattern)


USES = (
    Use(
        name="join",
        label="find shared keys (join)",
        about="Each party learns which of its own keys the others have too. Their tables may be different ones.",
        operations=("psi.join",),
        then="psi.join(*{tables}, on={column})",
        parts=(_key(Disclosure.JOIN_KEY),),
        fewest=2,
    ),
    Use(
        name="overlap",
        label="count shared keys, not which",
        about="Two parties and you learn how many keys they share, and nobody which.",
        operations=("psi.cardinality",),
        then="psi.cardinality(*{tables}, on={column})",
        parts=(_key(Disclosure.CARDINALITY),),
        fewest=2,
    ),
    Use(
        name="exact",
        label="exact counts, sums and means of one table",
        about="One owner computes over its own rows; groups below its minimum count are suppressed.",
        operations=("aggregate",),
        then="{table}.mean({column})",
        parts=(
            _numbers("sum or mean", Disclosure.AGGREGATE),
            Part(name="groups", needs=(Disclosure.GROUP_KEY,)),
            Part(name="filter", needs=(Disclosure.COMPARISON,)),
        ),
    ),
    Use(
        name="extreme",
        label="smallest and largest values of one table",
        about="A minimum, maximum or quantile is some row's own value, so few owners permit it.",
        operations=("aggregate",),
        then="{table}.max({column})",
        parts=(_numbers("min or max", Disclosure.EXTREME),),
    ),
    Use(
        name="encrypted",
        label="encrypted statistics over several tables",
        about="Totals, means, variances over all chosen tables; nobody sees a single party's share.",
        operations=("he.mean", "he.sum", "he.variance", "he.covariance", "he.correlation", "he.histogram"),
        then="he.mean({tables}, {column})",
        parts=(
            _numbers("statistic", Disclosure.HE_OPERAND),
            _public_groups(Disclosure.COMPARISON),
            _numbers("histogram", Disclosure.HE_OPERAND, Disclosure.COMPARISON),
        ),
        fewest=2,
        alike=True,
        joint=True,
    ),
    Use(
        name="train",
        label="train a model together",
        about="Each party trains on its own rows; models are averaged, rows stay.",
        operations=("fl.fit",),
        then="fl.fit(model, {tables}, label={column})",
        parts=(
            Part(name="feature", needs=(Disclosure.TRAINING_FEATURE,)),
            Part(name="label", needs=(Disclosure.TRAINING_LABEL,)),
        ),
        fewest=2,
        alike=True,
        joint=True,
    ),
    Use(
        name="release",
        label="noisy answers (differential privacy)",
        about="Noise hides any single row; each answer is paid for in epsilon.",
        operations=("dp.mean", "dp.sum", "dp.variance", "dp.quantile", "dp.histogram", "dp.count"),
        then="dp.mean({tables}, {column}, epsilon=0.1, bounds=(low, high))",
        parts=(
            _numbers("value", Disclosure.DP_RELEASE),
            _public_groups(Disclosure.DP_RELEASE),
        ),
        alike=True,
    ),
)
BY_NAME = {use.name: use for use in USES}

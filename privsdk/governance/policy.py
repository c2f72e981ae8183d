"""What an owner lets out, as values: disclosures and their order, grants and policies.

Values only: deciding is `party.policy`. What is paid is in `governance.charges`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Self

import msgspec

from ..errors import InvalidArgument
from ..errors.calls import Declarative
from ..errors.details import nearest


@dataclass(frozen=True, slots=True)
class _Attributes:
    """What holds for a disclosure. Nothing has a default: whoever adds a disclosure decides each of these.

    Attributes
    ----------
    value : str
        Its name in grants, party.toml and ledgers.
    counted : bool
        The grant's `min_count` applies: whatever is shown is of at least so many units.
    pooled : bool
        The policy's `min_parties` applies: the result is one of several contributors, whom the operation declares.
    noisy : bool
        The grant's `max_epsilon` applies.
    in_workshop : bool
        The policy of an embedded federation that was given none permits it.
    implies : tuple of str
        The next narrower disclosures: whoever may see this one could compute those.
    """

    value: str
    _: KW_ONLY
    counted: bool
    pooled: bool
    noisy: bool
    in_workshop: bool
    implies: tuple[str, ...]


class Disclosure(StrEnum):
    """What a use of a column lets out. An owner permits a set of these for each column; a wider one implies the
    narrower (`implied`)."""

    # A count by group tells what a filter on that column would; an owner's own total, what a total over several does.
    # Of a join partner and caller learn how many keys are shared anyway. What else the partner learns (which ones,
    # payload) says nothing of what the caller may, and is on no such ladder.

    # set intersection: the partner learns which of its own keys are here too
    JOIN_KEY = _Attributes(
        "join key", counted=True, pooled=False, noisy=False, in_workshop=True, implies=("cardinality only",)
    )
    # set intersection: the partner and the caller learn how many keys both have
    CARDINALITY = _Attributes("cardinality only", counted=True, pooled=False, noisy=False, in_workshop=True, implies=())
    # the value of each returned row: rows leave their owner (psi.difference)
    ROW_RETURN = _Attributes("row return", counted=False, pooled=False, noisy=False, in_workshop=False, implies=())
    # the partner of a join learns the value, or whether it passes a filter, of each shared key
    PAYLOAD = _Attributes("payload", counted=True, pooled=False, noisy=False, in_workshop=False, implies=())
    # its distinct values label the groups of an aggregate
    GROUP_KEY = _Attributes(
        "group key", counted=True, pooled=False, noisy=False, in_workshop=True, implies=("comparison",)
    )
    # filters the rows of an aggregate: how many pass is shown
    COMPARISON = _Attributes("comparison", counted=True, pooled=False, noisy=False, in_workshop=True, implies=())
    # minimum, maximum or quantile over at least `min_count` units: one row's own value
    EXTREME = _Attributes("extreme", counted=True, pooled=False, noisy=False, in_workshop=False, implies=("aggregate",))
    # exact count, sum or mean over at least `min_count` units
    AGGREGATE = _Attributes(
        "aggregate", counted=True, pooled=False, noisy=False, in_workshop=True, implies=("HE operand",)
    )
    # over a join: sums, and sums of its products with other columns, each rounded and bounded in bits
    JOINT_STATISTIC = _Attributes(
        "joint statistic", counted=True, pooled=False, noisy=False, in_workshop=True, implies=("aggregate",)
    )
    # enters an encrypted sum
    HE_OPERAND = _Attributes("HE operand", counted=True, pooled=True, noisy=False, in_workshop=True, implies=())
    # input of a jointly trained model
    TRAINING_FEATURE = _Attributes(
        "training feature", counted=True, pooled=True, noisy=False, in_workshop=True, implies=()
    )
    # target of a jointly trained model
    TRAINING_LABEL = _Attributes("training label", counted=True, pooled=True, noisy=False, in_workshop=True, implies=())
    # the coordinator of a training sees what this party's rows alone changed
    MODEL_UPDATE = _Attributes("model update", counted=True, pooled=False, noisy=False, in_workshop=False, implies=())
    # scores another party's rows: that party learns the scores and the model
    MODEL_WEIGHT = _Attributes("model weight", counted=False, pooled=False, noisy=False, in_workshop=True, implies=())
    # differentially private
    DP_RELEASE = _Attributes("DP release", counted=False, pooled=False, noisy=True, in_workshop=True, implies=())

    _value_: str
    counted: bool
    pooled: bool
    noisy: bool
    in_workshop: bool
    _implies: tuple[str, ...]

    def __new__(cls, attributes: _Attributes | str) -> Self:
        """A member, as it is defined above; `Disclosure("join key")` looks one up and does not come here."""
        if isinstance(attributes, str):
            raise TypeError(f"the disclosure {attributes!r} has no attributes")
        self = str.__new__(cls, attributes.value)
        self._value_ = attributes.value
        self.counted = attributes.counted
        self.pooled = attributes.pooled
        self.noisy = attributes.noisy
        self.in_workshop = attributes.in_workshop
        self._implies = attributes.implies
        return self

    @property
    def implied(self) -> frozenset[Disclosure]:
        """This disclosure and every narrower one: whoever may see the wider could compute the narrower."""
        return frozenset({self}).union(*(Disclosure(narrower).implied for narrower in self._implies))


ANY = "*"
DEFAULT_MIN_COUNT = 10


class KeyBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The most distinct keys that a partner may bring: so many, or a multiple of the owner's own; None: no bound."""

    most: int | None = None
    ratio: float | None = None

    def of(self, own: int) -> int | None:
        """The most beside so many keys of the owner's."""
        bounds = [self.most] if self.most is not None else []
        bounds += [int(self.ratio * own)] if self.ratio is not None else []
        return min(bounds, default=None)


NO_KEY_BOUNDS = KeyBounds()


ROWS = "rows"  # stands for the table's rows themselves where no column is used, as in a count


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One disclosure a request needs from one party: this column, in this way, for that part of the result."""

    table: str
    column: str
    disclosure: Disclosure
    epsilon: float = 0.0
    result: str = ""

    def __post_init__(self) -> None:
        if self.disclosure.noisy != (self.epsilon > 0):  # of epsilon 0, no grant's max_epsilon would hold it
            raise InvalidArgument(f"{self.table}.{self.column} as {self.disclosure} of epsilon {self.epsilon}")


class Grant(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An owner's permission to use columns in stated ways; whatever no grant allows is refused.

    Parameters
    ----------
    table : str
        Whose columns are granted; "*" stands for any.
    columns : mapping of column to Disclosure, or to several
        The ways in which each may be used; "*" stands for any column, "rows" for counting rows.
    to, purpose : tuple of str
        Callers and purposes it holds for; "*" stands for any.
    partners : tuple of str
        Other parties that may take part, in whatever role; "*" stands for any in the owner's own federation file.
    min_count : int
        Fewest distinct rows or joint keys behind any exact aggregate.
    max_epsilon : float
        Largest epsilon of a single DP release.
    most_partner_keys : int, optional
        Most distinct keys that a partner may bring to a question about keys; None for no such bound.
    most_keys_ratio : float, optional
        The same, as a multiple of the owner's own number of keys. Both stop who would enter every possible key.

    Examples
    --------
    >>> Grant(table="loans", columns={"segment": "group key", "amount": ("aggregate", "comparison")}, to=("carol",))
    """

    table: str
    columns: dict[str, Disclosure | tuple[Disclosure, ...]]
    to: tuple[str, ...] = (ANY,)
    purpose: tuple[str, ...] = (ANY,)
    partners: tuple[str, ...] = (ANY,)
    min_count: int = DEFAULT_MIN_COUNT
    max_epsilon: float = 0.0
    most_partner_keys: int | None = None
    most_keys_ratio: float | None = None

    def __post_init__(self) -> None:
        permitted = {column: _disclosures(ways) for column, ways in self.columns.items()}
        msgspec.structs.force_setattr(self, "columns", permitted)
        for name in ("to", "purpose", "partners"):
            if isinstance(getattr(self, name), str):
                msgspec.structs.force_setattr(self, name, (getattr(self, name),))
        if self.min_count < 2:
            raise InvalidArgument(
                f"min_count is {self.min_count}: an aggregate of one row is that row",
                hint="use at least 2; 10 is the default",
            )
        if not (0 <= self.max_epsilon < math.inf):
            raise InvalidArgument(f"max_epsilon is {self.max_epsilon}", hint="give a finite number, 0 or more")
        if any(most is not None and not 0 < most < math.inf for most in (self.most_partner_keys, self.most_keys_ratio)):
            raise InvalidArgument(
                f"a partner may bring {self.most_partner_keys} keys, {self.most_keys_ratio} times the owner's",
                hint="give numbers above 0, or leave them out",
            )
        for column, ways in permitted.items():
            if any(way.noisy for way in ways) and self.max_epsilon == 0:
                raise InvalidArgument(
                    f"the grant on {self.table}.{column} permits DP releases of epsilon 0: none",
                    hint="set max_epsilon, for example max_epsilon=0.5",
                )

    def permits(self, table: str, column: str) -> frozenset[Disclosure]:
        """Every way in which this grant lets a column be used, the implied ones included."""
        if self.table not in (ANY, table):
            return frozenset()
        return frozenset().union(*(way.implied for way in self.named(column)))

    def named(self, column: str) -> tuple[Disclosure, ...]:
        """The disclosures of a column that the grant names, by the column's name or by "*"."""
        return tuple(way for name in dict.fromkeys((column, ANY)) for way in _disclosures(self.columns.get(name, ())))

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """The grant as the line of Python that makes it."""
        parts = [f"table={self.table!r}", f"columns={_plain(self.columns)!r}"]
        parts += [f"to={self.to!r}"] if self.to != (ANY,) else []
        parts += [f"purpose={self.purpose!r}"] if self.purpose != (ANY,) else []
        parts += [f"partners={self.partners!r}"] if self.partners != (ANY,) else []
        parts += [f"min_count={self.min_count}"] if self.min_count != DEFAULT_MIN_COUNT else []
        parts += [f"max_epsilon={self.max_epsilon!r}"] if self.max_epsilon else []
        bounds = {"most_partner_keys": self.most_partner_keys, "most_keys_ratio": self.most_keys_ratio}
        parts += [f"{name}={bound!r}" for name, bound in bounds.items() if bound is not None]
        return f"ps.Grant({', '.join(parts)})"

    @property
    def toml(self) -> str:
        """The grant as an element of `grants = [...]` in party.toml."""
        fields = {**msgspec.to_builtins(self), "columns": _plain(self.columns)}
        shown = {name: value for name, value in fields.items() if name in _ALWAYS or value != _DEFAULTS[name]}
        return "{ " + ", ".join(f"{name} = {_toml(value)}" for name, value in shown.items()) + " }"


def _disclosures(ways: Disclosure | tuple[Disclosure, ...] | str) -> tuple[Disclosure, ...]:
    """One way or several, given as members or as their text."""
    try:
        return tuple(Disclosure(way) for way in ((ways,) if isinstance(ways, str) else ways))
    except ValueError as error:
        wrong = str(error).split("'")[1] if "'" in str(error) else str(ways)
        known = [d.value for d in Disclosure]
        meant = f"did you mean {near!r}? " if (near := nearest(wrong, known)) else ""
        raise InvalidArgument(f"{wrong!r} is no disclosure", hint=f"{meant}known: {', '.join(known)}") from None


def _plain(columns: Mapping[str, Disclosure | tuple[Disclosure, ...]]) -> dict[str, str | tuple[str, ...]]:
    """Columns with their disclosures as text, a single one without its tuple."""
    texts = {column: tuple(d.value for d in _disclosures(ways)) for column, ways in columns.items()}
    return {column: ways[0] if len(ways) == 1 else ways for column, ways in texts.items()}


def _toml(value: object) -> str:
    """A string, number, list or table: as in JSON, but that TOML wants DEL escaped and writes = for a key's colon."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_ALWAYS = ("table", "columns")
_DEFAULTS = {
    field.name: msgspec.to_builtins(field.default) for field in msgspec.structs.fields(Grant) if not field.required
}


class Policy(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one owner allows. Default deny: an empty policy refuses everything.

    Parameters
    ----------
    operations : tuple of str
        Operations that may run at this party, such as "psi.join"; "*" stands for every one installed.
    grants : tuple of Grant
        Permitted disclosures.
    min_parties : int
        Fewest contributors to an encrypted sum or joint model, not counting anyone who sees the result.
    """

    operations: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    min_parties: int = 3

    def __post_init__(self) -> None:
        if self.min_parties < 1:
            raise InvalidArgument(f"min_parties is {self.min_parties}", hint="use at least 1; 3 is the default")


class Derivation(msgspec.Struct, frozen=True, kw_only=True):
    """How a policy came to its answer, from the columns upwards; prints as a tree.

    Attributes
    ----------
    what : str
        The request, a part of its result, or the use of a column.
    allowed : bool
        Whether everything under it is, and the rule here allows it.
    rule : str
        What decided here; "" where only what is under it did.
    under : tuple of Derivation
    """

    what: str
    allowed: bool
    rule: str = ""
    under: tuple[Derivation, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        rule = f": {self.rule}" if self.rule else ""
        lines = [f"{'allowed' if self.allowed else 'REFUSED'}  {self.what}{rule}"]
        for i, part in enumerate(self.under):
            last = i == len(self.under) - 1
            first, *rest = part._lines()
            lines.append(("└─ " if last else "├─ ") + first)
            lines += [("   " if last else "│  ") + line for line in rest]
        return lines

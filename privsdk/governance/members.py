"""What one member, or several who put together what they have, know after a run: the union over all of their roles.

Rules elsewhere speak of roles; an organisation may play several, as its caller and one of its contributors. What it
learns in one of them may tell more beside what it brought, or learned, in another: a pooled total less its own part is
the others'. Such combinations are rules in one table, each with its reason; a face adds its own beside its kinds of
knowledge. Rules are of the knowledge alone, and see no data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from .learns import Caller, Coalition, Eavesdropper, Knowledge, Learns, Parties, RoleName

Roles = Mapping[str, tuple[RoleName, ...]]


class Combination(NamedTuple):
    """A rule: who knows something of each of these kinds, and plays the role, knows more.

    `gives` is called with the knowledge, one of each kind, and the names of all others in that role; None where nothing
    follows.
    """

    kinds: tuple[type[Knowledge], ...]
    role: RoleName
    gives: Callable[..., Knowledge | None]
    because: str


COMBINATIONS: list[Combination] = []


def combine(*kinds: type[Knowledge], role: RoleName, gives: Callable[..., Knowledge | None], because: str) -> None:
    """Add a rule to the table."""
    COMBINATIONS.append(Combination(kinds, role, gives, because))


class Derived(NamedTuple):
    """What follows by a rule, and why."""

    what: Knowledge
    because: str

    def __str__(self) -> str:
        return f"{self.what} ({self.because})"


class Known(NamedTuple):
    """What one member, or several together, know after a run.

    Attributes
    ----------
    names : who
    roles : all that they play
    what : what they learn in these, without what is implied by another or known to them anyway
    derived : what follows from it, beside their own input
    """

    names: tuple[str, ...]
    roles: tuple[RoleName, ...]
    what: tuple[Knowledge, ...]
    derived: tuple[Derived, ...] = ()

    @property
    def everything(self) -> tuple[Knowledge, ...]:
        """Learned and derived."""
        return (*self.what, *(each.what for each in self.derived))

    @property
    def tells(self) -> bool:
        """Whether it is anything of what others brought."""
        return any(each.tells for each in self.everything)

    @property
    def text(self) -> str:
        """What is known, in words."""
        so = [f"so {each}" for each in self.derived]
        return "; ".join([*map(str, self.what), *so]) or "nothing"


def roles_with_caller(roles: Roles, caller: str) -> dict[str, tuple[RoleName, ...]]:
    """Every member with all its roles; the caller is one of the parties, or nobody else."""
    return {**roles, caller: (RoleName.CALLER, *roles.get(caller, ()))}


def known_to(names: Collection[str], learns: Sequence[Learns], roles: Roles) -> Known:
    """What these members know together; `roles` is by member, the caller among them."""
    members = tuple(name for name in roles if name in names)
    played = tuple(dict.fromkeys(role for name in members for role in roles[name]))
    heard = dict.fromkeys(each for item in learns if _concerns(item, members) for each in item.what)
    derived = _derived(tuple(heard), members, roles)
    return Known(members, played, _without_implied(tuple(heard), played), derived)


def known_by_member(learns: Sequence[Learns], roles: Roles) -> tuple[Known, ...]:
    """What each member knows by itself, each once, in the order in which they are named; those who know the same by the
    same roles together."""
    named = dict.fromkeys(name for item in learns for name in _named(item) if name in roles)
    alike: dict[tuple[object, ...], tuple[str, ...]] = {}
    for name in named:
        one = known_to((name,), learns, roles)
        alike[one[1:]] = (*alike.get(one[1:], ()), name)
    return tuple(known_to(names[:1], learns, roles)._replace(names=names) for names in alike.values())


def _named(item: Learns) -> tuple[str, ...]:
    match item.who:
        case Parties(names=names):
            return names
        case Caller(name=name):
            return (name,)
    return ()


def _concerns(item: Learns, members: tuple[str, ...]) -> bool:
    """Whether it is what one of these learns, or all of them who are among them."""
    match item.who:
        case Coalition(members=needed, any=more, of=of):
            joined = [name for name in of if name in members and name not in needed]
            return set(needed) <= set(members) and len(joined) >= more
        case Eavesdropper():
            return False
    return any(name in members for name in _named(item))


def _derived(heard: tuple[Knowledge, ...], members: tuple[str, ...], roles: Roles) -> tuple[Derived, ...]:
    found: dict[Knowledge, Derived] = {}
    for rule in COMBINATIONS:
        playing = [name for name, played in roles.items() if rule.role in played]
        if not set(playing) & set(members):
            continue
        others = tuple(name for name in playing if name not in members)
        for known in _one_of_each(heard, rule.kinds):
            what = rule.gives(*known, others)
            if what is not None and what not in heard:
                found.setdefault(what, Derived(what, rule.because))
    return tuple(found.values())


def _one_of_each(heard: tuple[Knowledge, ...], kinds: tuple[type[Knowledge], ...]) -> list[tuple[Knowledge, ...]]:
    found: list[tuple[Knowledge, ...]] = [()]
    for kind in kinds:
        found = [(*before, each) for before in found for each in heard if type(each) is kind]
    return found


def _without_implied(heard: tuple[Knowledge, ...], played: tuple[RoleName, ...]) -> tuple[Knowledge, ...]:
    """Without what another implies, what is known anyway, and, beside what tells something, what tells nothing."""
    new = [each for each in heard if each.own not in played]
    tells = any(each.tells for each in new)
    return tuple(
        each for each in new if (each.tells or not tells) and not any(one.implies(each) for one in new if one != each)
    )

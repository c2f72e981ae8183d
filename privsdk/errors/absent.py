"""What objects and modules do not have: names and uses that others have, answered by what to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from . import UnknownAttribute, UnsupportedUse
from .details import nearest
from .inputs import NotOffered


class Guided:
    """Mixin: an attribute that an object does not have is an error that says what to write.

    Names that begin with an underscore are Python's and notebooks' own questions, and are answered as of any object.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # so that type checkers still find what is misspelt

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or name in dir(type(self)):  # of the latter a property raises
                return object.__getattribute__(self, name)
            raise UnknownAttribute(_detail(self, name))

    def _reached(self) -> Mapping[str, str]:
        """How names are reached that are no attributes but might be, such as those that it is indexed by."""
        return {}


class NoContainer(Guided):
    """Mixin: what is no container and no number says so, where it is used as one."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


def _detail(of: Guided, name: str) -> NotOffered:
    known = tuple(each for each in dir(of) if not each.startswith("_"))
    reached = of._reached()
    near = nearest(name, [*reached, *known])
    return NotOffered(
        of=type(of).__name__, name=name, known=known, index=reached.get(name, ""), near=reached.get(near, near)
    )


def _refusal(use: str) -> Callable[..., NoReturn]:
    def refuse(self: Guided, *_: object) -> NoReturn:
        raise UnsupportedUse(_detail(self, use))

    return refuse


_ARITHMETIC = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv pow neg abs lt le gt ge float int round and or invert"
)
for _name, _use in {
    "getitem": "[]",
    "len": "len",
    "iter": "iteration",
    "contains": "iteration",
    **dict.fromkeys(_ARITHMETIC.split(), "arithmetic"),
}.items():
    setattr(NoContainer, f"__{_name}__", _refusal(_use))


def in_module(module: str, names: Sequence[str]) -> Callable[[str], Any]:
    """A module's `__getattr__`: what to write in place of a name that it does not have."""

    def absent(name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)
        raise UnknownAttribute(
            NotOffered(of=module.rpartition(".")[2], name=name, known=tuple(names), near=nearest(name, names))
        )

    return absent

"""Verbs and declarations called with arguments that they do not take: an error that names those that they do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from . import UnsupportedUse
from .inputs import CallMisfit, WrongType

P = ParamSpec("P")
R = TypeVar("R")
_FACES = ("dp", "fl", "he", "psi")


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, which raises UnsupportedUse where its arguments do not fit its signature."""
    signature = inspect.signature(function)
    face = function.__module__.split(".")[1]
    free = face in _FACES and function.__qualname__ == function.__name__  # no method
    name = f"{face}.{function.__name__}" if free else function.__name__

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except UnsupportedUse:
            raise
        except TypeError:
            if misfit := _misfit(name, signature, args, kwargs):
                raise UnsupportedUse(misfit) from None
            raise

    return call


class _Declaration(msgspec.StructMeta):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except UnsupportedUse:
            raise
        except TypeError:
            if misfit := _misfit(self.__name__, inspect.signature(self), args, kwargs):
                raise UnsupportedUse(misfit) from None
            fields = {field.name: field.type for field in msgspec.structs.fields(cast(type[msgspec.Struct], self))}
            for name, value in kwargs.items():
                expect(f"{name} of {self.__name__}", value, fields[name])
            raise


class Declarative(msgspec.Struct, metaclass=_Declaration, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of structs that people write: as `verb`, for what makes them."""


def expect(name: str, value: Any, wanted: Any) -> None:
    """Raise UnsupportedUse where this value of an argument is not of the type that is wanted."""
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        shown = f"a {wanted.__name__}" if isinstance(wanted, type) else str(wanted)
        raise UnsupportedUse(WrongType(name=name, given=type(value).__name__, wanted=shown)) from None


def _misfit(
    name: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> CallMisfit | None:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        pass
    else:
        return None
    known = {each: p for each, p in signature.parameters.items() if each != "self"}
    placed = [each for each, p in known.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    own = len(args) - ("self" in signature.parameters)
    if any(p.kind is p.VAR_POSITIONAL for p in known.values()):
        own = min(own, len(placed))
    given = {*kwargs, *placed[:own]}
    return CallMisfit(
        verb=name,
        unexpected=tuple(each for each in kwargs if each not in known),
        missing=tuple(
            each
            for each, p in known.items()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and each not in given
        ),
        twice=tuple(each for each in placed[:own] if each in kwargs),
        placed=len(placed),
        given=own,
        known=tuple(known),
    )

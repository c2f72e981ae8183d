"""What a column must be for a use of it, by its Arrow type alone: the kinds that most uses ask for."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Protocol

from ...errors import InvalidArgument


class TypeCheck(Protocol):
    """What a column must be for a use of it, by its type."""

    def check(self, where: str, type_: str) -> None:
        """Raise InvalidArgument unless the column at `where`, of this Arrow type as text, is so."""


class Kind(StrEnum):
    """What a column must hold for a use of it. Its Arrow type tells, so this is checked before a charge and before any
    value is read; a column of nothing but nulls may be of type null and is of every kind."""

    NUMBER = "numeric or boolean"  # decimals too
    TEXT = "text"
    ID = "integer, real, text or binary"
    VECTOR = "list of numbers"

    @property
    def pattern(self) -> str:
        """The regular expression that such a type matches as a whole, as text; of the syntax that browsers have too."""
        return _TYPES[self]

    def check(self, where: str, type_: str) -> None:
        """Raise InvalidArgument unless the column at `where`, of this Arrow type as text, is of this kind."""
        if not re.fullmatch(self.pattern, type_):
            raise InvalidArgument(f"{where} is {type_}, which is not {self.value}", hint=f"use a {self.value} column")


_TYPES = {
    Kind.NUMBER: r"u?int\d+|bool|halffloat|float|double|decimal\d+\(\d+, -?\d+\)|null",
    Kind.TEXT: r"(large_)?string|null",
    Kind.ID: r"u?int\d+|float|double|(large_)?(string|binary)|fixed_size_binary\[\d+\]|null",
    Kind.VECTOR: r"(fixed_size_|large_)?list<.+: (u?int\d+|halffloat|float|double)( not null)?>(\[\d+\])?|null",
}

"""What the parties of an intersection agree on before it: which columns make a key, of what kind, how normalised.

Declarations are made from Arrow types and the request alone. No data is read here, and none can be in an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from ...errors import DataError, InvalidArgument, UnknownName
from ...errors.calls import verb
from .normalise import KINDS, NORMALISATIONS, parsed

_FAMILIES = {
    "string": r"(large_)?string|string_view",
    "integer": r"u?int(8|16|32|64)",
    "binary": r"(large_)?binary|binary_view|fixed_size_binary\[\d+\]",
    "date": r"date32\[day\]|date64\[ms\]",
    "decimal": r"decimal(32|64|128|256)\(\d+, -?\d+\)",
}
_DICTIONARY = re.compile(r"dictionary<values=(.*), indices=u?int\d+, ordered=[01]>")
_ADVICE = (
    (r"halffloat|float|double", "floats that look equal may differ in their last bit: round, and cast to a decimal"),
    (r"timestamp.*", "two clocks rarely agree on an instant: cast to a date"),
    (r"bool", "true and false tell nobody apart: leave the column out, or cast it to an integer in a wider key"),
    (r"(large_|fixed_size_)?list.*|struct.*|map.*", "give its parts as columns of their own"),
)
# What the type of a key's column matches, for those who choose one; `declared` decides.
KEY_TYPES = "|".join(
    (*_FAMILIES.values(), rf"dictionary<values=({'|'.join(_FAMILIES.values())}), indices=u?int\d+, ordered=[01]>")
)
_OTHERWISE = "cast it to a string, integer, binary, date or decimal"


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The columns that together are a row's key, and the normalisations of those that hold strings; see `key`.

    Raises
    ------
    InvalidArgument
        There is no column, one is named twice, or a normalisation is unknown, named twice or of no column of the key.
    """

    columns: tuple[str, ...]
    normalise: tuple[str, ...] | dict[str, tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            raise InvalidArgument("a key of no columns", hint='name the columns that make it, as in psi.key("id")')
        if twice := _twice(self.columns):
            raise InvalidArgument(f"a key names the column {twice!r} twice", hint="name each column once")
        if not isinstance(self.normalise, dict):
            msgspec.structs.force_setattr(self, "normalise", _ordered(self.normalise))
            return
        for column in self.normalise:
            if column not in self.columns:
                raise UnknownName.among("column", column, self.columns, where="in this key")
        ordered = {column: _ordered(names) for column, names in self.normalise.items()}
        msgspec.structs.force_setattr(self, "normalise", ordered)

    @property
    def plain(self) -> dict[str, bool]:
        """By column whether it is compared as it is, without a normalisation."""
        return {column: not self.of(column) for column in self.columns}

    def of(self, column: str) -> tuple[str, ...]:
        """The normalisations of a column, should it hold strings."""
        return self.normalise.get(column, ()) if isinstance(self.normalise, dict) else self.normalise


Normalise: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[str]]


@verb
def key(*columns: str, normalise: Normalise = ()) -> Key:
    """A key of one or several columns, as people have them.

    Parameters
    ----------
    columns : str
        String, integer, binary, date or decimal columns. Rows match where all of them do, in this order; a row with a
        null in any of them has no key and matches nothing.
    normalise : names out of "nfc", "lower", "spaces", "digits", "zeros N", "first N", "last N"; or these by column
        What every string column of the key, or the named ones, go through before they are compared: Unicode's composed
        form, case, whitespace, digits only, zeros in front up to N characters, the first or last N characters. They
        apply in this order, whatever order they are written in. A string of which nothing is left counts as null.

    Returns
    -------
    Key
        The same normalisations must be declared by every party.

    Examples
    --------
    >>> psi.key("first_name", "born", normalise=("nfc", "lower", "spaces"))
    Key(columns=('first_name', 'born'), normalise=('nfc', 'lower', 'spaces'))
    >>> psi.key("name", "phone", normalise={"name": ("nfc", "lower"), "phone": ("digits", "last 9")})
    """
    for column in columns:
        if not isinstance(column, str):
            raise InvalidArgument(
                f"a key column is named by a str, not a {type(column).__name__}", hint='as in psi.key("name", "born")'
            )
    if isinstance(normalise, Mapping):
        return Key(columns=columns, normalise={column: _listed(names) for column, names in normalise.items()})
    return Key(columns=columns, normalise=_listed(normalise))


def declared(types: Sequence[str], key: Key, *, where: str = "") -> str:
    """The declaration of a key over columns of these types: equal at all parties, or no key would ever match.

    Parameters
    ----------
    types : sequence of str
        The Arrow types of the key's columns, as text.
    key : Key
    where : str
        What to write before a column's name in errors, such as "bank/loans.".

    Returns
    -------
    str
        Such as "string (nfc, lower) + date". Within a family values are compared whatever their width or scale.

    Raises
    ------
    InvalidArgument
        A column is of a type that makes no key, or there is a normalisation and no string column.
    DataError
        A column is of type null.
    """
    families = [_family(f"{where}{column}", type_) for column, type_ in zip(key.columns, types, strict=True)]
    by_column = isinstance(key.normalise, dict)
    unfit = [
        f"{where}{column} is {type_}"
        for column, type_, family in zip(key.columns, types, families, strict=True)
        if family != "string" and key.of(column) and (by_column or "string" not in families)
    ]
    if unfit:
        names = dict.fromkeys(name for column in key.columns for name in key.of(column))
        raise InvalidArgument(
            f"{', '.join(names)} can only apply to strings: {', '.join(unfit)}",
            hint="leave normalise out for this column, or cast it to a string",
        )
    return " + ".join(
        f"string ({', '.join(key.of(column))})" if family == "string" and key.of(column) else family
        for column, family in zip(key.columns, families, strict=True)
    )


def check_agreement(declarations: Mapping[str, str]) -> None:
    """Raise InvalidArgument unless all parties declare their keys alike; shows the declarations, by party."""
    if len(set(declarations.values())) <= 1:
        return
    wide = max(map(len, declarations))
    shown = "".join(f"\n    {party:<{wide}}  {declaration}" for party, declaration in declarations.items())
    raise InvalidArgument(
        f"the keys are declared differently, so none would match:{shown}", hint=_advice_on(declarations)
    )


def _advice_on(declarations: Mapping[str, str]) -> str:
    """What to do about the first difference of several declarations."""
    columns = {party: declaration.split(" + ") for party, declaration in declarations.items()}
    if len({len(each) for each in columns.values()}) > 1:
        return "give a key of as many columns at every party, in the same order"
    for place, declared_here in enumerate(zip(*columns.values(), strict=True), start=1):
        families = [each.partition(" (")[0] for each in declared_here]
        if len(set(families)) > 1:
            shown = " and ".join(f"{family} at {party}" for party, family in zip(columns, families, strict=True))
            return (
                f"column {place} of the key is {shown}, which never match, however alike their values look: name the "
                "columns in the same order, or have an owner cast its column"
            )
    return "declare the same normalise for all parties"


def _family(where: str, type_: str) -> str:
    """The family of an Arrow type given as text; a dictionary is of its values' family."""
    plain = found[1] if (found := _DICTIONARY.fullmatch(type_)) else type_
    for family, pattern in _FAMILIES.items():
        if re.fullmatch(pattern, plain):
            return family
    if plain == "null":
        raise DataError(
            f"{where} holds nothing but nulls, so no row would have a key", hint="leave the column out of the key"
        )
    advice = next((advice for pattern, advice in _ADVICE if re.fullmatch(pattern, plain)), _OTHERWISE)
    raise InvalidArgument(f"{where} is {type_}, which cannot be a join key", hint=advice)


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _ordered(names: tuple[str, ...]) -> tuple[str, ...]:
    """Normalisations in the order of application, whatever order they were written in."""
    kinds = [_kind(name) for name in names]
    if twice := _twice(kinds):
        raise InvalidArgument(f"a key names the normalisation {twice!r} twice", hint="name each one once")
    return tuple(sorted(names, key=lambda name: KINDS.index(_kind(name))))


def _kind(name: str) -> str:
    if found := parsed(name):
        return found.kind
    raise InvalidArgument(
        f"there is no normalisation {name!r}", hint=f"known: {', '.join(NORMALISATIONS)}, with N of 1 to 99"
    )


def _twice(names: Sequence[str]) -> str:
    return next((name for index, name in enumerate(names) if name in names[:index]), "")

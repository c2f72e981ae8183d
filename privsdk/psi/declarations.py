"""What the parties of an intersection agree on before it: which columns make a key, of what kind, how normalised.

Declarations are made from Arrow types and the request alone. No data is read here, and none can be in an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from ..errors import DataError, InvalidArgument
from .normalising import NORMALISATIONS

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
_OTHERWISE = "cast it to a string, integer, binary, date or decimal"


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The columns that together are a row's key, and the normalisations of those that hold strings; see `key`.

    Raises
    ------
    InvalidArgument
        There is no column, one is named twice, or a normalisation is unknown or named twice.
    """

    columns: tuple[str, ...]
    normalise: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            raise InvalidArgument("a key of no columns", hint='name the columns that make it, as in psi.key("id")')
        if twice := _twice(self.columns):
            raise InvalidArgument(f"a key names the column {twice!r} twice", hint="name each column once")
        for name in self.normalise:
            if name not in NORMALISATIONS:
                raise InvalidArgument(f"there is no normalisation {name!r}", hint=f"known: {', '.join(NORMALISATIONS)}")
        if twice := _twice(self.normalise):
            raise InvalidArgument(f"a key names the normalisation {twice!r} twice", hint="name each one once")
        # in the order of application, whatever order they were written in
        msgspec.structs.force_setattr(self, "normalise", tuple(n for n in NORMALISATIONS if n in self.normalise))


def key(*columns: str, normalise: str | Sequence[str] = ()) -> Key:
    """A key of one or several columns, as people have them.

    Parameters
    ----------
    columns : str
        String, integer, binary, date or decimal columns. Rows match where all of them do, in this order; a row with a
        null in any of them has no key and matches nothing.
    normalise : names out of "nfc", "lower", "spaces", "digits"
        What every string column of the key goes through before it is compared: Unicode's composed form, case,
        whitespace, digits only. They apply in this order, whatever order they are written in. A string of which
        nothing is left counts as null.

    Returns
    -------
    Key
        The same normalisations must be declared by every party.

    Examples
    --------
    >>> psi.key("first_name", "born", normalise=("nfc", "lower", "spaces"))
    Key(columns=('first_name', 'born'), normalise=('nfc', 'lower', 'spaces'))
    """
    for column in columns:
        if not isinstance(column, str):
            raise InvalidArgument(
                f"a key column is named by a str, not a {type(column).__name__}", hint='as in psi.key("name", "born")'
            )
    return Key(columns=columns, normalise=(normalise,) if isinstance(normalise, str) else tuple(normalise))


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
    if key.normalise and "string" not in families:
        raise InvalidArgument(
            f"{', '.join(key.normalise)} can only apply to strings, and the key has none: "
            + ", ".join(f"{where}{column} is {type_}" for column, type_ in zip(key.columns, types, strict=True)),
            hint="leave normalise out, or cast the column to a string",
        )
    suffix = f" ({', '.join(key.normalise)})" if key.normalise else ""
    return " + ".join(family + suffix if family == "string" else family for family in families)


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


def _twice(names: Sequence[str]) -> str:
    return next((name for index, name in enumerate(names) if name in names[:index]), "")

"""Declared normalisations of key strings, applied to whole Arrow columns.

Those of a length are written with it: "zeros 8", "first 4", "last 9".

Not a fuzzy match: each maps a string to one string, and strings match where the results are equal. The tables of
whitespace and digits are written out here, so that parties on other Python or Arrow versions agree; composition and
case are those of Arrow's Unicode data, where new versions add characters and leave old ones as they were.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError

# in the order of their application
PLAIN = ("nfc", "lower", "spaces", "digits")
MEASURED = ("zeros", "first", "last")
KINDS = (*PLAIN, *MEASURED)
NORMALISATIONS = (*PLAIN, *(f"{name} N" for name in MEASURED))
_LENGTH = re.compile(rf"({'|'.join(MEASURED)}) ([1-9][0-9]?)")

# what str.isspace() holds to be space; \s of RE2 is only ASCII's
_SPACES = r"[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"

# the zeros of the scripts with decimal digits in Unicode 14, that of ASCII left out; each has its 1 to 9 behind it
_SCRIPTS = (
    "660 6f0 7c0 966 9e6 a66 ae6 b66 be6 c66 ce6 d66 de6 e50 ed0 f20 1040 1090 17e0 1810 1946 19d0 1a80 1a90 1b50 1bb0 "
    "1c40 1c50 a620 a8d0 a900 a9d0 a9f0 aa50 abf0 ff10 104a0 10d30 11066 110f0 11136 111d0 112f0 11450 114d0 11650 "
    "116c0 11730 118e0 11950 11c50 11d50 11da0 16a60 16ac0 16b50 1d7ce 1d7d8 1d7e2 1d7ec 1d7f6 1e140 1e2f0 1e950 1fbf0"
)
ZEROS = tuple(int(zero, 16) for zero in _SCRIPTS.split())
_FOREIGN_DIGITS = "[" + "".join(f"{chr(zero)}-{chr(zero + 9)}" for zero in ZEROS) + "]"


class Normalisation(NamedTuple):
    """A normalisation by its kind, and the length that it is given, 0 where it takes none."""

    kind: str
    length: int


def parsed(name: str) -> Normalisation | None:
    """A normalisation by its name, such as "digits" or "last 9"; None where there is none."""
    if name in PLAIN:
        return Normalisation(name, 0)
    found = _LENGTH.fullmatch(name)
    return found and Normalisation(found[1], int(found[2]))


def normalised(strings: pa.Array, names: Sequence[str]) -> pa.Array:
    """Apply normalisations in their fixed order: composition, case, spaces, digits, lengths.

    Parameters
    ----------
    strings : Arrow array of large_string
    names : names out of `NORMALISATIONS`, in any order
        "nfc": Unicode's composed form, so that é is é however it was typed; the result is composed even where "lower"
        takes it apart. Full-width letters and ligatures stay as they are.
        "lower": each letter in its lower case by Unicode's one-to-one table, and the final sigma as σ. Not a language's
        rules: ß is not ss, and a Turkish ı is not i, but İ is.
        "spaces": no whitespace at the ends, one space for each run of it inside. No-break and ideographic spaces are
        whitespace; zero-width ones are not.
        "digits": nothing but decimal digits, those of other scripts as 0 to 9; superscripts and fractions are dropped.
        "zeros N": zeros in front, up to N characters: "42" and "00042" are equal under "zeros 5". Longer strings stay.
        "first N", "last N": no more than the first or last N characters (code points).

    Returns
    -------
    Arrow array of large_string
        Null where the result is empty: else every "n/a" would match every other as no digits at all.

    Raises
    ------
    DataError
        The strings are not UTF-8.
    """
    if not names:
        return strings
    try:
        if "nfc" in names:
            strings = _composed(strings)
        if "lower" in names:  # and the final sigma as any other: capitals have one
            strings = pc.replace_substring(pc.utf8_lower(strings), "\u03c2", "\u03c3")
            if "nfc" in names:  # lower-case letters compose with marks that capitals do not: J and ǰ
                strings = _composed(strings)
        if "spaces" in names:
            strings = pc.utf8_trim(pc.replace_substring_regex(strings, _SPACES, " "), " ")
        if "digits" in names:
            strings = pc.replace_substring_regex(_in_ascii_digits(strings), "[^0-9]+", "")
    except pa.ArrowException:  # its message may quote a value
        raise DataError(
            "a key column of strings holds bytes that are not UTF-8", hint="ask its owner to repair or re-encode it"
        ) from None
    strings = pc.if_else(pc.equal(strings, ""), pa.scalar(None, strings.type), strings)
    lengths = {each.kind: each.length for each in map(parsed, names) if each and each.length}
    if "zeros" in lengths:
        strings = pc.utf8_lpad(strings, lengths["zeros"], padding="0")
    if "first" in lengths:
        strings = pc.utf8_slice_codeunits(strings, 0, lengths["first"])
    if "last" in lengths:
        strings = pc.utf8_slice_codeunits(strings, -lengths["last"])
    return strings


@cache
def _arrow_composes() -> bool:
    """Before version 26 Arrow's NFC was its NFD: github.com/apache/arrow/issues/51225."""
    return bool(pc.utf8_normalize(pa.scalar("e\u0301"), form="NFC").as_py() == "\u00e9")


def _composed(strings: pa.Array) -> pa.Array:
    if _arrow_composes():
        return pc.utf8_normalize(strings, form="NFC")

    def by_python(some: pa.Array) -> pa.Array:
        texts = some.to_numpy(zero_copy_only=False)
        return pa.array([unicodedata.normalize("NFC", text) for text in texts], some.type)

    return _changed(strings, pc.invert(pc.string_is_ascii(strings)), by_python)


def _in_ascii_digits(strings: pa.Array) -> pa.Array:
    def replaced(some: pa.Array) -> pa.Array:
        for digit in range(10):
            pattern = "[" + "".join(chr(zero + digit) for zero in ZEROS) + "]"
            some = pc.replace_substring_regex(some, pattern, str(digit))
        return some

    return _changed(strings, pc.match_substring_regex(strings, _FOREIGN_DIGITS), replaced)


def _changed(strings: pa.Array, where: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The strings with some changed: the change is dear and few need it."""
    where = pc.fill_null(where, False)
    some = strings.filter(where)
    return pc.replace_with_mask(strings, where, change(some)) if len(some) else strings

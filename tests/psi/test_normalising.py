"""Normalised strings are those of the tables, and what normalising promises holds for any text."""

# ruff: noqa: RUF001 - letters and digits that look like others are what this is about

from __future__ import annotations

import unicodedata
from itertools import combinations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk.psi.keys import normalise
from privsdk.psi.keys.distinct import distinct_keys
from privsdk.psi.keys.normalise import PLAIN, ZEROS, normalised

SUBSETS = [subset for size in range(1, 5) for subset in combinations(PLAIN, size)]
LETTERS = "aAéÉßẞıIİiΣσςǰJǅ\u0301\u030c\u0307\u0345\u212a\u1e9b09٣३０²½Ⅷ\U0001d7d9"
SPACES = " \t\n\x0b\x1f\x85\xa0\u1680\u2003\u200b\u3000\ufeff"
# characters that Unicode 14, the oldest at hand, has: later ones depend on the version of Arrow
text = st.text(st.sampled_from(LETTERS + SPACES) | st.characters(exclude_categories=("Cs", "Cn")), max_size=8)


def apply(string: str | None, *names: str) -> str | None:
    result: str | None = normalised(pa.array([string], pa.large_string()), names)[0].as_py()
    return result


@pytest.mark.parametrize(
    ("names", "string", "result"),
    [
        ("nfc", "e\u0301", "é"),
        ("nfc", "\u212b", "Å"),  # the angstrom sign
        ("nfc", "ﬁ ４", "ﬁ ４"),  # compatibility forms stay: that would be NFKC
        ("nfc", "o\u0323\u0302", "ộ"),
        ("nfc", "o\u0302\u0323", "ộ"),
        ("nfc", "E\u0301", "É"),
        ("lower", "ÀÉÎ", "àéî"),
        ("lower", "Straße", "straße"),
        ("lower", "STRASSE", "strasse"),
        ("lower", "ẞ", "ß"),
        ("lower", "Işık ISIK", "işık isik"),
        ("lower", "İzmir", "izmir"),
        ("lower", "I\u0307zmir", "i\u0307zmir"),
        ("nfc lower", "I\u0307zmir", "izmir"),
        ("lower", "ΟΔΟΣ", "οδοσ"),
        ("lower", "οδος", "οδοσ"),
        ("lower", "J\u030c", "j\u030c"),
        ("nfc lower", "J\u030c", "ǰ"),
        ("lower", " A ", " a "),
        ("spaces", "  Ann \t\r\n  Lee ", "Ann Lee"),
        ("spaces", "\xa0Ann\u3000\u2003Lee\u2028", "Ann Lee"),
        ("spaces", "Ann\xa0Lee", "Ann Lee"),
        ("spaces", "\x0b\x1cAnn\x85\x1fLee\u1680", "Ann Lee"),
        ("spaces", "Ann\u200bLee\ufeff", "Ann\u200bLee\ufeff"),  # zero-width: not whitespace in Unicode
        ("spaces", "AnnLee", "AnnLee"),
        ("digits", "+44 (0)20 7946-0018", "4402079460018"),
        ("digits", "０９０－１２３４", "0901234"),
        ("digits", "٠١٢٣٤٥٦٧٨٩", "0123456789"),
        ("digits", "۴۵ ४५ ൪൫ \U0001d7d8\U0001d7d9\U0001d7ff", "454545019"),
        ("digits", "5² ½ Ⅷ ③ 一", "5"),
        ("digits", "1\n2", "12"),
        ("digits", "007", "007"),
        ("nfc lower spaces", "  ZOE\u0308 \xa0 I\u0307 ", "zoë i"),
        ("digits", "n/a", None),
        ("spaces", " \t\u3000", None),
        ("nfc", "", None),
        ("lower", None, None),
        ("digits", None, None),
        ("", "", ""),
    ],
)
def test_strings_become(names: str, string: str | None, result: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With any version of Arrow: old ones do not compose."""
    assert apply(string, *names.split()) == result
    assert apply(string, *reversed(names.split())) == result
    monkeypatch.setattr(normalise, "_arrow_composes", lambda: False)
    assert apply(string, *names.split()) == result


@pytest.mark.parametrize("names", SUBSETS)
@given(string=text)
def test_what_each_normalisation_promises(names: tuple[str, ...], string: str) -> None:
    result = apply(string, *names)
    assert result != ""
    if result is None:
        return
    assert apply(result, *names) == result
    if "nfc" in names:
        assert unicodedata.is_normalized("NFC", result)
        assert apply(unicodedata.normalize("NFD", string), *names) == result
    if "spaces" in names:
        assert " ".join(result.split()) == result
    if "digits" in names:
        assert set(result) <= set("0123456789")


@given(st.lists(st.none() | text, max_size=6), st.integers(0, 2))
def test_old_and_new_versions_of_arrow_compose_alike(strings: list[str | None], offset: int) -> None:
    column = pa.array(strings, pa.large_string())[offset:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalise, "_arrow_composes", lambda: False)
        by_python = normalised(column, ["nfc", "lower"])
    assert by_python.equals(normalised(column, ["nfc", "lower"]))


@given(text)
def test_spaces_are_those_of_python(string: str) -> None:
    assert (apply(string, "spaces") or "") == " ".join(string.split())


@given(text)
def test_digits_are_those_of_python(string: str) -> None:
    assert (apply(string, "digits") or "") == "".join(
        str(unicodedata.decimal(c)) for c in string if unicodedata.category(c) == "Nd"
    )


@given(text.filter(lambda s: not set(s) & set("İς")))
def test_lower_case_is_that_of_python(string: str) -> None:
    expected = "".join(c.lower() for c in string)
    assert apply(string, "lower") == (expected or None)


@given(text, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.permutations(["zeros", "first", "last"]))
def test_lengths_are_those_of_python(string: str, zeros: int, first: int, last: int, order: list[str]) -> None:
    lengths = {"zeros": zeros, "first": first, "last": last}
    expected = string.rjust(zeros, "0")[:first][-last:] if string else None
    assert apply(string, *(f"{name} {lengths[name]}" for name in order)) == expected


def test_numbers_written_otherwise_are_one_key() -> None:
    phones = pa.array(["+41 79 123 45 67", "0041 79 1234567", "079 123 45 67", "n/a"])
    assert distinct_keys(phones, normalise=("last 9", "digits")).codes.tolist() == [0, 0, 0, -1]
    numbers = distinct_keys(pa.array(["42", "00042", "000042", ""]), normalise="zeros 5")
    assert (numbers.kind, numbers.codes.tolist()) == ("string (zeros 5)", [0, 0, 1, -1])
    assert distinct_keys(pa.array(["8001", "8001-12", "80"]), normalise="first 4").codes.tolist() == [0, 0, 1]


def test_every_character_that_is_space_or_digit_is_in_the_tables() -> None:
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    spaces = normalised(pa.array(every, pa.large_string()), ["spaces"])
    assert [c for c, left in zip(every, spaces.is_null().to_pylist(), strict=True) if left] == [
        c for c in every if c.isspace()
    ]
    digits = dict(zip(every, normalised(pa.array(every, pa.large_string()), ["digits"]).to_pylist(), strict=True))
    expected = {c: str(unicodedata.decimal(c)) for c in every if unicodedata.category(c) == "Nd"}
    found = {c: digit for c, digit in digits.items() if digit is not None}
    assert found.items() <= expected.items()
    if unicodedata.unidata_version == "14.0.0":
        assert found == expected
    assert len(ZEROS) == 65


def test_each_column_goes_through_its_own() -> None:
    table = pa.table({"name": ["Zoë 1", "zoë 1", "Zoë 1"], "phone": ["01-23", "0123", "n/a"]})
    keys = distinct_keys(table, normalise={"name": "lower", "phone": "digits"})
    assert (keys.kind, keys.codes.tolist()) == ("string (lower) + string (digits)", [0, 0, -1])
    assert distinct_keys(table, normalise={"phone": "digits"}).codes.tolist() == [0, 1, -1]


def test_normalised_keys_match_and_keep_their_spelling() -> None:
    keys = distinct_keys(
        pa.table({"name": ["Zoë  Lee", "ZOE\u0308 LEE ", None, " ", "Zoe Lee"], "n": [1, 1, 1, 1, 1]}),
        normalise=("spaces", "lower", "nfc"),
    )
    assert keys.kind == "string (nfc, lower, spaces) + integer"
    assert keys.codes.tolist() == [0, 0, -1, -1, 1]
    assert keys.values.column("name").to_pylist() == ["Zoë  Lee", "Zoe Lee"]
    assert distinct_keys(pa.array(["Zoë  Lee"]), normalise=("spaces", "lower", "nfc")).encoded.to_pylist() == [
        "zoë lee".encode()
    ]


def test_rows_without_digits_match_nothing() -> None:
    keys = distinct_keys(pa.array(["n/a", "n/a", "", "1-2", "12"]).dictionary_encode(), normalise="digits")
    assert keys.codes.tolist() == [-1, -1, -1, 0, 0]


def test_foreign_digits_change_only_their_own_rows() -> None:
    column = pa.array(["1a", None, "٢", "b3", "４"], pa.large_string())
    assert normalised(column[1:], ["digits"]).to_pylist() == [None, "2", "3", "4"]
    assert pc.all(normalised(column, []).is_valid()).as_py() is False

"""Declarations are made from types alone, and their differences are shown without data."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk import psi
from privsdk.errors import DataError, InvalidArgument, UnknownName
from privsdk.psi.keys.declaration import check_agreement, declared
from privsdk.psi.keys.normalise import PLAIN

TYPES = {
    "string": [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.large_string())],
    "integer": [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()],
    "binary": [
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.binary(16),
        pa.dictionary(pa.uint64(), pa.binary()),
    ],
    "date": [pa.date32(), pa.date64()],
    "decimal": [
        pa.decimal32(3, 1),
        pa.decimal64(18, 0),
        pa.decimal128(10, 2),
        pa.decimal128(5, -2),
        pa.decimal256(76, 9),
    ],
}


@pytest.mark.parametrize(("family", "type_"), [(family, t) for family, types in TYPES.items() for t in types])
def test_types_are_of_families(family: str, type_: pa.DataType) -> None:
    assert declared([str(type_)], psi.key("id")) == family
    ordered = str(pa.dictionary(pa.int32(), type_, ordered=True)) if not pa.types.is_dictionary(type_) else str(type_)
    assert declared([ordered], psi.key("id")) == family


def test_a_declaration_names_each_column_and_the_normalisation_of_strings() -> None:
    key = psi.key("name", "born", "town", normalise=["lower", "nfc"])
    assert (
        declared(["large_string", "date32[day]", "string"], key) == "string (nfc, lower) + date + string (nfc, lower)"
    )
    assert declared(["int8", "date64[ms]"], psi.key("id", "born")) == "integer + date"


IN_ORDER = (*PLAIN, "zeros 8", "first 6", "last 4")


@given(st.permutations(IN_ORDER), st.integers(0, 7))
def test_a_key_travels_in_a_request(names: list[str], count: int) -> None:
    """The order that normalisations are written in makes no difference."""
    key = psi.key("b", "a", normalise=names[:count])
    assert key == psi.Key(columns=("b", "a"), normalise=tuple(reversed(names[:count])))
    assert key.normalise == tuple(name for name in IN_ORDER if name in names[:count])
    assert msgspec.convert(msgspec.to_builtins(key), psi.Key) == key
    assert msgspec.json.decode(msgspec.json.encode(key), type=psi.Key) == key
    sent = {"columns": ["b", "a"], "normalise": names[:count]}
    assert msgspec.convert(sent, psi.Key) == key


def test_a_single_normalisation_needs_no_tuple() -> None:
    assert psi.key("id", normalise="digits").normalise == ("digits",)


@pytest.mark.parametrize(
    ("columns", "normalise", "message", "hint"),
    [
        ((), (), "a key of no columns", "psi.key"),
        (("a", "b", "a"), (), "names the column 'a' twice", "once"),
        (("a",), ("nfc", "casefold"), "no normalisation 'casefold'", "known: nfc, lower, spaces, digits, zeros N"),
        (("a",), ("digits", "last 0"), "no normalisation 'last 0'", "with N of 1 to 99"),
        (("a",), ("last 9", "last 8"), "the normalisation 'last' twice", "once"),
        (("a",), ("nfc", "lower", "nfc"), "the normalisation 'nfc' twice", "once"),
        ((["a", "b"],), (), "named by a str, not a list", 'psi.key("name", "born")'),
    ],
)
def test_keys_that_cannot_be(columns: tuple[str, ...], normalise: tuple[str, ...], message: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        psi.key(*columns, normalise=normalise)
    assert message in caught.value.message
    assert hint in caught.value.hint
    if all(isinstance(column, str) for column in columns):  # a party checks again what it is sent
        with pytest.raises(InvalidArgument, match=message):
            msgspec.convert({"columns": columns, "normalise": normalise}, psi.Key)


def test_a_key_has_no_other_fields() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"columns": ["a"], "normalize": ["nfc"]}, psi.Key)


@pytest.mark.parametrize(
    ("type_", "hint"),
    [
        (pa.float16(), "round"),
        (pa.float32(), "round"),
        (pa.float64(), "round"),
        (pa.timestamp("us", "UTC"), "cast to a date"),
        (pa.timestamp("ns"), "cast to a date"),
        (pa.bool_(), "tell nobody apart"),
        (pa.time64("us"), "cast it to a string, integer"),
        (pa.duration("s"), "cast it to a string, integer"),
        (pa.list_(pa.int32()), "parts"),
        (pa.large_list(pa.string()), "parts"),
        (pa.list_(pa.int32(), 3), "parts"),
        (pa.struct([("a", pa.string())]), "parts"),
        (pa.map_(pa.string(), pa.int8()), "parts"),
        (pa.dictionary(pa.int8(), pa.float64()), "round"),
        (pa.run_end_encoded(pa.int32(), pa.string()), "cast it to a string"),
    ],
)
def test_types_that_make_no_key(type_: pa.DataType, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        declared(["string", str(type_)], psi.key("a", "b"), where="bank/loans.")
    assert caught.value.message == f"bank/loans.b is {type_}, which cannot be a join key"
    assert hint in caught.value.hint


@pytest.mark.parametrize("type_", [pa.null(), pa.dictionary(pa.int32(), pa.null())])
def test_a_column_of_nulls_makes_no_key(type_: pa.DataType) -> None:
    with pytest.raises(DataError, match=r"bank/loans\.id holds nothing but nulls"):
        declared([str(type_)], psi.key("id"), where="bank/loans.")


def test_normalising_takes_a_string_column() -> None:
    with pytest.raises(InvalidArgument) as caught:
        declared(["int64", "date32[day]"], psi.key("id", "born", normalise="digits"), where="bank/loans.")
    assert caught.value.message == (
        "digits can only apply to strings: bank/loans.id is int64, bank/loans.born is date32[day]"
    )
    assert caught.value.hint == "leave normalise out for this column, or cast it to a string"


def test_normalisations_by_column() -> None:
    key = psi.key("name", "phone", "born", normalise={"name": ("lower", "nfc"), "phone": "digits"})
    assert declared(["string", "string", "date32[day]"], key) == "string (nfc, lower) + string (digits) + date"
    assert msgspec.convert(msgspec.to_builtins(key), psi.Key) == key
    with pytest.raises(InvalidArgument, match=r"digits can only apply to strings: phone is int64\n"):
        declared(["string", "int64", "date32[day]"], psi.key("name", "phone", "born", normalise={"phone": "digits"}))
    with pytest.raises(UnknownName, match="fone"):
        psi.key("name", "phone", normalise={"fone": "digits"})
    with pytest.raises(InvalidArgument, match="'digit'"):
        psi.key("name", "phone", normalise={"phone": "digit"})


def test_equal_declarations_agree() -> None:
    check_agreement({})
    check_agreement({"bank": "string"})
    check_agreement(dict.fromkeys(["bank", "shop", "post"], "string (nfc) + date"))


@pytest.mark.parametrize(
    ("declarations", "hint"),
    [
        (
            {"bank": "string (nfc, lower) + date", "insurer": "string (nfc) + date"},
            "declare the same normalise for all parties",
        ),
        (
            {"bank": "date + string", "insurer": "date + string + string"},
            "give a key of as many columns at every party, in the same order",
        ),
        (
            {"bank": "string (nfc) + integer", "insurer": "string + decimal"},
            "column 2 of the key is integer at bank and decimal at insurer, which never match, however alike their "
            "values look: name the columns in the same order, or have an owner cast its column",
        ),
        (
            {"bank": "string", "insurer": "string", "post": "binary"},
            "column 1 of the key is string at bank and string at insurer and binary at post, which never match, "
            "however alike their values look: name the columns in the same order, or have an owner cast its column",
        ),
    ],
)
def test_declarations_that_differ_are_shown_side_by_side(declarations: dict[str, str], hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_agreement(declarations)
    first, *lines = caught.value.message.split("\n")
    assert first == "the keys are declared differently, so none would match:"
    assert [line.split(maxsplit=1) for line in lines] == [list(item) for item in declarations.items()]
    assert len({line.index(declaration) for line, declaration in zip(lines, declarations.values(), strict=True)}) == 1
    assert caught.value.hint == hint

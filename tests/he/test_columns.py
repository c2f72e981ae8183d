"""Encrypted columns as an analyst meets them: what goes in, what operators mean, and what bad input is told."""

from __future__ import annotations

import datetime
import decimal
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from claims import Cases
from exact_columns import PRESETS, beside, key_of

from privsdk import he
from privsdk.crypto.seal import parallel
from privsdk.errors import CircuitTooDeep, DataError, InvalidArgument, PrivsdkError, UnknownName
from privsdk.he.columns import encrypt as encrypt_module
from privsdk.he.columns.column import Column

EXACT = key_of("exact")
SECRET = 4242.125  # a value that no message may hold


def encrypting(data: Any, bounds: Any = None, **how: Any) -> Any:
    return he.encrypt(data, 9000 if bounds is None else bounds, how.pop("key", EXACT), **how)


def table(**columns: Any) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


BAD_DATA: dict[str, tuple[Callable[[], Any], type[PrivsdkError], str]] = {
    "nan": (lambda: encrypting(table(age=[SECRET, np.nan]), {"age": 9000}), DataError, "age holds NaN or infinity"),
    "infinity": (lambda: encrypting(table(age=[SECRET, -np.inf]), {"age": 9000}), DataError, "age holds NaN or inf"),
    "nan behind a null": (
        lambda: encrypting(table(age=[None, np.nan]), {"age": 1}, nulls="public"), DataError, "age holds NaN"),
    "out of range": (lambda: encrypting(table(age=[1, SECRET]), {"age": 100}), DataError, "age exceeds.* 100"),
    "below the range": (lambda: encrypting([-SECRET], 100), DataError, "the column exceeds the declared bound"),
    "an owner's": (lambda: encrypting(table(a=[SECRET]), {"a": 1}, owner="north"), DataError, "north's a exceeds"),
    "empty": (lambda: encrypting(pa.table({"age": pa.array([], pa.int64())}), {"age": 1}), DataError, "age is empty"),
    "nothing": (lambda: encrypting([]), DataError, "the column is"),
    "nulls": (lambda: encrypting(table(age=[SECRET, None, None]), {"age": 9000}), DataError, "age has 2 nulls.*public"),
    "all null": (lambda: encrypting(pa.array([None, None], pa.null())), DataError, "null, which is not numeric"),
    "text": (lambda: encrypting(table(name=["4242.125"]), {"name": 1}), DataError, "name is string.*not numeric"),
    "decimals": (lambda: encrypting(pa.array([decimal.Decimal("4242.125")]), 100), DataError, "exceeds.*bound"),
    "dates": (lambda: encrypting(pa.array([datetime.date(2020, 1, 1)])), DataError, "date32.*not numeric"),
    "lists": (lambda: encrypting([[SECRET], [1, 2]]), DataError, "list.*not numeric"),
    "two dimensions": (lambda: encrypting(np.full((2, 2), SECRET)), DataError, "one dimension"),
    "no dimension": (lambda: encrypting(np.array(SECRET)), DataError, "one dimension"),
    "a number": (lambda: encrypting(SECRET), DataError, "one dimension"),
    "objects": (lambda: encrypting([object()]), DataError, "not a column of numbers"),
    "mixed": (lambda: encrypting([1, "4242.125"]), DataError, "not a column of numbers"),
    "complex": (lambda: encrypting(np.array([1j])), DataError, "not a column of numbers"),
    "encrypted": (lambda: encrypting(encrypting([1]).to_arrow()), InvalidArgument, "encrypted already"),
    "no such column": (lambda: encrypting(table(age=[1]), {"agee": 1}), UnknownName, "did you mean 'age'"),
    "two of a name": (
        lambda: encrypting(pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"]), {"a": 3}), DataError, "2 columns a"),
    "no columns": (lambda: encrypting(table(age=[1]), {}), InvalidArgument, "largest absolute value"),
    "one bound for a table": (lambda: encrypting(table(age=[1]), 3), InvalidArgument, "largest absolute value"),
    "bounds by column for an array": (lambda: encrypting([1], {"age": 1}), InvalidArgument, "single array"),
    "a bound of zero": (lambda: encrypting([0], 0), InvalidArgument, "bound of 0"),
    "a negative bound": (lambda: encrypting([0], -1), InvalidArgument, "bound of -1"),
    "a bound of nan": (lambda: encrypting([0], np.nan), InvalidArgument, "bound of nan"),
    "an infinite bound": (lambda: encrypting([0], np.inf), InvalidArgument, "bound of inf"),
    "a bound of None": (lambda: encrypting(table(a=[1]), {"a": None}), InvalidArgument, "a has a bound of None"),
    "a bound of text": (lambda: encrypting([1], "3"), InvalidArgument, "bound of '3'"),
    "too large a bound": (lambda: encrypting([1], 1e30), CircuitTooDeep, "need more than 2 limbs"),
    "no key": (lambda: encrypting([1], key=None), InvalidArgument, "NoneType is no key.*SecretContext.new"),
    "a preset": (lambda: encrypting([1], key=EXACT.preset), InvalidArgument, "Preset is no key"),
    "other nulls": (lambda: encrypting([1], nulls="drop"), InvalidArgument, "use \"refuse\" or \"public\""),
    "nobody": (lambda: encrypting([1], min_parties=0), InvalidArgument, "min_parties=0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_refused_by_name_and_not_by_value(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, kind, said = BAD_DATA[case]
    if case != "encrypted":
        monkeypatch.setattr(parallel, "encrypt_column", None)  # nothing is encrypted
        monkeypatch.setattr(encrypt_module, "encrypt_column", None)
    with pytest.raises(kind, match=f"(?s){said}") as refused:
        make()
    text = str(refused.value)
    assert "4242" not in text
    assert "What to do: " in text or case in ("empty", "encrypted", "nothing")


def column(name: str = "growing", length: int = 4, key: Any = None, **how: Any) -> Column:
    return he.encrypt(np.arange(length, dtype=float), 8, key_of(name).public if key is None else key, **how)


OTHER = he.SecretContext.new(PRESETS["growing"])
BAD_OPERANDS: dict[str, tuple[Callable[[Column], Any], type[Exception], str]] = {
    "nan": (lambda x: x + np.nan, InvalidArgument, "NaN or infinity in an operand"),
    "infinity": (lambda x: x * np.inf, InvalidArgument, "NaN or infinity in an operand"),
    "a vector with nan": (lambda x: x - np.array([1, 2, SECRET, np.nan]), InvalidArgument, "NaN or infinity"),
    "None": (lambda x: x + None, InvalidArgument, "operand of NoneType"),
    "None times": (lambda x: x * None, InvalidArgument, "operand of NoneType"),
    "None in a list": (lambda x: x * [1, None, 2, 3], InvalidArgument, "operand of int"),
    "text": (lambda x: x + "4242", InvalidArgument, "operand of str"),
    "arrow text": (lambda x: x + pa.array(["4242"] * 4), InvalidArgument, "operand of string"),
    "a decimal": (lambda x: x * decimal.Decimal(2), InvalidArgument, "operand of Decimal"),
    "a complex": (lambda x: x * 1j, InvalidArgument, "operand of complex"),
    "a huge integer": (lambda x: x + 10**30, InvalidArgument, "operand of int"),
    "a date": (lambda x: x + datetime.date(2020, 1, 1), InvalidArgument, "operand of date"),
    "a dict": (lambda x: x + {"a": 1}, InvalidArgument, "operand of dict"),
    "too short": (lambda x: x * [1, 2], InvalidArgument, "a vector of 2 for 4 values.*neither is repeated"),
    "too long": (lambda x: x + np.ones(5), InvalidArgument, "a vector of 5 for 4 values"),
    "of one": (lambda x: x + np.ones(1), InvalidArgument, "a vector of 1 for 4 values"),
    "empty": (lambda x: x + np.ones(0), InvalidArgument, "a vector of 0 for 4 values"),
    "a matrix": (lambda x: x * np.ones((4, 4)), InvalidArgument, r"operand of shape \(4, 4\)"),
    "uneven": (lambda x: x * [[1, 2], [3]], InvalidArgument, "uneven"),
    "another key": (lambda x: x + column(key=OTHER), InvalidArgument, "under two keys"),
    "another preset": (lambda x: x * column("dropping"), InvalidArgument, "two presets"),
    "another length": (lambda x: x + column(length=5), InvalidArgument, "columns of 4 and of 5 values"),
    "a sum": (lambda x: x + x.sum(), InvalidArgument, "a column and a sum do not fit.*reveal the sum"),
    "sum of a sum": (lambda x: x.sum().sum(), InvalidArgument, "a sum already"),
    "mean of a sum": (lambda x: x.sum().mean(), InvalidArgument, "a sum already"),
    "groups of a sum": (lambda x: x.sum().sum(by=[1]), InvalidArgument, "a sum already"),
    "product of sums": (lambda x: x.sum() * x.sum(), CircuitTooDeep, "does not multiply"),
    "two means": (lambda x: x.mean() + x.sum(), InvalidArgument, "two divisors, 4 and 1.*add the sums"),
    "by zero": (lambda x: x / 0, InvalidArgument, "a division by zero"),
    "by next to nothing": (lambda x: x / 5e-324, InvalidArgument, "a division by zero, or by next to nothing"),
    "by nan": (lambda x: x / np.nan, InvalidArgument, "NaN or infinity"),
    "by None": (lambda x: x / None, InvalidArgument, "operand of NoneType"),
    "by a column": (lambda x: x / x, InvalidArgument, "divided by one number only.*inverse"),
    "by a vector": (lambda x: x / [1, 2, 3, 4], InvalidArgument, "divided by one number only"),
    "one by it": (lambda x: 1 / x, InvalidArgument, "nothing is divided by an encrypted column.*reveal"),
    "a vector by it": (lambda x: np.ones(4) / x, InvalidArgument, "nothing is divided by an encrypted column"),
    "power of zero": (lambda x: x**0, InvalidArgument, "a power of 0"),
    "power of a half": (lambda x: x**0.5, InvalidArgument, "a power of 0.5.*whole number"),
    "negative power": (lambda x: x**-1, InvalidArgument, "a power of -1"),
    "sigmoid": (lambda x: (x * 9).sigmoid(), InvalidArgument, "sigmoid of values within 72.*smaller bound"),
    "truth": (bool, TypeError, "no truth value: he.reveal"),
    "equal": (lambda x: x == 1, TypeError, "not compared: he.reveal"),
    "unequal": (lambda x: x != x, TypeError, "not compared"),  # noqa: PLR0124
    "less": (lambda x: x < 1, TypeError, "not compared"),
    "more": (lambda x: 1 < x, TypeError, "not compared"),  # noqa: SIM300
    "iteration": (list, TypeError, "not iterable"),
    "index": (lambda x: x[0], TypeError, "not subscriptable"),
    "as float": (float, TypeError, "float"),
    "groups of another length": (lambda x: x.sum(by=[1, 2]), InvalidArgument, "2 groups for 4 values"),
    "groups of two dimensions": (lambda x: x.sum(by=np.ones((4, 2))), InvalidArgument, "4 groups for 4 values"),
    "groups of nan": (lambda x: x.sum(by=[1.0, np.nan, 1, 1]), InvalidArgument, "NaN among the groups"),
    "a mean of nothing": (lambda x: x.mean(by=[1, 1, 2, 2], keys=[1, 3]), InvalidArgument, r"without values: \[3\]"),
    "weights": (lambda x: he.weighted_sum([x, x], [1]), InvalidArgument, "a row of weights for each column"),
    "no weights": (lambda x: he.weighted_sum([], []), InvalidArgument, "a row of weights for each column"),
    "weights of zero": (lambda x: he.weighted_sum([x], [0]), InvalidArgument, "not secret"),
    "weights of nan": (lambda x: he.weighted_sum([x], [np.nan]), InvalidArgument, "NaN"),
    "weights of one dimension": (lambda x: he.matmul([x], np.ones(1)), InvalidArgument, r"shape \(1,\)"),
    "intercepts": (lambda x: he.matmul([x], np.ones((1, 2)), intercepts=[1]), InvalidArgument, "1 intercepts for 2"),
    "dot of another length": (lambda x: he.dot(x, [1, 2]), InvalidArgument, "a vector of 2"),
    "dot of a matrix": (lambda x: he.dot(x, np.ones((3, 2))), InvalidArgument, "a vector of 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_OPERANDS)
def test_bad_operands_are_refused_with_a_remedy(case: str) -> None:
    apply, kind, said = BAD_OPERANDS[case]
    with pytest.raises(kind, match=f"(?s){said}") as refused:
        apply(column())
    assert "4242" not in str(refused.value)


def test_the_other_operand_may_come_first() -> None:
    key = key_of("growing")
    x = he.encrypt(np.arange(4.0), 4, key)
    plain, some = np.arange(4.0), np.array([1, 2, 3, 4])
    cases: list[tuple[Any, Any]] = [
        (2 - x, 2 - plain), (np.float64(2) * x, 2 * plain), (np.ones(4) - x, 1 - plain),
        (some * x, plain * some),
        (np.uint8(3) - x, 3 - plain), (x - np.uint8(3), plain - 3), (True + x, 1 + plain),
        (some.tolist() * x, plain * some),
        (sum([x, x, x]), 3 * plain), (x + pd.Series(some), plain + some), (x / -4, plain / -4),
        (x / np.float32(2), plain / 2),
    ]  # fmt: skip
    for made, due in cases:
        assert isinstance(made, Column)
        key.uses = 0
        shown = he.reveal(made, key)
        assert np.abs(shown.values - due).max() <= shown.error


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int64", "bool", "float16", "float32"]
)
@pytest.mark.parametrize("arrow", [False, True], ids=["numpy", "arrow"])
def test_subtraction_is_of_numbers_and_not_of_machine_words(dtype: str, arrow: bool, cases: Cases) -> None:
    least = np.iinfo(dtype).min if dtype.startswith("int") else 0
    vector = np.array([1, 0, 1, least], dtype=dtype)
    operand: Any = pa.array(vector) if arrow else vector
    x = beside([5, 0, -5, 1], 8, key_of("exact, coarse") if dtype == "int64" else EXACT)
    for apply in (operator.sub, lambda one, other: other - one, operator.add):
        if arrow and apply is not operator.sub and apply is not operator.add:
            continue
        x.plain(apply, operand).check(key_of("exact, coarse") if dtype == "int64" else EXACT)


def test_what_is_encrypted_may_be_any_column_of_numbers() -> None:
    for data in (
        [1, 2, 3], (1, 2, 3), np.array([1, 2, 3], np.int8), pa.array([1, 2, 3]), pa.chunked_array([[1], [2, 3]]),
        pd.Series([1, 2, 3]), np.array([1, 2, 3], np.float16), pa.array([1, 2, 3], pa.uint64()), range(1, 4),
        pa.array([0, 1, 2, 3])[1:],
    ):  # fmt: skip
        made = he.encrypt(data, 3, EXACT)
        assert he.reveal(made, EXACT).values.tolist() == [1, 2, 3]
        assert he.reveal(he.encrypt(data, np.float64(3), EXACT.public), EXACT).values.tolist() == [1, 2, 3]
    assert he.reveal(he.encrypt([True, False], 1, EXACT), EXACT).values.tolist() == [1, 0]
    batch = pa.RecordBatch.from_pydict({"a": [1], "b": ["text"]})
    assert he.encrypt(batch, {"a": 1}, EXACT).column_names == ["a"]


def test_integers_are_exact_at_any_size() -> None:
    edge = 2**53
    for name, values in (
        ("exact", [edge + 1, -edge - 1, edge - 1, 2**56 + 1]), ("exact, fine", [edge + 1, -(2**62) - 1, 2**60 + 3]),
    ):  # fmt: skip
        x = he.encrypt(np.array(values), float(max(map(abs, values))), key_of(name))
        total = he.reveal(x.sum(), key_of(name))
        assert abs(int(total.values) - sum(values)) <= total.error
        if name == "exact":
            assert he.reveal(x, key_of(name)).values.tolist() == values
            assert total.error == 0
            assert total.values == sum(values)
    coarse = he.encrypt(np.array([6, 8]), 9, key_of("exact, coarse"))
    shown = he.reveal(coarse + np.array([2**54 + 2, 2**54]), key_of("exact, coarse"))
    assert abs(int(shown.values[0]) - (2**54 + 8)) == 4 <= shown.error  # both rounded up by half a unit
    top = he.encrypt(np.array([2**64 - 1, 2**63], np.uint64), 2.0**64, key_of("exact, fine"))
    assert he.reveal(top - np.array([2**64 - 1, 2**63], np.uint64), key_of("exact, fine")).values.tolist() == [0, 0]


def test_nulls_are_left_out_and_stay_null() -> None:
    key = key_of("exact, fine")
    x = he.encrypt(pa.array([1, None, 3, 4]), 4, key, nulls="public")
    y = he.encrypt(pa.array([None, 20, 30, 40]), 40, key, nulls="public")
    assert he.reveal((x + 5).sum(), key).values == 8 + 15
    assert he.reveal((x + y).sum(), key).values == 33 + 44
    assert he.reveal((x + y).mean(), key).values == (33 + 44) / 2
    assert he.reveal((x + pa.array([1, 1, None, 1])).sum(), key).values == 2 + 5
    assert he.reveal(x.dot(pa.array([2, 2, None, 3])), key).values == 2 + 12
    sums = (x + y).sum(by=["a", "a", "b", "c"])
    assert isinstance(sums, dict)
    assert {group: he.reveal(total, key).values for group, total in sums.items()} == {"a": 0, "b": 33, "c": 44}
    means = x.mean(by=["a", "a", "b", "b"])
    assert isinstance(means, dict)
    assert {group: he.reveal(total, key).values for group, total in means.items()} == {"a": 1, "b": 3.5}
    nothing = he.encrypt(pa.array([None, None], pa.int64()), 4, key, nulls="public")
    assert he.reveal(nothing.sum(), key).values == 0
    with pytest.raises(InvalidArgument, match="the mean of no values"):
        nothing.mean()


def test_a_preset_can_be_chosen_for_columns_with_nulls() -> None:
    length = 100
    preset = he.choose(
        lambda x, y: (x + y).sum(), error=0.5,
        x=he.Range(bound=4, length=length, integers=True, nulls=True),
        y=he.Range(bound=4, length=length, integers=True, nulls=True),
    )  # fmt: skip
    key, rng = he.SecretContext.new(preset), np.random.default_rng(4)
    data = [pa.array(rng.integers(-4, 5, length), mask=rng.random(length) < 0.5) for _ in range(2)]
    x, y = (he.encrypt(one, 4, key.public, nulls="public") for one in data)
    due = sum(a + b for a, b in zip(*(one.to_pylist() for one in data), strict=True) if a is not None and b is not None)
    assert he.reveal((x + y).sum(), key).values == due
    bare = he.choose(lambda x, y: (x + y).sum(), error=0.5, x=he.Range(bound=4, length=length, integers=True),
                     y=he.Range(bound=4, length=length, integers=True))  # fmt: skip
    assert bare.row_bytes() < preset.row_bytes()


def test_groups_may_be_anything_that_is_equal_to_itself() -> None:
    key = key_of("exact, fine")
    x = he.encrypt([1, 2, 3, 4], 4, key)
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-01", "2020-01-03"], "datetime64[ns]")
    for groups in (
        [1, 2, 1, 3], np.array([1, 2, 1, 3]), pa.array([1, None, 1, 3]), ["a", "b", "a", "c"],
        [True, False, True, None], days, pa.array(days), [1, "1", 1, 1.5], np.array([b"a", b"b", b"a", b"c"]),
        [(1, 2), (2, 1), (1, 2), ()], pa.chunked_array([["a"], ["b", "a", "c"]]).dictionary_encode(),
    ):  # fmt: skip
        sums = x.sum(by=groups)
        assert isinstance(sums, dict)
        assert [he.reveal(total, key).values for total in sums.values()] == [4, 2, 4]
    wanted = x.sum(by=[1, 2, 1, 3], keys=[3, 9, 3])
    assert isinstance(wanted, dict)
    assert {group: he.reveal(total, key).values for group, total in wanted.items()} == {3: 4, 9: 0}


def test_powers_take_the_fewest_products_and_the_least_depth() -> None:
    key = key_of("dropping two")
    x = he.encrypt([1.0], 1, key.public)

    def nodes(node: Any, seen: dict[int, Any]) -> dict[int, Any]:
        if id(node) not in seen:
            seen[id(node)] = node
            for arg in node.args:
                nodes(arg, seen)
        return seen

    for power, depth, products in ((2, 1, 1), (3, 2, 2), (4, 2, 2)):
        made = x**power
        assert made.depth == depth
        assert sum(node.op == "times" for node in nodes(made._node, {}).values()) == products


def test_a_sum_of_thousands_of_columns_is_no_deep_recursion() -> None:
    x = he.encrypt([1, -1], 1, EXACT)
    total = x
    for _ in range(3000):
        total = total + x
    assert he.reveal(total, EXACT).values.tolist() == [3001, -3001]
    assert total.meta.estimate.summands == 3001


def test_results_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    run = parallel.Evaluator.run
    monkeypatch.setattr(parallel.Evaluator, "run", lambda self, *args: runs.append(1) or run(self, *args))
    x = he.encrypt([1, 2], 2, EXACT)
    doubled = x + x
    assert not runs
    for _ in range(3):
        doubled.to_arrow()
        he.reveal(doubled, EXACT)
    assert len(runs) == 1


def test_operands_survive_the_way_to_workers() -> None:
    for values in (
        np.array([1, -2], np.int64), np.array([0.5, -2.0]), np.array([2**70, -(2**80), 0], object), np.array([], float),
    ):  # fmt: skip
        back = parallel._unpacked(parallel._packed(values))
        assert back.dtype == values.dtype
        assert back.tolist() == values.tolist()


def test_a_column_shows_no_values() -> None:
    x = he.encrypt([SECRET, 1], 5000, key_of("growing").public, owner="north")
    text = repr(x * 2 + 1)
    assert "4242" not in text
    assert text.startswith("encrypted 2 values within 1e+04, error at most 2e+03, depth 1; CKKS, real slots")
    assert repr(x.sum()).startswith("encrypted sum within")
    assert (len(x), x.length, x.depth, x.bound) == (2, 2, 0, 5000)
    assert len(x.sum()) == 1

"""Orders and distinct values are NumPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from privsdk.protocol.columns.ordering import all_distinct, distinct, most_equal, stable_order

# few of the upper bits, so that many share them and differ below
HASHES = st.lists(st.integers(0, 6).map(lambda n: n << 61 | n * n % 3) | st.integers(0, (1 << 64) - 1), max_size=40)


@given(HASHES)
def test_a_stable_order_is_numpys(hashes: list[int]) -> None:
    values = np.array(hashes, np.uint64)
    assert stable_order(values).tolist() == np.argsort(values, kind="stable").tolist()


@given(HASHES)
def test_distinct_values_are_pythons(hashes: list[int]) -> None:
    values = np.array(hashes, np.uint64)
    assert distinct(values).tolist() == sorted(set(hashes))
    assert all_distinct(values) == (len(set(hashes)) == len(hashes))
    assert most_equal(values) == max(map(hashes.count, hashes), default=0)

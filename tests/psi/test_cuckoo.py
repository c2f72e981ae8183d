"""A placement is found exactly where one exists."""

from __future__ import annotations

import numpy as np
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from privsdk.psi.oprf import blocks as module
from privsdk.psi.oprf.blocks import NoPlacement, cells_of, placed
from privsdk.psi.oprf.parameters import third
from privsdk.testing import SeededEntropy

PLACED = pytest.mark.claim("psi.kkrt: keys are placed exactly where a matching exists")


def matching(cells: np.ndarray) -> int:
    """How many keys can be placed, by Kuhn's algorithm."""
    holder: dict[int, int] = {}

    def settle(key: int, seen: set[int]) -> bool:
        for cell in cells[:, key].tolist():
            if cell not in seen:
                seen.add(cell)
                if cell not in holder or settle(holder[cell], seen):
                    holder[cell] = key
                    return True
        return False

    return sum(settle(key, set()) for key in range(cells.shape[1]))


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    third = draw(st.integers(1, 6))
    keys = draw(st.integers(0, 3 * third + 2))
    triple = st.tuples(*(st.integers(start, start + third - 1) for start in (0, third, 2 * third)))
    drawn = draw(st.lists(triple, min_size=keys, max_size=keys))
    return np.array(drawn, np.int64).reshape(keys, 3).T, 3 * third


@PLACED
@pytest.mark.parametrize("rounds", [0, 1, 3, module.ROUNDS])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables())
def test_placed_wherever_it_is_possible(rounds: int, table: tuple[np.ndarray, int], cases: Cases) -> None:
    cells, size = table
    keys = cells.shape[1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "ROUNDS", rounds)
        if matching(cells) < keys:
            with pytest.raises(NoPlacement):
                placed(cells, size)
        else:
            where = placed(cells, size)
            assert len(set(where.tolist())) == keys
            assert all(where[key] in cells[:, key] for key in range(keys))
    cases()


@PLACED
@pytest.mark.parametrize("rounds", [0, 5, module.ROUNDS])
def test_full_tables(rounds: int, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """As full as tables of three cells can be, about 0.9, so that rounds are not enough."""
    monkeypatch.setattr(module, "ROUNDS", rounds)
    for number in range(6):
        blocks = np.frombuffer(SeededEntropy(bytes([number])).draw(16 * 270), np.uint64).reshape(-1, 2)
        cells = cells_of(blocks, 101)
        where = placed(cells, 303)
        assert len(set(where.tolist())) == 270
        assert (cells == where).any(axis=0).all()
        cases()


def test_rounds_are_enough_for_tables_of_the_derived_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Augmenting paths are followed one key at a time, so large tables must not need them."""
    monkeypatch.setattr(module, "_augment", None)
    for keys in (10, 1000, 30_000):
        blocks = np.frombuffer(SeededEntropy(b"blocks").draw(16 * keys), np.uint64).reshape(-1, 2)
        cells = third(keys, 43)
        assert len(np.unique(placed(cells_of(blocks, cells), 3 * cells))) == keys


def test_a_ring_of_keys_is_moved_along() -> None:
    """Keys 0 to 3 fill cells that only the shortest path frees."""
    cells = np.array([[0, 0, 1, 1, 0], [4, 4, 5, 5, 5], [8, 9, 8, 9, 9]], np.int64)
    assert len(set(placed(cells, 12).tolist())) == 5


def test_placing_is_deterministic_and_leaves_its_input() -> None:
    blocks = np.frombuffer(SeededEntropy(b"blocks").draw(16 * 50), np.uint64).reshape(-1, 2)
    cells = cells_of(blocks, 30)
    before = cells.copy()
    assert (placed(cells, 90) == placed(cells, 90)).all()
    assert (cells == before).all()


def test_cells_lie_in_each_third_and_are_uniform() -> None:
    blocks = np.frombuffer(SeededEntropy(b"blocks").draw(16 * 20_000), np.uint64).reshape(-1, 2)
    cells = cells_of(blocks, 50)
    assert cells.shape == (3, 20_000)
    for number, row in enumerate(cells):
        counts = np.bincount(row - 50 * number, minlength=50)
        assert len(counts) == 50
        assert chisquare(counts).pvalue > 1e-6
    joint = np.bincount(cells[0] // 10 * 5 + (cells[1] - 50) // 10, minlength=25)
    assert chisquare(joint).pvalue > 1e-6


def test_cells_are_words_of_the_block_that_no_bucket_is_chosen_by() -> None:
    one = np.array([[0xFFFFFFFF, 0, 0, 0]], np.uint32).view(np.uint64)
    assert cells_of(one, 64).ravel().tolist() == [0, 64, 128]
    last = np.array([[0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF]], np.uint32).view(np.uint64)
    assert cells_of(last, 64).ravel().tolist() == [63, 127, 191]

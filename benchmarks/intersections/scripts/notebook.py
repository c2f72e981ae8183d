"""The caller's process: imports, says so, waits for the parties; plans the join, waits again; joins. Prints JSON.

`python notebook.py FEDERATION.toml PROTOCOL PARTY...`; the protocol is "" where psi.join shall choose.
"""

import json
import sys
import time

import privsdk as ps
from privsdk import psi

file, protocol, *parties = sys.argv[1:]
options = {"protocol": protocol} if protocol else {}
print("imported", flush=True)
input()
with ps.connect(file) as fed:
    plan = psi.join(*(fed[party]["ids"] for party in parties), on="id", **options)
    print("planned", flush=True)
    input()
    began = time.perf_counter()
    joint = plan.release().value
    wall = time.perf_counter() - began
    print(json.dumps({"found": joint.size, "wall_s": wall}), flush=True)
    input()

"""One party of SecretFlow SPU's set intersection, in an environment of its own: both learn. Prints JSON.

`python spu_party.py RANK INPUT OUTPUT ADDRESS ADDRESS PROTOCOL SETTINGS`. CSV in, CSV out: that is what it takes.
Settings are its "fastest", without a check for duplicates and with results in no common order, or its "defaults", which
check and sort; privsdk has no others.
"""

import json
import sys
import time
from importlib.metadata import version

from spu import psi
from spu.libspu import link

rank, source, target, *addresses, protocol, settings = sys.argv[1:]
fastest = settings == "fastest"
config = psi.PsiExecuteConfig(
    protocol_conf=psi.PsiProtocolConfig(
        protocol={"ecdh": psi.PsiProtocol.PROTOCOL_ECDH, "kkrt": psi.PsiProtocol.PROTOCOL_KKRT}.get(
            protocol, psi.PsiProtocol.PROTOCOL_RR22
        ),
        receiver_rank=0,
        broadcast_result=True,
        ecdh_params=psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519),
        rr22_params=psi.Rr22Rarams(low_comm_mode=protocol == "rr22-low"),
    ),
    input_params=psi.InputParams(path=source, selected_keys=["id"], keys_unique=fastest),
    output_params=psi.OutputParams(path=target, disable_alignment=fastest),
)
parties = link.Desc()
parties.id = "benchmark"
parties.connect_retry_times, parties.connect_retry_interval_ms = 600, 100
parties.recv_timeout_ms = 600_000
for number, address in enumerate(addresses):
    parties.add_party(f"p{number}", address)
context = link.create_brpc(parties, int(rank))
wall, cpu = time.perf_counter(), time.process_time()
report = psi.psi_execute(config, context)
used = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
print(json.dumps({"found": report.intersection_count, **used, "version": version("spu")}), flush=True)
context.stop_link()

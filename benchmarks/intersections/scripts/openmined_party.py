"""One party of OpenMined PSI (ECDH over P-256), in an environment of its own: the client alone learns. Prints JSON.

`python openmined_party.py client|server FILE PORT`. Messages are the library's, a length before each.
"""

import json
import socket
import struct
import sys
import time
from importlib.metadata import version

import private_set_intersection.python as psi
import pyarrow.parquet as pq

role, file, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
FALSE_POSITIVES = 2.0**-40


def send(message):
    blob = message.SerializeToString()
    link.sendall(struct.pack("<Q", len(blob)))
    link.sendall(blob)


def receive(kind):
    (size,) = struct.unpack("<Q", exactly(8))
    message = kind()
    message.ParseFromString(bytes(exactly(size)))
    return message


def exactly(size):
    blob = bytearray(size)
    view = memoryview(blob)
    while view:
        if not (read := link.recv_into(view)):
            raise EOFError("the other party closed the connection")
        view = view[read:]
    return blob


if role == "server":
    with socket.create_server(("127.0.0.1", port)) as listening:
        link, _ = listening.accept()
else:
    link = socket.create_connection(("127.0.0.1", port))
exactly(1) if role == "client" else link.sendall(b"!")  # both are there
wall, cpu = time.perf_counter(), time.process_time()
items = pq.read_table(file, columns=["id"]).column(0).to_pylist()
if role == "server":
    party = psi.server.CreateWithNewKey(True)
    send(party.CreateSetupMessage(FALSE_POSITIVES, len(items), items, psi.DataStructure.GCS))
    send(party.ProcessRequest(receive(psi.Request)))
    found = None
else:
    party = psi.client.CreateWithNewKey(True)
    send(party.CreateRequest(items))
    setup = receive(psi.ServerSetup)
    found = len(party.GetIntersection(setup, receive(psi.Response)))
print(
    json.dumps(
        {
            "found": found,
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
            "version": version("openmined-psi"),
        }
    )
)
link.close()

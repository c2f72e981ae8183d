"""phe, in an environment of its own: Paillier with the default key, microseconds per value. Prints JSON."""

import json
import random
import sys
import time

import phe

VALUES, PARTIES = int(sys.argv[1]), 10


def timed(work):
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


public, secret = phe.generate_paillier_keypair()
vectors = [[random.gauss(0, 1) for _ in range(VALUES)] for _ in range(PARTIES)]
columns, encrypt = timed(lambda: [[public.encrypt(v) for v in vector] for vector in vectors[:1]])
columns *= PARTIES  # one party's ciphertexts stand for all: additions cost the same
totals, add = timed(lambda: [sum(rest, first) for first, *rest in zip(*columns, strict=True)])
found, decrypt = timed(lambda: [secret.decrypt(total) for total in totals])
print(
    json.dumps(
        {
            "version": phe.__version__ if hasattr(phe, "__version__") else "",
            "what": f"Paillier, {public.n.bit_length()}-bit key",
            "sample": VALUES,
            "encrypt_us": encrypt / VALUES * 1e6,
            "add_us": add / VALUES / (PARTIES - 1) * 1e6,
            "decrypt_us": decrypt / VALUES * 1e6,
            "bytes_a_value": public.nsquare.bit_length() / 8,
            "error": max(abs(f - PARTIES * v) for f, v in zip(found, vectors[0], strict=True)),
        }
    )
)

"""SecretFlow HEU, in an environment of its own: OU and Paillier with default keys, microseconds per value. JSON."""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from heu import numpy as hnp
from heu import phe

VALUES, PARTIES = int(sys.argv[1]), 10
SCALE = 1 << 20


def timed(work):
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def measured(scheme, values):
    kit = hnp.setup(scheme, 2048)
    encryptor, evaluator, decryptor = kit.encryptor(), kit.evaluator(), kit.decryptor()
    vector = np.random.default_rng(1).normal(size=values)
    made, encrypt = timed(lambda: encryptor.encrypt(kit.array(vector, phe.FloatEncoderParams(SCALE))))
    sent, serialize = timed(lambda: made.serialize(hnp.MatrixSerializeFormat.Best))

    def total():
        result = made
        for _ in range(PARTIES - 1):
            result = evaluator.add(result, made)
        return result

    summed, add = timed(total)
    encoder = phe.FloatEncoder(scheme, SCALE)
    found, decrypt = timed(lambda: decryptor.decrypt(summed).to_numpy(encoder))
    return {
        "what": f"HEU {scheme.name}, 2048-bit key",
        "sample": values,
        "encrypt_us": (encrypt + serialize) / values * 1e6,
        "add_us": add / values / (PARTIES - 1) * 1e6,
        "decrypt_us": decrypt / values * 1e6,
        "bytes_a_value": len(sent) / values,
        "error": float(np.abs(found - PARTIES * vector).max()),
        "version": version("sf-heu"),
    }


print(json.dumps([measured(phe.SchemaType.OU, VALUES), measured(phe.SchemaType.ZPaillier, max(10, VALUES // 10))]))

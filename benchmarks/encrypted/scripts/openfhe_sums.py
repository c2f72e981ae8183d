"""OpenFHE, in an environment of its own: CKKS and BFV of depth 0, microseconds per value. Prints JSON."""

import json
import random
import sys
import time
from importlib.metadata import version

import openfhe as fhe

VALUES, PARTIES = int(sys.argv[1]), 10


def timed(work):
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def ckks():
    chosen = fhe.CCParamsCKKSRNS()
    chosen.SetMultiplicativeDepth(0)
    chosen.SetFirstModSize(54)
    chosen.SetScalingModSize(40)
    context = fhe.GenCryptoContext(chosen)
    slots = context.GetRingDimension() // 2
    values = [[random.gauss(0, 1) for _ in range(slots)] for _ in range(max(1, VALUES // slots))]
    return context, slots, values, context.MakeCKKSPackedPlaintext, lambda plain: plain.GetRealPackedValue(), "CKKS"


def bfv():
    chosen = fhe.CCParamsBFVRNS()
    chosen.SetMultiplicativeDepth(0)
    chosen.SetPlaintextModulus(1073692673)
    context = fhe.GenCryptoContext(chosen)
    slots = context.GetRingDimension()
    values = [[round(random.gauss(0, 1) * 2**19) for _ in range(slots)] for _ in range(max(1, VALUES // slots))]
    return context, slots, values, context.MakePackedPlaintext, lambda plain: plain.GetPackedValue(), "BFV"


def measured(made):
    context, slots, chunks, encode, decode, name = made
    context.Enable(fhe.PKESchemeFeature.PKE)
    context.Enable(fhe.PKESchemeFeature.LEVELEDSHE)
    keys, count = context.KeyGen(), len(chunks) * slots
    sent, encrypt = timed(
        lambda: [fhe.Serialize(context.Encrypt(keys.publicKey, encode(chunk)), fhe.BINARY) for chunk in chunks]
    )

    def load(blob):
        return fhe.DeserializeCiphertextString(blob, fhe.BINARY)

    def added(blob):
        total = load(blob)
        for _ in range(PARTIES - 1):
            total = context.EvalAdd(total, load(blob))
        return total

    totals, add = timed(lambda: [added(blob) for blob in sent])
    found, decrypt = timed(lambda: [decode(context.Decrypt(total, keys.secretKey)) for total in totals])
    return {
        "version": version("openfhe"),
        "what": f"OpenFHE {name}, ring {context.GetRingDimension()}",
        "sample": count,
        "encrypt_us": encrypt / count * 1e6,
        "add_us": add / count / (PARTIES - 1) * 1e6,
        "decrypt_us": decrypt / count * 1e6,
        "bytes_a_value": sum(map(len, sent)) / count,
        "error": max(
            abs(f - PARTIES * v) for fs, vs in zip(found, chunks, strict=True) for f, v in zip(fs, vs, strict=True)
        ),
    }


print(json.dumps([measured(ckks()), measured(bfv())]))

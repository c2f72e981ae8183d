"""The floor: tenseal.sealapi by itself at privsdk's parameters, with a file in memory and nothing checked.

SEAL's Python interface saves to and loads from paths only. What it saves is kept as it comes, with its compression.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from tenseal import sealapi

from privsdk.he import Preset


class Raw:
    """Exact sums by BFV under the primes of a preset, public or symmetric."""

    def __init__(self, preset: Preset, *, symmetric: bool) -> None:
        self._degree, self._resolution = preset.degree, preset.resolution
        self._primes = preset.plain_primes
        self._symmetric = symmetric
        self._file = os.fdopen(os.memfd_create("raw"), "r+b", buffering=0)
        self._path = f"/proc/self/fd/{self._file.fileno()}"
        self._limbs = []
        for prime in self._primes:
            chosen = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
            chosen.set_poly_modulus_degree(preset.degree)
            chosen.set_coeff_modulus(sealapi.CoeffModulus.Create(preset.degree, [*preset.data, preset.special]))
            chosen.set_plain_modulus(sealapi.Modulus(prime))
            context = sealapi.SEALContext(chosen, True, sealapi.SEC_LEVEL_TYPE.TC128)
            keys = sealapi.KeyGenerator(context)
            if symmetric:
                encryptor = sealapi.Encryptor(context, keys.secret_key())
            else:
                public = sealapi.PublicKey()
                keys.create_public_key(public)
                encryptor = sealapi.Encryptor(context, public)
            self._limbs.append((context, sealapi.BatchEncoder(context), encryptor, sealapi.Evaluator(context),
                                sealapi.Decryptor(context, keys.secret_key())))  # fmt: skip

    def __del__(self) -> None:
        self._file.close()

    def encrypt(self, values: np.ndarray) -> list[bytes]:
        return self.encrypt_units(np.rint(values / self._resolution).astype(np.int64))

    def encrypt_units(self, units: np.ndarray) -> list[bytes]:
        """Chunk by chunk, limb by limb."""
        made = []
        for start in range(0, len(units), self._degree):
            chunk = units[start : start + self._degree]
            for prime, (_, encoder, encryptor, _, _) in zip(self._primes, self._limbs, strict=True):
                plain, ciphertext = sealapi.Plaintext(), sealapi.Ciphertext()
                residues = chunk if len(self._primes) == 1 else chunk % prime
                encoder.encode(residues.tolist(), plain)
                if self._symmetric:
                    made.append(self._saved(encryptor.encrypt_symmetric(plain)))
                else:
                    encryptor.encrypt(plain, ciphertext)
                    made.append(self._saved(ciphertext))
        return made

    def add(self, summands: Sequence[Sequence[bytes]]) -> list[bytes]:
        totals = []
        for i, rows in enumerate(zip(*summands, strict=True)):
            context, _, _, evaluator, _ = self._limbs[i % len(self._limbs)]
            total = self._loaded(context, rows[0])
            for row in rows[1:]:
                evaluator.add_inplace(total, self._loaded(context, row))
            totals.append(self._saved(total))
        return totals

    def decrypt(self, rows: Sequence[bytes], length: int) -> np.ndarray:
        return self.decrypt_units(rows, length).astype(np.float64) * self._resolution

    def decrypt_units(self, rows: Sequence[bytes], length: int) -> np.ndarray:
        limbs: list[list[np.ndarray]] = [[] for _ in self._limbs]
        for i, row in enumerate(rows):
            context, encoder, _, _, decryptor = self._limbs[i % len(self._limbs)]
            plain = sealapi.Plaintext()
            decryptor.decrypt(self._loaded(context, row), plain)
            limbs[i % len(self._limbs)].append(np.array(encoder.decode_int64(plain), np.int64))
        whole = [np.concatenate(parts)[:length] for parts in limbs]
        if len(whole) == 1:
            return whole[0]
        modulus, total = self._primes[0], whole[0] % self._primes[0]
        for residue, prime in zip(whole[1:], self._primes[1:], strict=True):  # Garner; object integers beyond two limbs
            digit = (residue - total % prime).astype(np.int64) % prime * pow(modulus, -1, prime) % prime
            total = total + (digit if modulus * prime < 1 << 62 else digit.astype(object)) * modulus
            modulus *= prime
        return np.where(total > modulus // 2, total - modulus, total)

    def _saved(self, thing: object) -> bytes:
        self._file.seek(0)
        self._file.truncate()
        thing.save(self._path)
        self._file.seek(0)
        return self._file.read()

    def _loaded(self, context: object, row: bytes) -> object:
        self._file.seek(0)
        self._file.write(row)
        self._file.truncate()
        made = sealapi.Ciphertext()
        made.load(context, self._path)
        return made

"""Keys over TenSEAL with the trust in their type: a SecretContext decrypts, a PublicContext can only encrypt and add.

Parameters are at 128-bit security by the HomomorphicEncryption.org standard (2018), table 1: ring dimension 4096,
ternary secret, at most 109 bits of modulus; here 54 for data and 55 that SEAL reserves for key switching.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NoReturn, Self

from ..errors import ProtocolViolation

DEGREE: Final = 4096
MODULUS_BITS: Final = (54, 55)
SIGMA: Final = 3.2  # SEAL's standard deviation of encryption noise
MAX_CONTEXT_BYTES: Final = 256 << 10  # a public context of these parameters is 121 kB
MAX_CIPHERTEXT_BYTES: Final = 80 << 10  # a ciphertext is 61 kB

# The largest 30-bit primes congruent to 1 modulo 2 * DEGREE, which is what slot packing (batching) asks for.
PRIMES: Final = (1073692673, 1073668097, 1073651713, 1073643521, 1073569793, 1073479681)

CKKS_SCALE_BITS: Final = 40


class PublicContext:
    """Encrypts and adds under one public key; cannot decrypt. Made by serialising and reloading."""

    def __init__(self, blob: bytes) -> None:
        import tenseal

        if len(blob) > MAX_CONTEXT_BYTES:
            raise ProtocolViolation(f"a public key of {len(blob)} bytes; {MAX_CONTEXT_BYTES} are allowed")
        try:
            self._context = tenseal.context_from(blob, n_threads=1)
        except (ValueError, RuntimeError):
            raise ProtocolViolation("a public key is malformed") from None
        if self._context.is_private() or not self._context.has_public_key():
            raise ProtocolViolation("a key was sent that is not a public key alone")
        self._blob = blob

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the serialised context. Ciphertexts under different keys add to garbage, so it is compared."""
        return hashlib.sha256(self._blob).hexdigest()

    @property
    def parameters(self) -> tuple[int, ...]:
        """SEAL's hash of scheme, ring dimension and moduli."""
        return tuple(self._context.seal_context().data.key_context_data().parms_id())

    @property
    def blob(self) -> bytes:
        return self._blob

    @property
    def tenseal(self) -> Any:
        """The TenSEAL context, for the schemes of this package."""
        return self._context


class SecretContext:
    """Holds a secret key. Shows nothing of it, cannot be serialised, copied, compared to booleans or iterated."""

    __slots__ = ("_context", "public")

    def __init__(self, context: Any) -> None:
        self._context = context
        self.public = PublicContext(
            context.serialize(
                save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
            )
        )

    @classmethod
    def exact(cls, prime: int) -> Self:
        """A fresh BFV key with this plaintext modulus."""
        import tenseal

        return cls(
            tenseal.context(
                tenseal.SCHEME_TYPE.BFV,
                DEGREE,
                plain_modulus=prime,
                coeff_mod_bit_sizes=list(MODULUS_BITS),
                n_threads=1,
            )
        )

    @classmethod
    def approximate(cls) -> Self:
        """A fresh CKKS key."""
        import tenseal

        context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=list(MODULUS_BITS), n_threads=1)
        context.global_scale = 2.0**CKKS_SCALE_BITS
        return cls(context)

    @property
    def tenseal(self) -> Any:
        return self._context

    def __repr__(self) -> str:
        return f"SecretContext({self.public.fingerprint[:12]})"

    def __bool__(self) -> NoReturn:
        raise TypeError("a SecretContext has no truth value")

    def __iter__(self) -> NoReturn:
        raise TypeError("a SecretContext cannot be iterated")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SecretContext is never serialised")


def check_blob(blob: object, sender: str) -> bytes:
    if not isinstance(blob, bytes) or not blob or len(blob) > MAX_CIPHERTEXT_BYTES:
        raise ProtocolViolation(f"{sender} sent something that is not a ciphertext of these parameters")
    return blob

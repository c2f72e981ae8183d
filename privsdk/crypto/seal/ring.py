"""Microsoft SEAL through tenseal.sealapi: one object for each set of parameters, and the bytes of what it makes.

TenSEAL's vectors rescale, switch moduli and replicate on their own, hide which key they are under and hold the GIL for
as long as a whole column takes. Its `sealapi` is SEAL itself: one call for each polynomial, about a millisecond.

**Rows.** A ciphertext travels as its coefficients alone, little-endian, in as few bytes as the largest prime needs; a
seed-compressed one as its first polynomial and the 64 bytes from which SEAL expands the second. All lengths follow
from the parameters. SEAL's own headers are put back from objects made here, so that no byte from outside reaches its
parser except coefficients, which it compares with the primes. A malformed row is refused and cannot crash the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import InvalidArgument, ProtocolViolation
from .serial import HEADER, SEED_BYTES, WORD, Buffer, Layout, forget, header, load, saved


def residues(units: npt.NDArray[Any], prime: int) -> npt.NDArray[Any]:
    """Integers of any size modulo a prime, or a product of primes, those of least absolute value."""
    half = prime // 2
    if units.dtype == np.int64 and -half <= units.min(initial=0) and units.max(initial=0) <= half:
        return units
    reduced = units % prime
    if prime < 1 << 62:
        reduced = reduced.astype(np.int64)
    return np.where(reduced > half, reduced - prime, reduced)


def combined(residues: Sequence[npt.NDArray[Any]], primes: Sequence[int]) -> npt.NDArray[Any]:
    """The integers of least absolute value with these residues modulo the primes (Garner's method).

    int64 while products fit, Python's integers beyond.
    """
    modulus = primes[0]
    value = residues[0].astype(np.int64 if max(primes) < 1 << 31 else object) % modulus
    for residue, prime in zip(residues[1:], primes[1:], strict=True):
        digit = (residue - value % prime) % prime * pow(modulus, -1, prime) % prime
        if modulus * prime >= 1 << 62:
            value, digit = value.astype(object), digit.astype(object)
        value = value + digit * modulus
        modulus *= prime
    return np.where(value > modulus // 2, value - modulus, value)


SIGMA = 3.2  # standard deviation of SEAL's encryption noise


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a ring is made of.

    Parameters
    ----------
    scheme : "bfv" or "ckks"
    degree : int
        Ring dimension N.
    data : tuple of int
        Bits of the primes that carry data; the last is dropped first.
    special : int
        Bits of the prime that SEAL reserves for keys.
    plain : int
        BFV's plaintext modulus, a prime congruent to 1 modulo 2 N; 0 for CKKS.
    """

    scheme: Literal["bfv", "ckks"]
    degree: int
    data: tuple[int, ...]
    special: int
    plain: int = 0

    @property
    def width(self) -> int:
        """Bytes of a coefficient."""
        return -(-max(*self.data, self.special) // 8)

    def row_bytes(self, primes: int, *, seeded: bool = False) -> int:
        """Length of a ciphertext's row that still has this many data primes."""
        polynomial = primes * self.degree * self.width
        return polynomial + SEED_BYTES if seeded else 2 * polynomial


class Ring:
    """A SEAL context with encoder, evaluator and the layout of its serialised objects. Use `ring` to get one."""

    def __init__(self, parameters: Parameters) -> None:
        from tenseal import sealapi

        self.parameters = parameters
        self._sealapi = sealapi
        ckks = parameters.scheme == "ckks"
        chosen = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS if ckks else sealapi.SCHEME_TYPE.BFV)
        chosen.set_poly_modulus_degree(parameters.degree)
        bits = [*parameters.data, parameters.special]
        try:
            chosen.set_coeff_modulus(sealapi.CoeffModulus.Create(parameters.degree, bits))
            if not ckks:
                chosen.set_plain_modulus(sealapi.Modulus(parameters.plain))
        except (ValueError, RuntimeError) as error:
            raise InvalidArgument(f"there is no ring of {parameters}: {error}") from None
        self.context = sealapi.SEALContext(chosen, True, sealapi.SEC_LEVEL_TYPE.TC128)
        if not self.context.parameters_set():
            raise InvalidArgument(f"SEAL refuses {parameters}: {self.context.parameters_error_message()}")
        self.encoder = (sealapi.CKKSEncoder if ckks else sealapi.BatchEncoder)(self.context)
        self.evaluator = sealapi.Evaluator(self.context)
        self.slots = parameters.degree // 2 if ckks else parameters.degree
        self._ids: list[Any] = []
        self.primes: tuple[int, ...] = ()
        data = self.context.first_context_data()
        while data is not None:
            self.primes = self.primes or tuple(m.value() for m in data.parms().coeff_modulus())
            self._ids.append(data.parms_id())
            data = data.next_context_data()
        self._layouts: dict[tuple[int, bool], Layout] = {}

    # plaintexts

    def encode(self, values: Any, *, scale: float = 1.0, primes: int | None = None) -> Any:
        """A plaintext of a list with a value for each slot, or of one number for all of CKKS's slots.

        The scale and the number of data primes are CKKS's.
        """
        plain = self._sealapi.Plaintext()
        if self.parameters.scheme == "bfv":
            self.encoder.encode(values, plain)
        else:
            self.encoder.encode(values, self._id(primes), scale, plain)
        return plain

    def constant(self, value: int) -> Any:
        """BFV: the same number in every slot, as a polynomial of one coefficient: products with it add least noise."""
        return self._sealapi.Plaintext(f"{value:x}")

    def decode(self, plain: Any) -> npt.NDArray[Any]:
        """Every slot of a plaintext: complex for CKKS, for BFV integers in [-t/2, t/2]."""
        if self.parameters.scheme == "bfv":
            return np.fromiter(self.encoder.decode_int64(plain), np.int64, self.slots)
        return np.asarray(self.encoder.decode_complex(plain), np.complex128)

    def coefficients(self, plain: Any, primes: int) -> npt.NDArray[Any]:
        """CKKS: the integer coefficients of a plaintext, centred; Python's integers, as there may be hundreds of bits.

        SEAL decodes in floating point only. It transforms ciphertexts exactly, so the plaintext takes the place of the
        first of a ciphertext's polynomials; the second is 1, as SEAL refuses 0.
        """
        size = primes * self.parameters.degree * WORD
        words, one = memoryview(saved(plain))[-size:], (1).to_bytes(WORD, "little") * (size // WORD)
        layout = self._layout(primes, seeded=False)
        made, back = self._sealapi.Ciphertext(), self._sealapi.Ciphertext()
        load(made, self.context, layout.pieces(bytes(words) + one, b""))
        self.evaluator.transform_from_ntt(made, back)
        found = np.frombuffer(layout.data_of(saved(back))[:size], np.uint64).reshape(primes, -1)
        return combined(list(found), self.primes[:primes])

    # rows

    def row(self, ciphertext: Any) -> bytes:
        """A ciphertext of two polynomials as a row."""
        layout = self._layout(ciphertext.coeff_modulus_size(), seeded=False)
        return self.packed(layout.data_of(saved(ciphertext, layout.length)))

    def seeded_row(self, serializable: Any, primes: int) -> bytes:
        """What `encrypt_symmetric` returns, as a row with its seed."""
        layout = self._layout(primes, seeded=True)
        stream = saved(serializable, layout.length)
        return self.packed(layout.data_of(stream)) + stream[-SEED_BYTES:]

    def ciphertext(self, row: Buffer, primes: int, *, scale: float = 1.0) -> Any:
        """The ciphertext of a row, seeded or not.

        Raises
        ------
        ProtocolViolation
            Its length is not that of a ciphertext of this ring with this many primes, or a coefficient is none.
        """
        view = memoryview(row).cast("B")
        due = self.parameters.row_bytes(primes)
        seeded = len(view) == self.parameters.row_bytes(primes, seeded=True)
        if not seeded and len(view) != due:
            raise ProtocolViolation(
                f"a ciphertext of {len(view):,} bytes where {due:,} are due: it is cut short or of other parameters"
            )
        layout = self._layout(primes, seeded=seeded)
        seed = bytes(view[-SEED_BYTES:]) if seeded else b""
        words = self._unpacked(view[: len(view) - len(seed)])
        made = self._sealapi.Ciphertext()
        try:
            load(made, self.context, layout.pieces(words, seed))
        except (ValueError, RuntimeError):
            raise ProtocolViolation("a ciphertext is malformed or of other parameters") from None
        made.scale = scale
        return made

    def packed(self, words: Buffer) -> bytes:
        """64-bit words as coefficients of `width` bytes."""
        if self.parameters.width == WORD:
            return bytes(words)
        narrow = np.dtype(f"V{self.parameters.width}")
        return np.ndarray(memoryview(words).nbytes // WORD, narrow, words, strides=(WORD,)).tobytes()

    def _unpacked(self, coefficients: Buffer) -> Buffer:
        if self.parameters.width == WORD:
            return coefficients
        narrow = np.frombuffer(coefficients, f"V{self.parameters.width}")
        words = np.zeros(len(narrow), np.uint64)
        np.ndarray(len(narrow), narrow.dtype, words, strides=(WORD,))[:] = narrow
        return words.data

    # keys

    def new_secret_key(self) -> Any:
        return self._sealapi.KeyGenerator(self.context).secret_key()

    def public_key_row(self, secret: Any) -> bytes:
        """A fresh public key of this secret key."""
        return self.packed(self._public_layout.data_of(self._saved_public(secret)))

    def relin_key_row(self, secret: Any) -> bytes:
        """Fresh relinearisation keys of this secret key: what products of two ciphertexts need."""
        stream, starts = self._saved_relin(secret)
        size, piece = self._key_words * WORD, self._relin_piece
        return b"".join(self.packed(stream[start + piece : start + piece + size]) for start in starts)

    def public_key(self, row: Buffer) -> Any:
        return self._loaded_key(self._sealapi.PublicKey(), row, [self._public_layout.head])

    def relin_keys(self, row: Buffer) -> Any:
        return self._loaded_key(self._sealapi.RelinKeys(), row, self._relin_heads)

    def secret_key(self, content: bytes) -> Any:
        """A secret key from `saved_secret`: bytes that were this package's own and authenticated."""
        made = self._sealapi.SecretKey()
        load(made, self.context, [header(len(content)), content])
        forget()
        return made

    def saved_secret(self, secret: Any) -> bytes:
        content = saved(secret)
        forget()
        return content

    def encryptor(self, key: Any) -> Any:
        """Of a public or a secret key; only the latter encrypts symmetrically."""
        return self._sealapi.Encryptor(self.context, key)

    def decryptor(self, secret: Any) -> Any:
        return self._sealapi.Decryptor(self.context, secret)

    def new_plain(self) -> Any:
        return self._sealapi.Plaintext()

    def new_ciphertext(self) -> Any:
        return self._sealapi.Ciphertext()

    # layouts

    @property
    def _key_words(self) -> int:
        return 2 * (len(self.primes) + 1) * self.parameters.degree

    def _id(self, primes: int | None) -> Any:
        return self._ids[0 if primes is None else len(self.primes) - primes]

    def _layout(self, primes: int, *, seeded: bool) -> Layout:
        if (primes, seeded) not in self._layouts:
            encryptor, words = self.encryptor(self._any_secret), primes * self.parameters.degree
            if seeded:
                sample = saved(encryptor.encrypt_zero_symmetric(self._id(primes)))
                self._layouts[primes, seeded] = Layout(sample, words, tail=HEADER + 1 + SEED_BYTES)
            else:
                zero = self.new_ciphertext()
                encryptor.encrypt_zero_symmetric(self._id(primes), zero)
                self._layouts[primes, seeded] = Layout(saved(zero), 2 * words)
        return self._layouts[primes, seeded]

    @cached_property
    def _any_secret(self) -> Any:
        return self.new_secret_key()

    @cached_property
    def _public_layout(self) -> Layout:
        return Layout(self._saved_public(self._any_secret), self._key_words)

    @property
    def _relin_piece(self) -> int:
        """Bytes of headers before the coefficients of each part of a relinearisation key."""
        return HEADER + len(self._public_layout.head)

    @cached_property
    def _relin_heads(self) -> list[bytes]:
        stream, starts = self._saved_relin(self._any_secret)
        heads = [stream[start : start + self._relin_piece] for start in starts]
        return [stream[: starts[0]] + heads[0], *heads[1:]]

    def _saved_public(self, secret: Any) -> bytes:
        key = self._sealapi.PublicKey()
        self._sealapi.KeyGenerator(self.context, secret).create_public_key(key)
        return saved(key)

    def _saved_relin(self, secret: Any) -> tuple[bytes, range]:
        """Fresh relinearisation keys, and where each of their parts begins with its headers."""
        keys = self._sealapi.RelinKeys()
        self._sealapi.KeyGenerator(self.context, secret).create_relin_keys(keys)
        stream, step = saved(keys), self._relin_piece + self._key_words * WORD
        return stream, range(len(stream) - len(self.primes) * step, len(stream), step)

    def _loaded_key(self, made: Any, row: Buffer, heads: Sequence[bytes]) -> Any:
        size = self._key_words * self.parameters.width
        view = memoryview(row).cast("B")
        if len(view) != len(heads) * size:
            raise ProtocolViolation(f"a key of {len(view):,} bytes where {len(heads) * size:,} are due")
        pieces: list[Buffer] = []
        for i, head in enumerate(heads):
            pieces += [head, self._unpacked(view[i * size : (i + 1) * size])]
        try:
            load(made, self.context, [header(sum(memoryview(piece).nbytes for piece in pieces)), *pieces])
        except (ValueError, RuntimeError):
            raise ProtocolViolation("a key is malformed or of other parameters") from None
        return made


@lru_cache(maxsize=64)
def ring(parameters: Parameters) -> Ring:
    """The ring of these parameters, made once."""
    return Ring(parameters)


@lru_cache(maxsize=256)
def data_primes(degree: int, bits: tuple[int, ...]) -> tuple[int, ...]:
    """The primes of these bits, without the special one: the last of `bits`."""
    from tenseal import sealapi

    try:
        return tuple(modulus.value() for modulus in sealapi.CoeffModulus.Create(degree, list(bits)))[:-1]
    except (ValueError, RuntimeError) as error:
        raise InvalidArgument(f"there are no primes of {bits} bits for a ring of {degree}: {error}") from None

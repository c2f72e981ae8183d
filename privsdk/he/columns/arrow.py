"""Encrypted columns in Arrow: an extension type whose rows are the ciphertexts of a chunk each.

A row is the ciphertexts of one chunk, limb by limb, as `seal.Ring.row` packs them, then the chunk's validity bits where
the column has nulls, then the chunk's number in 4 bytes: where rows were shuffled they are put back in order, and where
one is missing or double they are refused. All rows are of one length, which Arrow keeps as fixed-size binary: no
offsets, no compression (ciphertexts look random), and reading a row copies nothing. What is known of the ciphertexts is
the type's metadata, so that a column travels through IPC, Flight and Parquet with it. DuckDB keeps the rows as BLOB;
`restored` puts the type back.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import msgspec
import pyarrow as pa

from ...crypto.seal.circuit import slot_error
from ...crypto.seal.keys import PublicContext
from ...crypto.seal.noise import NoiseEstimate, NoiseEstimator
from ...crypto.seal.presets import Preset
from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.messages import build

MAX_ROWS = 1 << 20
NUMBER_BYTES = 4
FLOAT_ERROR = 2.0**-50  # room for eight roundings: plain summands and divisors, units to reals, the quotient


class Meta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of an encrypted column, in clear.

    Attributes
    ----------
    preset : Preset
    key : str
        Fingerprint of the public key.
    estimate : NoiseEstimate
        Level, scale, bound, error and number of summands.
    length : int
        Values in it.
    folded : bool
        Whether the value is the sum of all slots: one number, of a column of `length` values.
    divisor : float
        What a folded sum is divided by when it is revealed: the number of values for a mean.
    seeded : bool
        Whether rows are seed-compressed.
    nulls : bool
        Whether rows end with validity bits. Null positions are not secret.
    zeroed : bool
        Whether slots of nulls hold zero, so that sums need not mask them.
    owners : tuple of str
        Whose values are in it.
    min_parties : int
        The fewest owners that one of them wants to be among when it is revealed.
    """

    version: Literal[1] = 1
    preset: Preset
    key: str
    estimate: NoiseEstimate = msgspec.field(name="track")
    length: int
    folded: bool = False
    divisor: float = 1.0
    seeded: bool = False
    nulls: bool = False
    zeroed: bool = True
    owners: tuple[str, ...] = ()
    min_parties: int = 1

    def __post_init__(self) -> None:
        numbers = (self.estimate.bound, self.estimate.error, self.estimate.noise, self.divisor)
        if not (all(0 <= number < math.inf for number in numbers) and self.divisor and self.estimate.summands >= 1):
            raise InvalidArgument("figures of an encrypted column that cannot be")
        if not 0 < self.length <= MAX_ROWS * self.preset.values_a_row:
            raise InvalidArgument(
                f"an encrypted column of {self.length:,} values",
                hint=f"1 to {MAX_ROWS * self.preset.values_a_row:,} are possible",
            )
        if self.min_parties < 1:
            raise InvalidArgument(f"min_parties={self.min_parties}", hint="ask for 1 owner or more")
        if not 0 <= self.estimate.level <= (0 if self.preset.scheme == "exact" else self.preset.depth):
            raise InvalidArgument(f"an encrypted column of level {self.estimate.level}, which its preset has not")
        if (self.seeded and self.estimate.level) or (self.folded and (self.nulls or self.seeded)):
            raise InvalidArgument("an encrypted column of a form that there is not")

    @classmethod
    def fresh(
        cls, key: PublicContext, bound: float, *, length: int, secret: bool = False, on_grid: bool = False, **facts: Any
    ) -> Self:
        """Of values within +-bound that are encrypted under a key, or with its secret one."""
        estimate = NoiseEstimator(key.preset).fresh(bound, secret=secret, on_grid=on_grid)
        return cls(preset=key.preset, key=key.fingerprint, estimate=estimate, length=length, seeded=secret, **facts)

    @property
    def rows(self) -> int:
        return 1 if self.folded else -(-self.length // self.preset.values_a_row)

    @property
    def cipher_bytes(self) -> int:
        """Bytes of a row without its validity bits and number."""
        level = self.estimate.level
        return self.preset.row_bytes(level, seeded=self.seeded)

    @property
    def row_bytes(self) -> int:
        return self.cipher_bytes + (self.preset.values_a_row // 8 if self.nulls else 0) + NUMBER_BYTES

    @property
    def primes(self) -> int:
        """Data primes of its ciphertexts."""
        return self.preset.primes_at(self.estimate.level)


build(Meta)


def revealed_error(meta: Meta, estimate: NoiseEstimate) -> float:
    """Bound on the difference of a revealed value from exact arithmetic.

    SEAL's slots are the powers of 3, exponents that are 1 or 3 modulo 8. The sum of their real parts is N / 2 times the
    constant coefficient, that of the imaginary ones N / sqrt(8) times the sum of those of N / 4 and 3 N / 4. So what
    a reveal adds to the sum is a root of N / 2 times what it adds to a slot, of N where both parts hold values.
    """
    preset = meta.preset
    if preset.scheme == "exact":
        return (estimate.error + (estimate.bound * FLOAT_ERROR if _rounds(meta, estimate) else 0.0)) / meta.divisor
    slot = slot_error(preset, estimate)
    if not meta.folded:
        return slot + estimate.bound * FLOAT_ERROR
    slots, parts = preset.values_a_row, 2 if preset.packing == "complex" else 1
    shown = (slot - estimate.error) * math.sqrt(preset.degree / 2 * parts)
    return (estimate.error * slots + shown + estimate.bound * slots * FLOAT_ERROR) / meta.divisor


def shown_whole(meta: Meta, estimate: NoiseEstimate) -> bool:
    """Whether exact values are shown as int64."""
    return meta.preset.resolution == meta.divisor == 1.0 and estimate.bound + estimate.error < 2.0**63


def _rounds(meta: Meta, estimate: NoiseEstimate) -> bool:
    """Whether exact values, shown as float64, may be none; a preset's resolution is a power of two."""
    return not shown_whole(meta, estimate) and (
        meta.divisor != 1.0 or (estimate.bound + estimate.error) / meta.preset.resolution >= 2.0**53
    )


class EncryptedType(pa.ExtensionType):  # type: ignore[misc]
    """Arrow's type of an encrypted column; `meta` says what is known of it."""

    def __init__(self, meta: Meta) -> None:
        self.meta = meta
        super().__init__(pa.binary(meta.row_bytes), "privsdk.encrypted")

    def __eq__(self, other: object) -> bool:
        """Arrow's own compares no metadata: columns under two keys would be chunks of one."""
        return isinstance(other, EncryptedType) and self.meta == other.meta

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.meta)

    def __arrow_ext_serialize__(self) -> bytes:
        return msgspec.json.encode(self.meta, order="sorted")

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Self:
        try:
            meta = msgspec.json.decode(serialized, type=Meta)
        except (msgspec.DecodeError, InvalidArgument) as error:
            reason = getattr(error, "message", error)
            raise ProtocolViolation(f"an encrypted column is of another version or malformed: {reason}") from None
        made = cls(meta)
        if storage_type != made.storage_type:
            raise ProtocolViolation(f"an encrypted column of {storage_type} where {made.storage_type} is due")
        return made


_SAMPLE = Meta(
    preset=Preset(scheme="exact", degree=4096, data=(54,), special=55, limbs=1, resolution=1.0),
    key="",
    estimate=NoiseEstimate(bound=1.0, error=0.5),
    length=1,
)
pa.register_extension_type(EncryptedType(_SAMPLE))


def check_key(meta: Meta, public: PublicContext) -> None:
    if not isinstance(public, PublicContext):
        raise InvalidArgument(f"a {type(public).__name__} is no key", hint="give the PublicContext or SecretContext")
    if meta.key != public.fingerprint or meta.preset != public.preset:
        raise InvalidArgument(
            f"a column under the key {meta.key[:12]}, and the key {public.fingerprint[:12]}: they do not fit",
            hint="use the key that it was encrypted under",
        )


def in_order(rows: list[memoryview], meta: Meta) -> list[memoryview]:
    """The rows by their numbers, which are all there."""
    numbered = {int.from_bytes(row[-NUMBER_BYTES:], "little"): row for row in rows}
    if len(rows) != meta.rows or numbered.keys() != set(range(meta.rows)):
        raise InvalidArgument(
            f"{len(rows):,} rows, {len(numbered):,} of them different, where an encrypted column has {meta.rows:,}",
            hint="a row is the ciphertext of a whole chunk: use all of them, each once",
        )
    return [numbered[number] for number in range(meta.rows)]


def rows_of(storage: pa.Array, meta: Meta) -> list[memoryview]:
    """Each row of fixed-size binary as a view: nothing is copied."""
    if storage.null_count:
        raise InvalidArgument("a null in place of a ciphertext", hint="it is damaged, or was joined or filtered")
    if not len(storage):
        return []
    size = meta.row_bytes
    view = memoryview(storage.buffers()[1]).cast("B")[storage.offset * size : (storage.offset + len(storage)) * size]
    return [view[i * size : (i + 1) * size] for i in range(len(storage))]

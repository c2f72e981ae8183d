"""The only way out of an encrypted column: decryption that is counted, recorded and cannot give the key away.

An exact (BFV) answer is a function of the exact result alone while decryption is right, which its figures prove before
it runs (decryptions that may fail can be used against the key: Checri, Sirdey, Boudguiga, Bultel, "On the practical
CPAD security of exact and threshold FHE schemes", CRYPTO 2024; Cheon et al., CCS 2024). A CKKS answer holds the noise
of the ciphertext, two of which solve for the key; it is flooded, see `flooding`, and a key gives no more than its
preset's number of ciphertexts. What the owners declared when they encrypted is enforced: the fewest owners to be among.

Assumes that ciphertexts come from honest encryptions and the announced computation; SEAL's are not authenticated. What
is beyond its figures, or under another key, is refused, as far as it shows.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..displays import at_most
from ..errors import InvalidArgument, PolicyRefused, ProtocolViolation
from ..protocol import Entropy, SystemEntropy
from .ciphertexts import Meta, check_key
from .columns import Column
from .evaluation import split_row, values_of
from .flooding import error_after, flooded
from .keys import Record, SecretContext
from .presets import Preset
from .remainders import combined
from .serial import Buffer
from .tracking import Track, Tracker

_FLOAT = 2.0**-50  # room for eight roundings: plain summands and divisors, units to reals, the quotient


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """What an encrypted column held.

    Attributes
    ----------
    values : float, int, or array of shape (n,)
        A sum or mean as one number; else every value, 0 where it is null.
    valid : bool array or None
    error : float
        Largest difference from exact arithmetic, in the column's unit; exceeded with a probability below 2^-40.
    record : Record
        What was written to the key's records.
    """

    values: float | int | npt.NDArray[Any]
    valid: npt.NDArray[np.bool_] | None
    error: float
    record: Record

    def __float__(self) -> float:
        return float(self.values)

    def to_arrow(self) -> pa.Array:
        mask = None if self.valid is None else ~self.valid
        return pa.array(np.atleast_1d(self.values), mask=mask)

    def __str__(self) -> str:
        exact = "exact" if not self.error else f"error at most {at_most(self.error)}"
        what = f"{len(self.values):,} values" if isinstance(self.values, np.ndarray) else f"{self.values:.10g}"
        return f"{what} ({exact})"

    __repr__ = __str__


def reveal(column: Column, key: SecretContext, *, entropy: Entropy | None = None) -> Revealed:
    """Decrypt an encrypted column for whoever may see it.

    Parameters
    ----------
    column : Column
    key : SecretContext
        The key that it is under. Its holder must not be who adds up the owners' columns: the two together see each.
    entropy : Entropy, optional
        Of the noise that floods a CKKS answer; default the operating system's.

    Raises
    ------
    InvalidArgument
        The column is under another key, or a public key was given.
    PolicyRefused
        Fewer owners are in it than one of them asked for, or the key has revealed all that it may.
    ProtocolViolation
        The ciphertexts do not decrypt to what their figures say.

    Learns
    ------
    The key's holder: the values. Whoever is shown them: nothing more, ciphertexts in hand or not.
    """
    if not isinstance(key, SecretContext):
        raise InvalidArgument(
            f"a {type(key).__name__} reveals nothing",
            hint="only the holder of the SecretContext can: send it the column",
        )
    if not isinstance(column, Column):
        raise InvalidArgument(
            f"a {type(column).__name__} is no encrypted column",
            hint="he.columns(table, key) gives those of a table; reveal the columns of a dict one by one",
        )
    meta = column.meta
    check_key(meta, key.public)
    others = set(meta.owners) - {key.owner}
    if meta.min_parties > 1 and len(others) < meta.min_parties:
        count = "1 owner" if len(others) == 1 else f"{len(others)} owners"
        raise PolicyRefused(
            f"this holds values of {count}; one of them asked for {meta.min_parties} at least",
            hint="add the columns of more owners first",
        )
    rows = column.rows()
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row)
    error = revealed_error(meta, meta.track)
    record = Record(
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        digest=digest.hexdigest(),
        owners=meta.owners,
        summands=meta.track.summands,
        error=error,
    )
    key.used(record, ciphertexts=len(rows))
    found = _exact(rows, meta, key) if meta.preset.scheme == "exact" else _ckks(rows, meta, key, entropy)
    limit = (column.bound + error) * (1 + _FLOAT)
    if not bool(np.all(np.abs(found) <= limit)):
        raise ProtocolViolation("a decryption is beyond its declared bound: an overflow, or a forged ciphertext")
    if column.valid is not None:  # behind a null may be what only one operand had
        found = np.where(column.valid, found, found.dtype.type(0))
    return Revealed(values=found[0].item() if meta.folded else found, valid=column.valid, error=error, record=record)


def revealed_error(meta: Meta, track: Track) -> float:
    """Bound on the difference of a revealed value from exact arithmetic.

    SEAL's slots are the powers of 3, exponents that are 1 or 3 modulo 8. The sum of their real parts is N / 2 times the
    constant coefficient, that of the imaginary ones N / sqrt(8) times the sum of those of N / 4 and 3 N / 4. So what
    a reveal adds to the sum is a root of N / 2 times what it adds to a slot, of N where both parts hold values.
    """
    preset = meta.preset
    if preset.scheme == "exact":
        return (track.error + (track.bound * _FLOAT if _rounds(meta, track) else 0.0)) / meta.divisor
    slot = slot_error(preset, track)
    if not meta.folded:
        return slot + track.bound * _FLOAT
    slots, parts = preset.values_a_row, 2 if preset.packing == "complex" else 1
    shown = (slot - track.error) * math.sqrt(preset.degree / 2 * parts)
    return (track.error * slots + shown + track.bound * slots * _FLOAT) / meta.divisor


def _whole(meta: Meta, track: Track) -> bool:
    """Whether exact values are shown as int64."""
    return meta.preset.resolution == meta.divisor == 1.0 and track.bound + track.error < 2.0**63


def _rounds(meta: Meta, track: Track) -> bool:
    """Whether exact values, shown as float64, may be none; a preset's resolution is a power of two."""
    return not _whole(meta, track) and (
        meta.divisor != 1.0 or (track.bound + track.error) / meta.preset.resolution >= 2.0**53
    )


def slot_error(preset: Preset, track: Track) -> float:
    """CKKS: bound on the error of a flooded slot."""
    scale = Tracker(preset).scale_of(track)
    bound = (track.bound + track.error) * math.sqrt(2)
    return track.error + error_after(track.noise, preset.degree, scale=scale, bound=bound, reveals=preset.reveals)


def exactly(rows: Sequence[Buffer], key: SecretContext, *, primes: int, folded: bool = False) -> npt.NDArray[Any]:
    """Exact rows as integers, every slot of every chunk in order, or their sum over all slots."""
    limbs: list[list[npt.NDArray[np.int64]]] = [[] for _ in key.preset.rings]
    for row in rows:
        for i, part in enumerate(split_row(row, key.preset)):
            ring, decryptor = key.preset.rings[i], key.decryptors[i]
            ciphertext, plain = ring.ciphertext(part, primes), ring.new_plain()
            if not decryptor.invariant_noise_budget(ciphertext):
                raise ProtocolViolation("a ciphertext is under another key, or holds more noise than its figures say")
            decryptor.decrypt(ciphertext, plain)
            limbs[i].append(ring.decode(plain))
    if folded:
        return combined([np.concatenate(parts).sum(keepdims=True) for parts in limbs], key.preset.plain_primes)
    return np.concatenate([combined(chunk, key.preset.plain_primes) for chunk in zip(*limbs, strict=True)])


def approximately(
    rows: Sequence[Buffer], key: SecretContext, track: Track, entropy: Entropy
) -> npt.NDArray[np.float64]:
    """CKKS rows as reals, every slot of every chunk in order, flooded."""
    preset, ring = key.preset, key.preset.rings[0]
    scale, primes = Tracker(preset).scale_of(track), preset.primes_at(track.level)
    parts = []
    for row in rows:
        plain = ring.new_plain()
        key.decryptors[0].decrypt(ring.ciphertext(row, primes, scale=scale), plain)
        shown = flooded(
            ring.coefficients(plain, primes),
            scale=scale,
            bound=(track.bound + track.error) * (math.sqrt(2) if preset.packing == "complex" else 1),
            error=track.noise,
            reveals=preset.reveals,
            entropy=entropy,
        )
        parts.append(values_of(shown, preset))
    return np.concatenate(parts)


def _exact(rows: Sequence[Buffer], meta: Meta, key: SecretContext) -> npt.NDArray[Any]:
    units = exactly(rows, key, primes=meta.primes, folded=meta.folded)[: 1 if meta.folded else meta.length]
    if not _whole(meta, meta.track):
        return np.asarray(units * meta.preset.resolution / meta.divisor, np.float64)
    if np.abs(units).max() >= 1 << 63:
        raise ProtocolViolation("a decryption is beyond its declared bound: an overflow, or a forged ciphertext")
    return units.astype(np.int64)


def _ckks(rows: Sequence[Buffer], meta: Meta, key: SecretContext, entropy: Entropy | None) -> npt.NDArray[np.float64]:
    found = approximately(rows, key, meta.track, entropy or SystemEntropy())
    if meta.folded:
        return np.array([math.fsum(found.tolist()) / meta.divisor])
    return found[: meta.length]

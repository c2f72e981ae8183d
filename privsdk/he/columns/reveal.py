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

from ...crypto.seal.circuit import approximately, exactly
from ...crypto.seal.keys import Record, SecretContext
from ...crypto.seal.serial import Buffer
from ...display.cards import at_most
from ...errors import InvalidArgument, PolicyRefused, ProtocolViolation
from ...protocol.roles import Entropy, SystemEntropy
from .arrow import FLOAT_ERROR, Meta, check_key, revealed_error, shown_whole
from .column import Column


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
    error = revealed_error(meta, meta.estimate)
    record = Record(
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        digest=digest.hexdigest(),
        owners=meta.owners,
        summands=meta.estimate.summands,
        error=error,
    )
    key.used(record, ciphertexts=len(rows))
    found = _exact(rows, meta, key) if meta.preset.scheme == "exact" else _ckks(rows, meta, key, entropy)
    limit = (column.bound + error) * (1 + FLOAT_ERROR)
    if not bool(np.all(np.abs(found) <= limit)):
        raise ProtocolViolation("a decryption is beyond its declared bound: an overflow, or a forged ciphertext")
    if column.valid is not None:  # behind a null may be what only one operand had
        found = np.where(column.valid, found, found.dtype.type(0))
    return Revealed(values=found[0].item() if meta.folded else found, valid=column.valid, error=error, record=record)


def _exact(rows: Sequence[Buffer], meta: Meta, key: SecretContext) -> npt.NDArray[Any]:
    units = exactly(rows, key, primes=meta.primes, folded=meta.folded)[: 1 if meta.folded else meta.length]
    if not shown_whole(meta, meta.estimate):
        return np.asarray(units * meta.preset.resolution / meta.divisor, np.float64)
    if np.abs(units).max() >= 1 << 63:
        raise ProtocolViolation("a decryption is beyond its declared bound: an overflow, or a forged ciphertext")
    return units.astype(np.int64)


def _ckks(rows: Sequence[Buffer], meta: Meta, key: SecretContext, entropy: Entropy | None) -> npt.NDArray[np.float64]:
    found = approximately(rows, key, meta.estimate, entropy or SystemEntropy())
    if meta.folded:
        return np.array([math.fsum(found.tolist()) / meta.divisor])
    return found[: meta.length]

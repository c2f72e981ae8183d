"""Sums of vectors over parties: each contributor encrypts, an aggregator adds, a key holder who contributes nothing
decrypts.

Papers: additively homomorphic aggregation as in Phong, Aono, Hayashi, Wang, Moriai, "Privacy-Preserving Deep Learning
via Additively Homomorphic Encryption", IEEE TIFS 2018, section IV, with BFV (Fan, Vercauteren, ePrint 2012/144) or CKKS
(Cheon, Kim, Kim, Song, ASIACRYPT 2017) in place of their schemes, and with a key holder apart from the data owners.

    key holder K               contributor P_i              aggregator A (one of the P_i)
    --- PublicKeys ----------->
    --- PublicKeys ---------------------------------------->
                               --- Encrypted: Enc(v_i) ---->
    <-- Encrypted: sum of Enc(v_i) -------------------------
    totals = Dec(sum)

Learns: K the totals; A and the contributors nothing; an onlooker the length of the vectors.
Assumes: semantic security of the scheme at 128 bits, semi-honest parties. K and A together see every contribution: the
collusion threshold is 1. Cost: a ciphertext of 56 KiB for every 4096 values and limb, one way, for each contributor.

`Summation` is the seam to other providers of the same sum, such as secure aggregation by masks; `EncryptedSum` is this
one. One object serves one role through a whole run; its keys are fresh in each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Role, checkpoint, gather, hear, tell, tell_all
from ..seal.keys import PublicContext, SecretContext
from ..seal.parallel import added
from ..seal.presets import Preset
from ..seal.serial import Buffer

BLOBS = pa.schema([pa.field("blob", pa.large_binary(), nullable=False)])
ROWS_A_STEP = 128  # ciphertexts between checkpoints: 0.2 s of encrypting on one core


class PublicKeys(Message, frozen=True, kw_only=True, tag="he.sums.PublicKeys"):
    """The coefficients of a public key for each limb."""

    SCHEMA = BLOBS
    MAX_BYTES = 4 << 20
    table: pa.Table


class Encrypted(Message, frozen=True, kw_only=True, tag="he.sums.Encrypted"):
    """Ciphertexts, one row a chunk, under the key with this fingerprint."""

    SCHEMA = BLOBS
    MAX_BYTES = 1 << 30
    key: str
    table: pa.Table


V = TypeVar("V", bound=float)


class Scheme(Protocol[V]):
    """An additively homomorphic scheme for vectors of V: see `crypto.seal.schemes`."""

    @property
    def preset(self) -> Preset: ...
    @property
    def rows(self) -> int: ...
    def units(self, vector: Sequence[V] | npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def encrypt(self, key: PublicContext, vector: npt.NDArray[Any]) -> list[bytes]: ...
    def decrypt(self, key: SecretContext, rows: Sequence[Buffer]) -> npt.NDArray[Any]: ...
    def totals(self, slots: npt.NDArray[Any]) -> list[V]: ...


class Summation(Protocol):
    """Sums vectors over contributors, round after round; each method is one role's part of a round."""

    def set_up(self) -> Role[None]:
        """Agree on keys, once before the first round; every role calls it."""

    def contribute(self, vector: Sequence[int] | npt.NDArray[np.int64]) -> Role[None]:
        """A contributor's part."""

    def collect(self) -> Role[list[int]]:
        """The key holder's part: the totals."""


class EncryptedSum(Generic[V]):
    """One role's side of encrypted sums of one scheme. The last contributor is the aggregator."""

    def __init__(self, scheme: Scheme[V], *, me: str, contributors: tuple[str, ...], key_holder: str) -> None:
        self._scheme = scheme
        self._me = me
        self._contributors = contributors
        self._aggregator = contributors[-1]
        self._key_holder = key_holder
        self._secret: SecretContext | None = None
        self._public: PublicContext | None = None

    @property
    def holds_key(self) -> bool:
        return self._me == self._key_holder

    def set_up(self) -> Role[None]:
        if self.holds_key:
            self._secret = SecretContext.new(self._scheme.preset, owner=self._me)
            self._public = self._secret.public
            message = PublicKeys(table=_blobs(self._public.rows))
            yield from tell_all(dict.fromkeys(self._contributors, message))
        else:
            received = yield from hear(self._key_holder, PublicKeys)
            self._public = PublicContext(self._scheme.preset, received.table.column("blob").to_pylist())

    def contribute(self, vector: Sequence[V] | npt.NDArray[Any]) -> Role[None]:
        units, size = self._scheme.units(vector), self._scheme.preset.values_a_row * ROWS_A_STEP
        mine: list[bytes] = []
        for start in range(0, len(units), size):
            yield from checkpoint("encrypting", start, len(units))
            mine += self._scheme.encrypt(self._key, units[start : start + size])
        if self._me != self._aggregator:
            yield from tell(self._aggregator, self._encrypted(mine))
            return
        others = self._contributors[:-1]
        received = yield from gather(others, Encrypted)
        summands = [mine, *(self._checked(received[party], party) for party in others)]
        totals: list[bytes] = []
        for start in range(0, self._scheme.rows, ROWS_A_STEP):
            yield from checkpoint("adding", start, self._scheme.rows)
            totals += added(self._key, [rows[start : start + ROWS_A_STEP] for rows in summands])
        yield from tell(self._key_holder, self._encrypted(totals))

    def collect(self) -> Role[list[V]]:
        total = yield from hear(self._aggregator, Encrypted)
        if self._secret is None:
            raise RuntimeError("collect before set_up")
        rows, parts = self._checked(total, self._aggregator), []
        for start in range(0, len(rows), ROWS_A_STEP):
            yield from checkpoint("decrypting", start, len(rows))
            parts.append(self._scheme.decrypt(self._secret, rows[start : start + ROWS_A_STEP]))
        return self._scheme.totals(np.concatenate(parts))

    @property
    def _key(self) -> PublicContext:
        if self._public is None:
            raise RuntimeError("contribute before set_up")
        return self._public

    def _encrypted(self, rows: Sequence[bytes]) -> Encrypted:
        return Encrypted(key=self._key.fingerprint, table=_blobs(rows))

    def _checked(self, message: Encrypted, sender: str) -> Sequence[Buffer]:
        if message.key != self._key.fingerprint:
            raise ProtocolViolation(f"{sender} encrypted under another key than this run's")
        if message.table.num_rows != self._scheme.rows:
            raise ProtocolViolation(
                f"{sender} sent {message.table.num_rows} ciphertexts where {self._scheme.rows} were due"
            )
        rows = [memoryview(blob.as_buffer() or b"") for blob in message.table.column("blob")]
        if any(len(row) != self._scheme.preset.row_bytes() for row in rows):
            raise ProtocolViolation(f"{sender} sent something that is not a ciphertext of these parameters")
        return rows


def _blobs(rows: Sequence[bytes]) -> pa.Table:
    return pa.table({"blob": pa.array(rows, pa.large_binary())}, schema=BLOBS)

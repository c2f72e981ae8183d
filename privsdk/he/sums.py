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
collusion threshold is 1. Cost: a ciphertext of 61 kB for every 4096 values and limb, one way, for each contributor.

`Summation` is the seam to other providers of the same sum, such as secure aggregation by masks; `EncryptedSum` is this
one. One object serves one role through a whole run; its keys are fresh in each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from ..errors import ProtocolViolation
from ..messages import Message
from ..protocol import Role, gather, hear, tell, tell_all
from .contexts import PublicContext, SecretContext, check_blob

BLOBS = pa.schema([pa.field("blob", pa.large_binary(), nullable=False)])


class PublicKeys(Message, frozen=True, kw_only=True, tag="he.sums.PublicKeys"):
    """One serialised public context for each limb."""

    SCHEMA = BLOBS
    MAX_BYTES = 4 << 20
    table: pa.Table


class Encrypted(Message, frozen=True, kw_only=True, tag="he.sums.Encrypted"):
    """Ciphertexts, limb by limb and in each chunk by chunk, under the keys with these fingerprints."""

    SCHEMA = BLOBS
    MAX_BYTES = 1 << 30
    keys: tuple[str, ...]
    table: pa.Table


V = TypeVar("V", bound=float)


class Scheme(Protocol[V]):
    """An additively homomorphic scheme for vectors of V: see `he.schemes`."""

    @property
    def ciphertexts(self) -> int: ...
    def keys(self) -> list[SecretContext]: ...
    def encrypt(self, keys: Sequence[PublicContext], vector: Sequence[V]) -> list[bytes]: ...
    def add(self, keys: Sequence[PublicContext], summands: Sequence[Sequence[bytes]]) -> list[bytes]: ...
    def decrypt(self, keys: Sequence[SecretContext], blobs: Sequence[bytes]) -> list[V]: ...


class Summation(Protocol):
    """Sums vectors over contributors, round after round; each method is one role's part of a round."""

    def set_up(self) -> Role[None]:
        """Agree on keys, once before the first round; every role calls it."""

    def contribute(self, vector: Sequence[int]) -> Role[None]:
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
        self._secret: list[SecretContext] = []
        self._keys: list[PublicContext] = []

    @property
    def holds_key(self) -> bool:
        return self._me == self._key_holder

    def set_up(self) -> Role[None]:
        if self.holds_key:
            self._secret = self._scheme.keys()
            self._keys = [key.public for key in self._secret]
            message = PublicKeys(table=_blobs([key.blob for key in self._keys]))
            yield from tell_all(dict.fromkeys(self._contributors, message))
        else:
            received = yield from hear(self._key_holder, PublicKeys)
            self._keys = [PublicContext(blob) for blob in received.table.column("blob").to_pylist()]
            own = self._scheme.keys()  # thrown away: they show which parameters are due
            if [key.parameters for key in self._keys] != [key.public.parameters for key in own]:
                raise ProtocolViolation(f"{self._key_holder} sent keys of other parameters")

    def contribute(self, vector: Sequence[V]) -> Role[None]:
        mine = self._scheme.encrypt(self._keys, vector)
        if self._me != self._aggregator:
            yield from tell(self._aggregator, self._encrypted(mine))
            return
        others = self._contributors[:-1]
        received = yield from gather(others, Encrypted)
        summands = [mine, *(self._checked(received[party], party) for party in others)]
        yield from tell(self._key_holder, self._encrypted(self._scheme.add(self._keys, summands)))

    def collect(self) -> Role[list[V]]:
        total = yield from hear(self._aggregator, Encrypted)
        return self._scheme.decrypt(self._secret, self._checked(total, self._aggregator))

    def _encrypted(self, blobs: list[bytes]) -> Encrypted:
        return Encrypted(keys=self._fingerprints(), table=_blobs(blobs))

    def _fingerprints(self) -> tuple[str, ...]:
        return tuple(key.fingerprint for key in self._keys)

    def _checked(self, message: Encrypted, sender: str) -> list[bytes]:
        if message.keys != self._fingerprints():
            raise ProtocolViolation(f"{sender} encrypted under other keys than this run's")
        if message.table.num_rows != self._scheme.ciphertexts:
            raise ProtocolViolation(
                f"{sender} sent {message.table.num_rows} ciphertexts where {self._scheme.ciphertexts} were due"
            )
        return [check_blob(blob, sender) for blob in message.table.column("blob").to_pylist()]


def _blobs(blobs: list[bytes]) -> pa.Table:
    return pa.table({"blob": pa.array(blobs, pa.large_binary())}, schema=BLOBS)

"""Sums of vectors over parties: each contributor encrypts, an aggregator adds, a key holder who contributes nothing
decrypts.

Papers: additively homomorphic aggregation as in Phong, Aono, Hayashi, Wang, Moriai, "Privacy-Preserving Deep Learning
via Additively Homomorphic Encryption", IEEE TIFS 2018, section IV, with BFV (Fan, Vercauteren, ePrint 2012/144) or CKKS
(Cheon, Kim, Kim, Song, ASIACRYPT 2017) in place of their schemes, and with a key holder apart from the data owners.

    key holder K               contributor P_i              aggregator A (the last P_i)
    --- PublicKeys ----------->
    --- PublicKeys ---------------------------------------->
                               --- Encrypted: Enc(v_i) ---->
    <-- Encrypted: sum of Enc(v_i) -------------------------
    totals = Dec(sum)

Learns: K the totals; A and the contributors nothing; an eavesdropper the length of the vectors.
Assumes: semantic security of the scheme at 128 bits, semi-honest parties. K and A together see every contribution: the
collusion threshold is 1. Cost: a ciphertext of 56 KiB for every 4096 values and limb, one way, for each contributor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from ...errors import InvalidArgument, ProtocolViolation
from ...governance.learns import (
    Caller,
    CiphertextsOnly,
    Coalition,
    Eavesdropper,
    EveryContribution,
    Knowledge,
    Learns,
    Parties,
    RoleName,
)
from ...protocol.messages import Message
from ...protocol.operation import Operation, Request
from ...protocol.roles import Role, checkpoint, gather, hear, tell, tell_all
from ..seal.keys import PublicContext, SecretContext
from ..seal.parallel import added
from ..seal.schemes import ApproximateScheme, ExactScheme
from ..seal.serial import Buffer
from .base import Sum, Totals, Vector, check_whole

P = TypeVar("P", bound=msgspec.Struct)


def check_key_holder(request: Request) -> None:
    """Raise InvalidArgument unless a request has contributors with a table each and then a key holder without."""
    contributors, holder = request.parties[:-1], request.parties[-1:]
    if not contributors or set(request.operands) != set(contributors) or holder[0] in request.operands:
        raise InvalidArgument(f"{request.operation} takes contributors with a table each and a key holder without")


def key_holder_roles(request: Request) -> dict[str, tuple[RoleName, ...]]:
    """Those of such a request: the last contributor adds up."""
    *contributors, aggregator, holder = request.parties
    adds = {aggregator: (RoleName.CONTRIBUTOR, RoleName.AGGREGATOR), holder: (RoleName.KEY_HOLDER,)}
    return {**dict.fromkeys(contributors, (RoleName.CONTRIBUTOR,)), **adds}


class KeyHolderSum(Operation[P]):
    """An operation whose answer is a sum that the key holder decrypts for the caller."""

    @property
    def key_holder(self) -> str:
        return self.request.parties[-1]

    def check(self) -> None:
        check_key_holder(self.request)

    def contributors(self) -> tuple[str, ...]:
        return self.request.parties[:-1]

    def recipients(self) -> tuple[str, ...]:
        return (self.key_holder, self.request.caller)

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        return key_holder_roles(self.request)

    def learned(
        self, holder: Sequence[Knowledge], caller: Sequence[Knowledge], eavesdropper: Knowledge
    ) -> tuple[Learns, ...]:
        """Who learns what, where these are what the key holder, the caller and an eavesdropper learn."""
        return (
            Learns.of(Parties((self.key_holder,)), *holder),
            Learns.of(Caller(self.request.caller), *caller),
            Learns.of(Parties(self.contributors()), *self.seen_by_contributors()),
            Learns.of(Eavesdropper(), eavesdropper),
            self.coalition(),
        )

    def seen_by_contributors(self) -> tuple[Knowledge, ...]:
        """What a contributor receives."""
        return (CiphertextsOnly(),)

    def coalition(self) -> Learns:
        """What parties learn who put together what they hold."""
        members = Coalition((self.contributors()[-1], self.key_holder))
        return Learns.of(members, EveryContribution(contribution="totals"))


BLOBS = pa.schema([pa.field("blob", pa.large_binary(), nullable=False)])
ROWS_A_STEP = 128  # ciphertexts between checkpoints: 0.2 s of encrypting on one core

Scheme = ExactScheme | ApproximateScheme


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


class Keys(NamedTuple):
    """What a role has of one scheme: the key holder both keys, the others the public one."""

    scheme: Scheme
    public: PublicContext
    secret: SecretContext | None


class EncryptedSum(Sum):
    """Under encryption: the coordinator holds the key. The last client is the aggregator; a client lost ends the run.

    Parameters
    ----------
    me, coordinator : str
    clients : tuple of str
        Every sum is over all of them.
    scheme : ExactScheme or ApproximateScheme, optional
        That of every sum; its keys are sent by `set_up`. Without one the integers of each length and largest total have
        keys of their own, sent with the first such sum.
    """

    def __init__(self, *, me: str, clients: tuple[str, ...], coordinator: str, scheme: Scheme | None = None) -> None:
        self._me = me
        self._clients = clients
        self._aggregator = clients[-1]
        self._coordinator = coordinator
        self._scheme = scheme
        self._keys: dict[tuple[int, int] | None, Keys] = {}

    def set_up(self) -> Role[None]:
        """Make and send the keys, where the scheme is known beforehand."""
        if self._scheme is not None:
            self._keys[None] = yield from self._agree(self._scheme)

    def contribute(self, name: str, parties: Sequence[str], vector: Vector, largest: int) -> Role[None]:
        """Encrypt the vector; at the aggregator add up."""
        check_whole(name, parties, self._clients)
        keys = yield from self._keys_of(len(vector), largest)
        scheme = keys.scheme
        units, size = scheme.units(vector), scheme.preset.values_a_row * ROWS_A_STEP
        mine: list[bytes] = []
        for start in range(0, len(units), size):
            yield from checkpoint("encrypting", start, len(units))
            mine += scheme.encrypt(keys.public, units[start : start + size])
        if self._me != self._aggregator:
            yield from tell(self._aggregator, _message(keys, mine))
            return
        others = self._clients[:-1]
        received = yield from gather(others, Encrypted)
        summands = [mine, *(_checked(keys, received[party], party) for party in others)]
        totals: list[bytes] = []
        for start in range(0, scheme.rows, ROWS_A_STEP):
            yield from checkpoint("adding", start, scheme.rows)
            totals += added(keys.public, [rows[start : start + ROWS_A_STEP] for rows in summands])
        yield from tell(self._coordinator, _message(keys, totals))

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        """Decrypt the sum."""
        check_whole(name, parties, self._clients)
        keys = yield from self._keys_of(length, largest)
        total = yield from hear(self._aggregator, Encrypted)
        if keys.secret is None:
            raise RuntimeError(f"{self._me} collects and does not hold the key")
        rows, parts = _checked(keys, total, self._aggregator), []
        for start in range(0, len(rows), ROWS_A_STEP):
            yield from checkpoint("decrypting", start, len(rows))
            parts.append(keys.scheme.decrypt(keys.secret, rows[start : start + ROWS_A_STEP]))
        sums = np.array(keys.scheme.totals(np.concatenate(parts)), np.int64 if self._scheme is None else object)
        return Totals(sums, self._clients, {})

    def _keys_of(self, length: int, largest: int) -> Role[Keys]:
        kind = (length, largest) if self._scheme is None else None
        if kind is not None and kind not in self._keys:
            scheme = ExactScheme(parties=len(self._clients), length=length, max_units=largest)
            self._keys[kind] = yield from self._agree(scheme)
        return self._keys[kind]

    def _agree(self, scheme: Scheme) -> Role[Keys]:
        if self._me == self._coordinator:
            secret = SecretContext.new(scheme.preset, owner=self._me)
            yield from tell_all(dict.fromkeys(self._clients, PublicKeys(table=_blobs(secret.public.rows))))
            return Keys(scheme, secret.public, secret)
        received = yield from hear(self._coordinator, PublicKeys)
        return Keys(scheme, PublicContext(scheme.preset, received.table.column("blob").to_pylist()), None)


def _message(keys: Keys, rows: Sequence[bytes]) -> Encrypted:
    return Encrypted(key=keys.public.fingerprint, table=_blobs(rows))


def _checked(keys: Keys, message: Encrypted, sender: str) -> Sequence[Buffer]:
    """The ciphertexts of a message, as many and as long as they must be."""
    scheme = keys.scheme
    if message.key != keys.public.fingerprint:
        raise ProtocolViolation(f"{sender} encrypted under another key than this run's")
    if message.table.num_rows != scheme.rows:
        raise ProtocolViolation(f"{sender} sent {message.table.num_rows} ciphertexts where {scheme.rows} were due")
    rows = [memoryview(blob.as_buffer() or b"") for blob in message.table.column("blob")]
    if any(len(row) != scheme.preset.row_bytes() for row in rows):
        raise ProtocolViolation(f"{sender} sent something that is not a ciphertext of these parameters")
    return rows


def _blobs(rows: Sequence[bytes]) -> pa.Table:
    return pa.table({"blob": pa.array(rows, pa.large_binary())}, schema=BLOBS)

"""Keys and ciphertexts of an encrypted sum that do not fit this run are a ProtocolViolation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from harness import play

from privsdk.crypto.seal.keys import PublicContext, SecretContext
from privsdk.crypto.seal.schemes import ApproximateScheme, ExactScheme
from privsdk.crypto.sums.encrypted import BLOBS, Encrypted, EncryptedSum, PublicKeys
from privsdk.errors import ProtocolViolation
from privsdk.protocol.roles import Role

SCHEME = ExactScheme(parties=2, length=3, max_units=2**40)  # two limbs
PARTIES = ("north", "south")


def blobs(values: list[bytes | None]) -> pa.Table:
    return pa.table({"blob": pa.array(values, pa.large_binary())})


def side(me: str, scheme: Any = SCHEME) -> Role[Any]:
    sum_ = EncryptedSum(me=me, clients=PARTIES, coordinator="k", scheme=scheme)
    yield from sum_.set_up()
    if me == "k":
        return (yield from sum_.collect("totals", PARTIES, scheme.length, 1))
    yield from sum_.contribute("totals", PARTIES, np.arange(1, scheme.length + 1), 1)
    return None


def finish(role: Role[Any], heard: Any) -> None:
    """Resume a role with what it heard and let it go on to its end."""
    while True:
        role.send(heard)
        heard = {}


def key_of(scheme: Any) -> SecretContext:
    return SecretContext.new(scheme.preset)


CKKS = ApproximateScheme(parties=2, length=1, bounds=(1.0,))
PARTS, SIZE, MALFORMED = "parts where 2 are due", "a key of [0-9,]+ bytes where", "malformed"

BAD_KEYS: dict[str, tuple[Callable[[list[bytes]], list[bytes | None]], str]] = {
    "garbage": (lambda good: [b"garbage" * 99, good[1]], SIZE),
    "garbage of the right size": (lambda good: [b"\xff" * len(good[0]), good[1]], MALFORMED),
    "nothing": (lambda good: [b"", good[1]], SIZE),
    "null": (lambda good: [None, good[1]], PARTS),
    "half a key": (lambda good: [good[0][: len(good[0]) // 2], good[1]], SIZE),
    "a large key": (lambda good: [good[0] + bytes(1 << 18), good[1]], SIZE),
    "too few": (lambda good: good[:1], PARTS),
    "too many": (lambda good: [*good, good[0]], PARTS),
    "none": (lambda good: [], PARTS),
    "another ring's": (lambda good: [good[0], key_of(CKKS).public.rows[0]], SIZE),
}


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_keys_that_do_not_fit_are_refused(bad: str) -> None:
    good = list(key_of(SCHEME).public.rows)
    make, reason = BAD_KEYS[bad]
    with pytest.raises(ProtocolViolation, match=reason):
        play(side("north"), PublicKeys(table=blobs(make(good))))
    play(side("north"), PublicKeys(table=blobs(list(good))))


def of_ckks() -> bytes:
    return CKKS.encrypt(key_of(CKKS).public, CKKS.units([1.0]))[0]


NONE, COUNT = "that is not a ciphertext of these parameters", "ciphertexts where 1 were due"

BAD_CIPHERTEXTS: dict[str, tuple[Callable[[bytes], list[bytes | None]], str]] = {
    "garbage": (lambda good: [b"garbage" * 99], NONE),
    "garbage of the right size": (lambda good: [b"\xff" * len(good)], "malformed"),
    "nothing": (lambda good: [b""], NONE),
    "null": (lambda good: [None], NONE),
    "half a ciphertext": (lambda good: [good[: len(good) // 2]], NONE),
    "a large ciphertext": (lambda good: [good + bytes(1 << 17)], NONE),
    "another scheme": (lambda good: [of_ckks()], NONE),
    "too many": (lambda good: [good, good], COUNT),
    "none": (lambda good: [], COUNT),
}


def bad_message(bad: str, key: PublicContext) -> Encrypted:
    (good,) = SCHEME.encrypt(key, SCHEME.units([1, 2, 3]))
    return Encrypted(key=key.fingerprint, table=blobs(BAD_CIPHERTEXTS[bad][0](good)))


@pytest.mark.parametrize("bad", BAD_CIPHERTEXTS)
def test_an_aggregator_refuses_ciphertexts_that_do_not_fit(bad: str) -> None:
    key = key_of(SCHEME).public
    with pytest.raises(ProtocolViolation, match=BAD_CIPHERTEXTS[bad][1]):
        play(side("south"), PublicKeys(table=blobs(list(key.rows))), bad_message(bad, key))


@pytest.mark.parametrize("bad", BAD_CIPHERTEXTS)
def test_a_key_holder_refuses_ciphertexts_that_do_not_fit(bad: str) -> None:
    role = side("k")
    sent = next(role).send["north"]
    key = PublicContext(SCHEME.preset, sent.table["blob"].to_pylist())
    role.send({})
    with pytest.raises(ProtocolViolation, match=BAD_CIPHERTEXTS[bad][1]):
        finish(role, {"south": bad_message(bad, key)})


def test_ciphertexts_under_another_key_are_refused() -> None:
    mine, other = key_of(SCHEME).public, key_of(SCHEME).public
    message = Encrypted(key=other.fingerprint, table=blobs(list(SCHEME.encrypt(other, SCHEME.units([1, 2, 3])))))
    with pytest.raises(ProtocolViolation, match="north encrypted under another key than this run's"):
        play(side("south"), PublicKeys(table=blobs(list(mine.rows))), message)


def test_ciphertexts_under_another_key_that_say_otherwise_do_not_decrypt() -> None:
    role = side("k")
    sent = next(role).send["north"]
    key = PublicContext(SCHEME.preset, sent.table["blob"].to_pylist())
    role.send({})
    forged = SCHEME.encrypt(key_of(SCHEME).public, SCHEME.units([1, 2, 3]))
    with pytest.raises(ProtocolViolation, match="under another key"):
        finish(role, {"south": Encrypted(key=key.fingerprint, table=blobs(list(forged)))})


def test_the_schema_of_ciphertexts_is_fixed() -> None:
    assert BLOBS == Encrypted.SCHEMA == PublicKeys.SCHEMA

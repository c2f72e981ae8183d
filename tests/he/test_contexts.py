"""Secret keys show nothing and go nowhere; keys and ciphertexts that do not fit this run are a ProtocolViolation."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import tenseal
from harness import play

from privsdk.errors import ProtocolViolation
from privsdk.he.contexts import (
    DEGREE,
    MAX_CIPHERTEXT_BYTES,
    MAX_CONTEXT_BYTES,
    MODULUS_BITS,
    PRIMES,
    PublicContext,
    SecretContext,
)
from privsdk.he.schemes import Approximate, Exact
from privsdk.he.sums import BLOBS, Encrypted, EncryptedSum, PublicKeys
from privsdk.protocol import Role

SCHEME = Exact(parties=2, length=3, max_units=2**40)  # two limbs
PARTIES = ("north", "south")


def blobs(values: list[bytes | None]) -> pa.Table:
    return pa.table({"blob": pa.array(values, pa.large_binary())})


def serialised(context: Any, **save: bool) -> bytes:
    parts = {"save_public_key": True, "save_secret_key": False, "save_galois_keys": False, "save_relin_keys": False}
    return bytes(context.serialize(**parts | save))


@pytest.mark.parametrize(
    "use",
    [bool, iter, list, pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, lambda key: bool(key and 1)],
    ids=["bool", "iter", "list", "pickle", "copy", "deepcopy", "json", "and"],
)
def test_a_secret_key_cannot_be_used_as_a_value(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        use(SecretContext.approximate())


def test_a_secret_key_shows_its_public_fingerprint_only() -> None:
    key = SecretContext.exact(PRIMES[0])
    assert repr(key) == str(key) == f"SecretContext({key.public.fingerprint[:12]})"
    assert not hasattr(key, "__dict__")
    assert key.public.fingerprint != SecretContext.exact(PRIMES[0]).public.fingerprint


def test_a_public_key_encrypts_and_cannot_decrypt() -> None:
    secret = SCHEME.keys()
    public = [PublicContext(key.public.blob) for key in secret]
    ciphertexts = SCHEME.encrypt(public, [1, -2, 2**40])
    assert SCHEME.decrypt(secret, ciphertexts) == [1, -2, 2**40]
    assert ciphertexts != SCHEME.encrypt(public, [1, -2, 2**40])  # encryption is randomised
    for key, ciphertext in zip(public, ciphertexts, strict=True):
        assert not key.tenseal.has_secret_key()
        with pytest.raises(ValueError, match="secret"):
            tenseal.bfv_vector_from(key.tenseal, ciphertext).decrypt()


def weak() -> SecretContext:
    """Valid parameters that are not this package's."""
    return SecretContext(tenseal.context(tenseal.SCHEME_TYPE.CKKS, 2048, coeff_mod_bit_sizes=[27, 27], n_threads=1))


def ring_of(prime: int) -> Any:
    return tenseal.context(
        tenseal.SCHEME_TYPE.BFV, DEGREE, plain_modulus=prime, coeff_mod_bit_sizes=list(MODULUS_BITS), n_threads=1
    )


NOT_PUBLIC, MALFORMED, OTHER = "not a public key alone", "is malformed", "sent keys of other parameters"

BAD_KEYS: dict[str, tuple[Callable[[list[bytes]], list[bytes | None]], str]] = {
    "a secret key": (lambda good: [serialised(ring_of(PRIMES[0]), save_secret_key=True), good[1]], NOT_PUBLIC),
    "no key at all": (lambda good: [serialised(ring_of(PRIMES[0]), save_public_key=False), good[1]], NOT_PUBLIC),
    "garbage": (lambda good: [b"garbage" * 99, good[1]], MALFORMED),
    "nothing": (lambda good: [b"", good[1]], MALFORMED),
    "half a key": (lambda good: [good[0][: len(good[0]) // 2], good[1]], MALFORMED),
    "a large key": (lambda good: [good[0] + bytes(MAX_CONTEXT_BYTES), good[1]], "262144 are allowed"),
    "too few": (lambda good: good[:1], OTHER),
    "too many": (lambda good: [*good, good[0]], OTHER),
    "none": (lambda good: [], OTHER),
    "another modulus": (lambda good: [good[0], SecretContext.exact(PRIMES[2]).public.blob], OTHER),
    "another order": (lambda good: good[::-1], OTHER),
    "another scheme": (lambda good: [good[0], SecretContext.approximate().public.blob], OTHER),
    "a smaller ring": (lambda good: [good[0], weak().public.blob], OTHER),
}


def side(me: str, scheme: Any = SCHEME) -> Role[Any]:
    summation: EncryptedSum[Any] = EncryptedSum(scheme, me=me, contributors=PARTIES, key_holder="k")
    yield from summation.set_up()
    if me == "k":
        return (yield from summation.collect())
    yield from summation.contribute([1, 2, 3][: scheme.length])
    return None


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_keys_that_do_not_fit_are_refused(bad: str) -> None:
    good = [key.public.blob for key in SCHEME.keys()]  # noqa: SIM118
    make, reason = BAD_KEYS[bad]
    with pytest.raises(ProtocolViolation, match=reason):
        play(side("north"), PublicKeys(table=blobs(make(good))))
    play(side("north"), PublicKeys(table=blobs(list(good))))


def of_ckks() -> bytes:
    scheme = Approximate(parties=2, length=1, bounds=(1.0,))
    return scheme.encrypt([SecretContext.approximate().public], [1.0])[0]


def short_vector(keys: list[PublicContext]) -> bytes:
    return bytes(tenseal.bfv_vector(keys[0].tenseal, [1, 2, 3]).serialize())


NONE, COUNT = "that is not a ciphertext of these parameters", "ciphertexts where 2 were due"

BAD_CIPHERTEXTS: dict[str, tuple[Callable[[list[PublicContext], list[bytes]], list[bytes | None]], str]] = {
    "garbage": (lambda keys, good: [b"garbage" * 99, good[1]], MALFORMED),
    "nothing": (lambda keys, good: [b"", good[1]], NONE),
    "null": (lambda keys, good: [None, good[1]], NONE),
    "half a ciphertext": (lambda keys, good: [good[0][: len(good[0]) // 2], good[1]], MALFORMED),
    "a large ciphertext": (lambda keys, good: [good[0] + bytes(MAX_CIPHERTEXT_BYTES), good[1]], NONE),
    "an empty vector": (lambda keys, good: [good[0].replace(b"\x12", b"\x32", 1), good[1]], MALFORMED),  # once a crash
    "a short vector": (lambda keys, good: [short_vector(keys), good[1]], MALFORMED),
    "another scheme": (lambda keys, good: [of_ckks(), good[1]], MALFORMED),
    "too few": (lambda keys, good: good[:1], COUNT),
    "too many": (lambda keys, good: [*good, good[0]], COUNT),
    "none": (lambda keys, good: [], COUNT),
}


def bad_message(bad: str, keys: list[PublicContext]) -> Encrypted:
    fingerprints = tuple(key.fingerprint for key in keys)
    return Encrypted(keys=fingerprints, table=blobs(BAD_CIPHERTEXTS[bad][0](keys, SCHEME.encrypt(keys, [1, 2, 3]))))


@pytest.mark.parametrize("bad", BAD_CIPHERTEXTS)
def test_an_aggregator_refuses_ciphertexts_that_do_not_fit(bad: str) -> None:
    keys = [key.public for key in SCHEME.keys()]  # noqa: SIM118
    with pytest.raises(ProtocolViolation, match=BAD_CIPHERTEXTS[bad][1]):
        play(side("south"), PublicKeys(table=blobs([key.blob for key in keys])), bad_message(bad, keys))


@pytest.mark.parametrize("bad", BAD_CIPHERTEXTS)
def test_a_key_holder_refuses_ciphertexts_that_do_not_fit(bad: str) -> None:
    role = side("k")
    sent = next(role).send["north"]
    keys = [PublicContext(blob) for blob in sent.table["blob"].to_pylist()]
    role.send({})
    with pytest.raises(ProtocolViolation, match=BAD_CIPHERTEXTS[bad][1]):
        role.send({"south": bad_message(bad, keys)})


def test_ciphertexts_under_another_key_are_refused() -> None:
    mine, other = ([key.public for key in SCHEME.keys()] for _ in range(2))  # noqa: SIM118
    message = Encrypted(
        keys=tuple(key.fingerprint for key in other), table=blobs(list(SCHEME.encrypt(other, [1, 2, 3])))
    )
    with pytest.raises(ProtocolViolation, match="north encrypted under other keys than this run's"):
        play(side("south"), PublicKeys(table=blobs([key.blob for key in mine])), message)


def test_the_schema_of_ciphertexts_is_fixed() -> None:
    assert BLOBS == Encrypted.SCHEMA == PublicKeys.SCHEMA

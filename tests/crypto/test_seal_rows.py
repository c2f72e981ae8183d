"""Rows of ciphertexts and keys: what SEAL wrote comes back, and what it did not is refused without a crash."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from exact_columns import PRESETS, key_of
from forked import Forked
from rounding import roundoff
from waiting import HANGS_S

from privsdk import he
from privsdk.crypto.seal.circuit import encrypt_column
from privsdk.crypto.seal.presets import Preset, ckks_chains, exact_chains
from privsdk.crypto.seal.ring import Parameters, combined, residues, ring
from privsdk.errors import InvalidArgument, PrivsdkError, ProtocolViolation

BLOBS_CLAIM = "he: malformed ciphertexts are refused and never crash"
SMALL = Parameters(scheme="bfv", degree=4096, data=(54,), special=55, plain=1073692673)
RINGS = {
    "bfv, one prime": SMALL,
    "bfv, three primes": Parameters(scheme="bfv", degree=8192, data=(54, 54, 54), special=55, plain=1073692673),
    "ckks, of 60 bits": Parameters(scheme="ckks", degree=4096, data=(60,), special=49),
    "ckks, of 54 bits": Parameters(scheme="ckks", degree=8192, data=(54, 54, 54), special=55),
}


def row_of(parameters: Parameters, *, seeded: bool) -> bytes:
    r = ring(parameters)
    key = r.new_secret_key()
    plain = r.encode([1] * r.slots, scale=2.0**30) if parameters.scheme == "ckks" else r.encode([1] * r.slots)
    if seeded:
        return r.seeded_row(r.encryptor(key).encrypt_symmetric(plain), len(parameters.data))
    made = r.new_ciphertext()
    r.encryptor(r.public_key(r.public_key_row(key))).encrypt(plain, made)
    return r.row(made)


@pytest.mark.parametrize("seeded", [False, True], ids=["full", "seeded"])
@pytest.mark.parametrize("name", RINGS)
def test_a_row_is_all_of_a_ciphertext(name: str, seeded: bool) -> None:
    r = ring(RINGS[name])
    row = row_of(RINGS[name], seeded=seeded)
    assert len(row) == r.parameters.row_bytes(len(r.primes), seeded=seeded)
    back = r.row(r.ciphertext(row, len(r.primes)))
    assert len(back) == r.parameters.row_bytes(len(r.primes))
    if seeded:
        assert back[: len(row) - 64] == row[:-64]  # the first polynomial; the seed stands for the second
    else:
        assert back == row


@pytest.mark.parametrize("name", RINGS)
def test_keys_come_back_from_their_rows(name: str) -> None:
    r = ring(RINGS[name])
    secret = r.new_secret_key()
    again = r.secret_key(r.saved_secret(secret))
    encryptor = r.encryptor(r.public_key(r.public_key_row(secret)))
    made, plain = r.new_ciphertext(), r.new_plain()
    if RINGS[name].scheme == "bfv":
        encryptor.encrypt(r.encode(list(range(r.slots))), made)
        r.evaluator.multiply_inplace(made, made)
        r.evaluator.relinearize_inplace(made, r.relin_keys(r.relin_key_row(secret))) if len(r.primes) > 1 else None
        r.decryptor(again).decrypt(made, plain)
        if len(r.primes) > 1:
            assert (r.decode(plain) == np.arange(r.slots) ** 2).all()
    else:
        encryptor.encrypt(r.encode([1.5] * r.slots, scale=2.0**30), made)
        r.decryptor(again).decrypt(made, plain)
        assert np.abs(r.decode(plain) - 1.5).max() < 1e-3


@pytest.mark.rounding
def test_coefficients_are_the_integers_that_seal_decodes() -> None:
    r = ring(RINGS["ckks, of 54 bits"])
    values = np.random.default_rng(0).uniform(-5, 5, r.slots)
    for primes, scale in ((3, 2.0**100), (2, 2.0**40), (1, 2.0**30)):
        found = r.coefficients(r.encode(values.tolist(), scale=scale, primes=primes), primes)
        roots = np.exp(1j * np.pi * np.arange(r.parameters.degree) / r.parameters.degree)
        slots = np.fft.ifft(found.astype(np.float64) / scale * roots, norm="forward")
        powers = np.array([pow(3, j, 2 * r.parameters.degree) for j in range(r.slots)])
        assert np.abs(slots[(powers - 1) // 2] - values).max() < 2.0**12 / scale + 5 * roundoff(
            r.parameters.degree, np.float64
        )


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_residues_combine_to_the_integers_they_came_from(count: int) -> None:
    primes = (1073692673, 1073668097, 1073651713, 1073643521, 1073569793)[:count]
    modulus = int(np.prod([int(p) for p in primes], dtype=object))
    half = modulus // 2
    values = np.array([0, 1, -1, half, -half, half - 1, half // 3, -(half // 7)], object)
    back = combined([residues(values, prime).astype(np.int64) for prime in primes], primes)
    assert [int(v) for v in back] == values.tolist()


MALFORMED = {
    "nothing": lambda row, rng: b"",
    "one byte": lambda row, rng: row[:1],
    "half": lambda row, rng: row[: len(row) // 2],
    "one byte less": lambda row, rng: row[:-1],
    "one byte more": lambda row, rng: row + b"\0",
    "twice": lambda row, rng: row + row,
    "another ring's length": lambda row, rng: row + bytes(len(row) // 7 * 7),
    "all ones": lambda row, rng: b"\xff" * len(row),
    "one coefficient too large": lambda row, rng: row[:700] + b"\xff" * 16 + row[716:],
    "the last coefficient too large": lambda row, rng: row[:-8] + b"\xff" * 8,
    "random": lambda row, rng: rng.bytes(len(row)),
    "text": lambda row, rng: (b"privsdk" * len(row))[: len(row) - 3],
}


@pytest.mark.claim(BLOBS_CLAIM)
@pytest.mark.parametrize("name", RINGS)
def test_rows_that_are_no_ciphertexts_are_refused(name: str, cases: Cases) -> None:
    r, rng = ring(RINGS[name]), np.random.default_rng(1)
    row = row_of(RINGS[name], seeded=False)
    for kind, spoil in MALFORMED.items():
        with pytest.raises(ProtocolViolation):
            r.ciphertext(spoil(row, rng), len(r.primes))
        cases()
        assert kind


@pytest.mark.claim(BLOBS_CLAIM)
def test_rows_of_other_presets_and_levels_are_refused(cases: Cases) -> None:
    rows = [(name, row_of(RINGS[name], seeded=seeded)) for name in RINGS for seeded in (False, True)]
    for (theirs, row), mine in itertools.product(rows, RINGS):
        for primes in range(1, len(RINGS[mine].data) + 1):
            one, other = RINGS[theirs], RINGS[mine]
            if (one.degree, one.data, one.special, len(other.data)) == (
                other.degree,
                other.data,
                other.special,
                primes,
            ):
                continue  # the same polynomials: the preset and the key in a column's metadata tell them apart
            with pytest.raises(ProtocolViolation):
                ring(RINGS[mine]).ciphertext(row, primes)
            cases()


def fuzz(count: int) -> None:
    """Print what becomes of columns with changed bytes; a crash would end this process."""
    warnings.simplefilter("error")
    rng, found = np.random.default_rng(7), {"refused": 0, "opened": 0}
    columns = {}
    for name in ("exact", "complex"):
        for key in (key_of(name), key_of(name).public):
            column = he.encrypt(np.arange(100) % 7, 7, key)
            columns[name, column.meta.seeded] = (column.to_arrow(), key_of(name))
    for i in range(count):
        array, key = columns[list(columns)[i % len(columns)]]
        content = bytearray(array.storage[0].as_py())
        match i % 5:
            case 0:
                content[rng.integers(len(content))] ^= 1 << rng.integers(8)
            case 1:
                start = rng.integers(len(content))
                content[start : start + 64] = rng.bytes(len(content[start : start + 64]))
            case 2:
                content[: len(content) // 2] = rng.bytes(len(content) // 2)
            case 3:
                content[-68:-4] = rng.bytes(64)  # of a seeded row the seed
            case _:
                content = bytearray(rng.bytes(len(content) - 4)) + content[-4:]
        storage = pa.array([bytes(content)], array.storage.type)
        key.uses = 0
        try:
            column = he.Column.from_arrow(pa.ExtensionArray.from_storage(array.type, storage), key)
            shown = he.reveal(column.sum() if i % 2 else column + column, key)
        except PrivsdkError:
            found["refused"] += 1
            continue
        found["opened"] += 1
        if key.preset.scheme == "exact":
            truth = np.arange(100) % 7
            assert np.array_equal(shown.values, truth.sum() if i % 2 else 2 * truth), i
    print(json.dumps(found))


@pytest.mark.claim(BLOBS_CLAIM)
def test_changed_bytes_are_refused_or_opened_and_nothing_crashes(cases: Cases, soak: bool, tmp_path: Path) -> None:
    """A flipped bit that leaves a coefficient below its prime gives a valid ciphertext of other values.

    Exact ones spread a change over all slots: it is below the noise and opens to the right values, or is refused with
    overwhelming probability. CKKS has no such thing: a change above its noise and below the bound opens, changed.
    """
    count = 2000 if soak else 100
    process = Forked(fuzz, count, log=tmp_path / "log")
    printed = process.readline()
    assert process.wait(HANGS_S) == 0, (tmp_path / "log").read_text()[-2000:]
    found = json.loads(printed)
    assert found["refused"] + found["opened"] == count
    assert found["refused"] >= 0.8 * count
    cases(count)
    cases.say(f"{found['opened']} of {count} changed rows opened")


PUBLIC_KEYS = {
    "nothing": lambda blob, rng: b"",
    "garbage": lambda blob, rng: b"garbage" * 99,
    "random": lambda blob, rng: rng.bytes(len(blob)),
    "half": lambda blob, rng: blob[: len(blob) // 2],
    "more": lambda blob, rng: blob + b"\0",
    "another version": lambda blob, rng: blob.replace(b"privsdk.he.public.1", b"privsdk.he.public.2"),
    "a key file's tag": lambda blob, rng: blob.replace(b"privsdk.he.public.1", b"privsdk.he.secret.1"),
    "coefficients too large": lambda blob, rng: blob[:-100] + b"\xff" * 100,
    "a type": lambda blob, rng: blob.replace(b"4096", b"4097") + b"x",
}


@pytest.mark.claim(BLOBS_CLAIM)
def test_public_keys_that_are_none_are_refused(cases: Cases, tmp_path: Any) -> None:
    key, rng = key_of("exact"), np.random.default_rng(3)
    blob = key.public.to_bytes()
    for kind, spoil in PUBLIC_KEYS.items():
        with pytest.raises(ProtocolViolation):
            he.PublicContext.from_bytes(spoil(blob, rng))
        cases()
        assert kind
    he.SecretContext.new(key.preset).save(tmp_path / "key", "passphrase")
    with pytest.raises(ProtocolViolation, match="a secret one"):
        he.PublicContext.from_bytes((tmp_path / "key").read_bytes())
    for rows in ([], [*key.public.rows, b""], key.public.rows[:1], [b"", b""], [row[:-1] for row in key.public.rows]):
        with pytest.raises(ProtocolViolation):
            he.PublicContext(key.preset, rows)
        cases()
    with pytest.raises(ProtocolViolation):
        he.PublicContext(key.preset, [bytearray(row) for row in key.public.rows])  # type: ignore[list-item]


@pytest.mark.claim(BLOBS_CLAIM)
def test_keys_for_products_that_are_none_are_refused(cases: Cases) -> None:
    public = key_of("growing").public
    row = public.rows[-1]
    for bad in (row[:-1], row + b"\0", b"\xff" * len(row), row[: len(row) // 3], b""):
        column = he.encrypt([1.0], 1, he.PublicContext(public.preset, [public.rows[0], bad]))
        with pytest.raises(ProtocolViolation):
            (column * column).rows()
        cases()


ABSURD: dict[str, dict[str, Any]] = {
    "degree 3": {"degree": 3},
    "degree 2^20": {"degree": 1 << 20},
    "degree -4096": {"degree": -4096},
    "no data": {"data": ()},
    "too many primes": {"data": (54,) * 9},
    "a thousand primes": {"data": (2,) * 1000},
    "primes of 61 bits": {"data": (61,)},
    "primes of a billion bits": {"data": (10**9,)},
    "primes of -5 bits": {"data": (-5,)},
    "no special prime": {"special": 0},
    "99 limbs": {"limbs": 99},
    "no limbs": {"limbs": 0},
    "negative limbs": {"limbs": -1},
    "scale bits": {"scale_bits": 10**9},
    "a drop": {"drop": 1},
    "products": {"products": True},
    "no resolution": {"resolution": 0.0},
    "a negative resolution": {"resolution": -1.0},
    "nan": {"resolution": float("nan")},
    "infinity": {"resolution": float("inf")},
    "a tenth": {"resolution": 0.1},
    "no reveals": {"reveals": 0},
    "a million reveals": {"reveals": 10**6},
    "another packing": {"packing": "real"},
    "an exact ring of 16384": {"degree": 16384},
}
ABSURD_CKKS: dict[str, dict[str, Any]] = {
    "no scale": {"scale_bits": 0},
    "a scale of a billion bits": {"scale_bits": 10**9},
    "a scale beyond the modulus": {"scale_bits": 162},
    "a negative scale": {"scale_bits": -1},
    "limbs": {"limbs": 3},
    "a resolution": {"resolution": 1.0},
    "a drop of all": {"drop": 3},
    "a negative drop": {"drop": -1},
    "a drop that does not bring the scale back": {"drop": 1},
    "integers": {"packing": "integer"},
}


@pytest.mark.claim(BLOBS_CLAIM)
@pytest.mark.parametrize(("base", "change"), [("exact", c) for c in ABSURD] + [("growing", c) for c in ABSURD_CKKS])
def test_presets_from_outside_are_checked_before_anything_is_made_of_them(
    base: str, change: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = key_of(base).public
    changes = (ABSURD if base == "exact" else ABSURD_CKKS)[change]
    with pytest.raises(InvalidArgument):
        msgspec.structs.replace(public.preset, **changes)
    loose = msgspec.msgpack.decode(public.to_bytes())
    loose["preset"] |= {name: value for name, value in changes.items() if value == value}  # noqa: PLR0124
    monkeypatch.setattr("privsdk.crypto.seal.ring.Ring", None)  # made for none of them
    if changes != {"resolution": float("nan")} and change != "nan":
        with pytest.raises(ProtocolViolation, match="malformed"):
            he.PublicContext.from_bytes(msgspec.msgpack.encode(loose))
    cases()


def test_every_preset_that_choose_can_take_is_one_that_seal_takes() -> None:
    for chain in (*exact_chains(0), *exact_chains(1)):
        Preset(scheme="exact", limbs=8, resolution=1.0, **chain)
    for chain in ckks_chains():
        bits = chain["drop"] * chain["data"][-1] if chain["drop"] else sum(chain["data"]) // 2
        preset = Preset(scheme="ckks", scale_bits=bits, packing="real", products=True, **chain)
        assert preset.primes[-1].bit_length() == chain["data"][-1]
        assert len(preset.primes) == len(chain["data"])


def test_a_public_key_survives_bytes_also_the_largest() -> None:
    deepest = max(ckks_chains(), key=lambda chain: len(chain["data"]))
    preset = Preset(scheme="ckks", scale_bits=54, packing="real", products=True, **(deepest | {"drop": 1}))
    for public in (key_of("exact").public, key_of("complex").public, he.SecretContext.new(preset).public):
        data = public.to_bytes()
        again = he.PublicContext.from_bytes(data)
        assert again.fingerprint == public.fingerprint
        assert again.to_bytes() == data
        assert (again.preset, again.rows) == (public.preset, public.rows)


def test_encryption_is_randomised_in_every_limb() -> None:
    for name in PRESETS:
        key = key_of(name)
        for symmetric in (True, False):
            encryptors = key.encryptors if symmetric else key.public.encryptors
            values = np.zeros(3) if key.preset.scheme == "ckks" else np.zeros(3, np.int64)
            one, two = (encrypt_column(key.preset, encryptors, values, symmetric=symmetric)[0] for _ in range(2))
            assert one != two
            size = len(one) // max(1, key.preset.limbs)
            for i in range(max(1, key.preset.limbs)):
                assert one[i * size : (i + 1) * size] != two[i * size : (i + 1) * size]

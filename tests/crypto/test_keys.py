"""Secret keys: at rest encrypted and counted, in memory shown to nobody; rotation; public keys hold no secret."""

from __future__ import annotations

import copy
import json
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from claims import Cases
from exact_columns import PRESETS, key_of

from privsdk import he
from privsdk.crypto.seal import keyfile
from privsdk.errors import InvalidArgument, PolicyRefused
from privsdk.he.columns import reveal as revealing

CLAIM = "he: a key at rest is encrypted, and every reveal is counted there first"
STRENGTH = dict(keyfile.SCRYPT)
EXACT, CKKS = PRESETS["exact"], PRESETS["complex"]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivation as cheap as it can be: its strength is one test's matter."""
    monkeypatch.setattr(keyfile, "SCRYPT", {"n": 2, "r": 8, "p": 1})


def saved(tmp_path: Path, preset: he.Preset = EXACT, owner: str = "anna") -> tuple[he.SecretContext, Path]:
    key = he.SecretContext.new(preset, owner=owner)
    key.save(tmp_path / "key", "correct horse")
    return key, tmp_path / "key"


def test_the_derivation_is_as_slow_as_it_is_meant_to_be() -> None:
    assert STRENGTH["n"] * STRENGTH["r"] * STRENGTH["p"] >= 2**20  # 128 MiB, half a second


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("preset", [EXACT, PRESETS["growing"]], ids=["exact", "ckks"])
def test_a_key_comes_back_from_its_file(preset: he.Preset, tmp_path: Path) -> None:
    key, path = saved(tmp_path, preset)
    column = he.encrypt([1.0, 2.0, -3.0], 4, key)
    again = he.SecretContext.load(path, "correct horse")
    assert again.public.fingerprint == key.public.fingerprint
    assert (again.owner, again.created, again.generation, again.uses, again.retired) == (
        "anna",
        key.created,
        0,
        0,
        False,
    )
    shown = he.reveal(column, again)
    assert np.abs(shown.values - np.array([1, 2, -3])).max() <= shown.error
    assert he.SecretContext.load(path, "correct horse").uses == 1
    assert he.SecretContext.load(path, "correct horse").records == (shown.record,)


@pytest.mark.claim(CLAIM)
def test_another_passphrase_does_not_open_it(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    for wrong in ("correct hors", "correct horse ", "Correct horse"):
        with pytest.raises(InvalidArgument, match="does not open"):
            he.SecretContext.load(path, wrong)
    for wrong in ("",):
        with pytest.raises(InvalidArgument, match="empty passphrase"):
            he.SecretContext.load(path, wrong)
    with pytest.raises(InvalidArgument, match="empty passphrase"):
        he.SecretContext.new(EXACT).save(tmp_path / "other", "")
    with pytest.raises(InvalidArgument, match="no key file"):
        he.SecretContext.load(tmp_path / "none", "x")


@pytest.mark.claim(CLAIM)
def test_an_edited_file_does_not_open(tmp_path: Path, cases: Cases) -> None:
    key, path = saved(tmp_path)
    he.reveal(he.encrypt([1], 4, key), key)
    content = path.read_bytes()
    loose = msgspec.msgpack.decode(content)
    facts = json.loads(loose["facts"])
    assert facts["uses"] == 1
    edits: list[dict[str, Any]] = [
        {"facts": json.dumps(facts | {"uses": 0}).encode()},
        {"facts": json.dumps(facts | {"owner": "eve"}).encode()},
        {"facts": json.dumps(facts | {"records": []}).encode()},
        {"facts": loose["facts"] + b" "},
        {"facts": b""},
        {"salt": bytes(16)},
        {"salt": b""},
        {"nonce": bytes(12)},
        {"nonce": b""},
        {"nonce": bytes(500)},
        {"sealed": loose["sealed"][:-1]},
        {"sealed": b""},
        {"sealed": loose["sealed"][:99] + bytes([loose["sealed"][99] ^ 1]) + loose["sealed"][100:]},
    ]
    for edit in edits:
        path.write_bytes(msgspec.msgpack.encode(loose | edit))
        with pytest.raises(InvalidArgument, match="does not open"):
            he.SecretContext.load(path, "correct horse")
        cases()
    for bad in (
        b"",
        b"garbage",
        content[:-1],
        content + b"\0",
        key.public.to_bytes(),
        content.replace(b"key.1", b"key.2"),
    ):
        path.write_bytes(bad)
        with pytest.raises(InvalidArgument, match="no key file of this version"):
            he.SecretContext.load(path, "correct horse")
        cases()
    path.write_bytes(content)
    assert he.SecretContext.load(path, "correct horse").uses == 1


def test_a_key_is_never_written_over_and_kept_once(tmp_path: Path) -> None:
    key, path = saved(tmp_path)
    content = path.read_bytes()
    with pytest.raises(InvalidArgument, match="exists"):
        he.SecretContext.new(EXACT).save(path, "x")
    with pytest.raises(InvalidArgument, match="kept in"):
        key.save(tmp_path / "other", "x")
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["key"]


@pytest.mark.claim(CLAIM)
def test_nothing_of_the_secret_is_in_the_file_in_clear(tmp_path: Path) -> None:
    key, path = saved(tmp_path)
    content = path.read_bytes()
    for ring, secret in zip(key.preset.rings, key._secrets, strict=True):
        words = ring.saved_secret(secret)
        pieces = [words[i : i + 16] for i in range(64, len(words) - 16, 4096)]
        assert len(pieces) > 10
        assert not any(piece in content for piece in pieces)
    assert not any(row[:64] in content for row in key.public.rows)
    assert b"anna" in content  # what is in clear is known to be
    assert b"correct" not in content
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        he.reveal(he.encrypt([1], 4, key), key)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.claim(CLAIM)
def test_a_crash_may_lose_a_reveal_and_never_a_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, path = saved(tmp_path, CKKS)
    column = he.encrypt(np.ones(5000), 1, key)

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(revealing, "approximately", crash)
        with pytest.raises(KeyboardInterrupt):
            he.reveal(column, key)
    assert he.SecretContext.load(path, "correct horse").uses == key.uses == 2  # two ciphertexts
    decrypted = []
    with monkeypatch.context() as patch:
        patch.setattr(keyfile.os, "fsync", crash)
        patch.setattr(revealing, "approximately", lambda *a, **k: decrypted.append(1))
        with pytest.raises(KeyboardInterrupt):
            he.reveal(column, key)
    assert not decrypted  # what could not be counted was not opened
    assert os.listdir(tmp_path) == ["key"]
    assert he.SecretContext.load(path, "correct horse").uses == 2


@pytest.mark.claim(CLAIM)
def test_two_sessions_with_one_file_lose_no_count(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    one, two = (he.SecretContext.load(path, "correct horse") for _ in range(2))
    column = he.encrypt([1], 4, one)
    he.reveal(column, one)
    he.reveal(column, one)
    with pytest.raises(InvalidArgument, match="load it again"):
        he.reveal(column, two)
    again = he.SecretContext.load(path, "correct horse")
    assert again.uses == 2
    path.unlink()
    with pytest.raises(InvalidArgument, match="removed"):
        he.reveal(column, again)


@pytest.mark.claim(CLAIM)
def test_a_key_reveals_as_many_ciphertexts_as_its_preset_says() -> None:
    key = he.SecretContext.new(msgspec.structs.replace(CKKS, reveals=5))
    wide, narrow = he.encrypt(np.ones(8193), 1, key), he.encrypt([1.0], 1, key)
    he.reveal(wide, key)  # three
    assert key.uses == 3
    with pytest.raises(PolicyRefused, match="revealed 3 ciphertexts of the 5 it may, and this is 3 more"):
        he.reveal(wide, key)
    assert key.uses == 3
    he.reveal(narrow, key)
    he.reveal(wide.sum(), key)  # one ciphertext, of three
    with pytest.raises(PolicyRefused, match="rotate"):
        he.reveal(narrow, key)
    assert key.uses == len(key.records) + 2 == 5
    exact = he.SecretContext.new(msgspec.structs.replace(EXACT, reveals=1))
    column = he.encrypt([1], 1, exact)
    for _ in range(3):  # exact answers hold nothing but the answer
        he.reveal(column, exact)


def test_a_rotated_key_reveals_and_encrypts_no_more(tmp_path: Path) -> None:
    key, path = saved(tmp_path)
    column = he.encrypt([1, 2], 4, key)
    successor = key.rotate()
    assert (successor.generation, successor.owner, successor.uses) == (1, "anna", 0)
    assert successor.rotate().generation == 2
    assert successor.public.fingerprint != key.public.fingerprint
    with pytest.raises(InvalidArgument, match="rotated"):
        he.encrypt([1], 4, key)
    assert he.reveal(column, key).values.tolist() == [1, 2]
    again = he.SecretContext.load(path, "correct horse")
    assert again.retired
    with pytest.raises(InvalidArgument, match="rotated"):
        he.encrypt([1], 4, again)
    with pytest.raises(InvalidArgument, match="do not fit"):
        he.reveal(column, successor)


def test_fingerprints_are_of_the_key_and_of_the_preset() -> None:
    key = key_of("exact").public
    other = he.PublicContext(msgspec.structs.replace(key.preset, reveals=7), key.rows)
    found = {key.fingerprint, other.fingerprint, he.SecretContext.new(EXACT).public.fingerprint}
    assert len(found) == 3
    assert all(len(one) == 64 for one in found)
    swapped = [key.rows[1], key.rows[0]]
    assert he.PublicContext(key.preset, swapped).fingerprint not in found


@pytest.mark.parametrize(
    "use",
    [bool, iter, list, pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, lambda key: bool(key and 1), vars],
    ids=["bool", "iter", "list", "pickle", "copy", "deepcopy", "json", "and", "vars"],
)
def test_a_secret_key_cannot_be_used_as_a_value(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        use(key_of("exact"))


@pytest.mark.parametrize("use", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_refuses_to_be_serialised_says_what_to_do(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"save\(path, passphrase\)"):
        use(key_of("exact"))


def test_a_secret_key_shows_its_public_fingerprint_only() -> None:
    key = he.SecretContext.new(EXACT, owner="anna")
    assert repr(key) == str(key) == f"SecretContext({key.public.fingerprint[:12]} of anna, 0 ciphertexts revealed)"


def reachable(thing: Any, seen: set[int]) -> list[Any]:
    """Everything that Python's attributes and containers lead to from a thing."""
    if id(thing) in seen or isinstance(thing, type | str | bytes | int | float):
        return []
    seen.add(id(thing))
    parts: list[Any] = list(getattr(thing, "__dict__", {}).values())
    parts += [getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())]
    if isinstance(thing, list | tuple | set):
        parts += list(thing)
    if isinstance(thing, dict):
        parts += list(thing.values())
    return [thing, *(one for part in parts for one in reachable(part, seen))]


def test_a_public_key_made_from_bytes_leads_to_no_secret() -> None:
    key = he.SecretContext.new(PRESETS["growing"])
    public = he.PublicContext.from_bytes(key.public.to_bytes())
    column = he.encrypt([1.0], 1, public)
    (column * column).rows()
    found = reachable(public, set())
    assert not any("Decryptor" in type(one).__name__ or isinstance(one, he.SecretContext) for one in found)
    assert not any(one is key._secrets[0] for one in found)
    with pytest.raises(Exception, match=r"[Ss]ecret"):  # SEAL's own word
        public.encryptors[0].encrypt_symmetric(public.preset.rings[0].encode(1.0, scale=2.0**30))
    assert not hasattr(public, "decryptors")
    secret = key.preset.rings[0].saved_secret(key._secrets[0])
    assert secret[64:128] not in public.to_bytes()


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = he.SecretContext.new(EXACT)

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(keyfile.os, "fsync", full)
        with pytest.raises(OSError, match="space"):
            key.save(tmp_path / "key", "x")
    assert os.listdir(tmp_path) == []
    key.save(tmp_path / "key", "x")  # it was not kept, so it can be

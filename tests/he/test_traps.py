"""Every trap of TenSEAL that was met, one test each: shown in TenSEAL where that is cheap, and closed here."""

from __future__ import annotations

import ast
import copy
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tenseal as ts
from exact_columns import PRESETS, key_of
from forked import Forked
from waiting import HANGS_S

import privsdk
from privsdk import he
from privsdk.crypto.seal import circuit
from privsdk.errors import CircuitTooDeep, InvalidArgument, PrivsdkError, ProtocolViolation
from privsdk.he.columns.column import Column
from privsdk.protocol.workers import pool as workers

CLAIM = pytest.mark.claim("he: every known trap of TenSEAL is closed")
SOURCES = [path for room in ("he", "crypto") for path in Path(privsdk.__file__).with_name(room).rglob("*.py")]
assert any(path.name == "ring.py" for path in SOURCES)


def ckks() -> Any:
    made = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[40, 30, 30, 40], n_threads=1)
    made.global_scale = 2.0**30
    return made


def bfv() -> Any:
    return ts.context(ts.SCHEME_TYPE.BFV, 4096, plain_modulus=1032193, coeff_mod_bit_sizes=[54, 55], n_threads=1)


@CLAIM
def test_ciphertexts_under_two_keys_add_silently_to_garbage() -> None:
    one, other = bfv(), bfv()
    theirs = ts.bfv_vector_from(one, ts.bfv_vector(other, [1, 2, 3]).serialize())
    assert (ts.bfv_vector(one, [1, 2, 3]) + theirs).decrypt() != [2, 4, 6]  # and no error

    mine, other_key = key_of("exact"), he.SecretContext.new(PRESETS["exact"])
    x, y = he.encrypt([1, 2, 3], 4, mine), he.encrypt([1, 2, 3], 4, other_key)
    for combine in (lambda: x + y, lambda: x - y, lambda: he.weighted_sum([x, y], [1, 1])):
        with pytest.raises(InvalidArgument, match=r"under two keys.*garbage"):
            combine()
    with pytest.raises(InvalidArgument, match="do not fit"):
        Column.from_arrow(y.to_arrow(), mine)


@CLAIM
def test_an_operator_changes_no_operand() -> None:
    context = ckks()
    deep, fresh = ts.ckks_vector(context, [1.0]) * [1.0], ts.ckks_vector(context, [1.0])
    before = fresh.serialize()
    deep + fresh
    assert fresh.serialize() != before  # brought down to the other's level, in place

    key = key_of("dropping")
    key.uses = 0
    x, y = he.encrypt([1.0, 2.0], 2, key), he.encrypt([3.0, 4.0], 4, key.public)
    product = x * y
    kept = [(column, column.meta, [bytes(row) for row in column.rows()]) for column in (x, y, product)]
    for made in (product + x, x - product, y * product, -x, x * 2, x + np.ones(2), x.sum(), x**2):
        made.rows()
        he.reveal(made, key)
    for column, meta, rows in kept:
        assert column.meta == meta
        assert [bytes(row) for row in column.rows()] == rows


@CLAIM
def test_a_short_vector_is_not_replicated() -> None:
    short = ts.ckks_vector(ckks(), [1.0, 2.0])
    short += [10.0, 10.0]
    padded = ts.ckks_vector_from(short.context(), short.serialize())
    assert padded.size() == 2  # what else is in the slots it does not say

    key = key_of("growing")
    key.uses = 0
    x = he.encrypt([1.0, 2.0], 2, key) + 10
    for vector in ([1.0], [1.0, 2.0, 3.0], np.ones(4096)):
        for combine in (lambda v=vector: x + v, lambda v=vector: x * v, lambda v=vector: x.dot(v)):
            with pytest.raises(InvalidArgument, match="neither is repeated"):
                combine()
    shown = he.reveal((x + 10).sum(), key)
    assert abs(shown.values - 43) <= shown.error  # the slots behind hold no 20 each


@CLAIM
def test_an_operation_is_not_lost_before_it_runs() -> None:
    """TenSEAL's lazy vectors lose operations until they are linked to a context; ours say what they need."""
    unlinked = ts.lazy_ckks_vector_from(ts.ckks_vector(ckks(), [1.0, 2.0]).serialize())
    with pytest.raises(Exception, match=r"."):
        (unlinked + unlinked).decrypt()

    key = key_of("exact")
    x = he.encrypt([1, 2], 2, key)
    again = he.columns(pa.table({"a": (x + x).to_arrow()}), key.public)["a"] * 3
    assert he.reveal(again - 1, key).values.tolist() == [5, 11]


@CLAIM
def test_a_public_context_holds_no_secret() -> None:
    """`make_context_public` empties a context that held the key; ours, made of bytes, never did: see test_keys."""
    context = ckks()
    vector = ts.ckks_vector(context, [1.0, 2.0])
    secret = context.secret_key()
    context.make_context_public()
    assert vector.decrypt(secret)  # the key is still with whoever held it, in the same process

    public = he.PublicContext.from_bytes(key_of("exact").public.to_bytes())
    assert set(vars(public)) <= {"preset", "rows", "encryptors", "fingerprint", "relin"}
    assert not [name for name in dir(public) if "secret" in name.lower() or "decrypt" in name.lower()]
    with pytest.raises(InvalidArgument, match="reveals nothing"):
        he.reveal(he.encrypt([1], 1, public), public)  # type: ignore[arg-type]


@CLAIM
def test_an_overflow_is_refused() -> None:
    total = ts.bfv_vector(bfv(), [1032193 // 2])
    assert (total + total).decrypt()[0] < 0  # wrapped, and no error

    key = key_of("exact")
    x = he.encrypt([2.0**57], 2.0**57, key)
    with pytest.raises(CircuitTooDeep, match="totals of up to"):
        x + x + x + x
    with pytest.raises(CircuitTooDeep, match="totals of up to"):
        he.encrypt(np.full(9, 2.0**57), 2.0**57, key).sum()


@CLAIM
def test_an_exhausted_noise_budget_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    context = bfv()
    spent = ts.bfv_vector(context, [3, 1, 2]) * [2, 1, 2] * [2, 1, 2] * [1, 2, 1]
    assert spent.decrypt() != [12, 2, 8]  # and no error

    key = key_of("exact")
    x = he.encrypt([3, 1, 2], 4, key)
    with pytest.raises(CircuitTooDeep, match="noise"):
        x * np.array([2, 1, 2])
    monkeypatch.setattr("privsdk.crypto.seal.noise.NoiseEstimator.checked", lambda self, estimate: estimate)
    with pytest.raises(ProtocolViolation, match="noise"):  # and where figures were wrong, when it is opened
        he.reveal(x * np.array([2, 1, 2]), key)


@CLAIM
def test_there_are_no_galois_keys_to_make_again() -> None:
    """`v.copy()` and `1 - v` made them anew in TenSEAL, up to a second; no operation here takes any."""
    used = {
        node.attr
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert not [name for name in used if "galois" in name.lower() or "rotate_" in name]
    key = key_of("complex")
    x = he.encrypt(np.ones(9), 1, key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenseal.sealapi.KeyGenerator", None)  # nobody makes keys of any kind
        (1 - x).rows()
        copy.copy(x)


@CLAIM
def test_keys_are_not_pickled_and_columns_travel_as_arrow() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(ckks())
    key = key_of("exact")
    with pytest.raises(TypeError, match="never serialised"):
        pickle.dumps(key)
    array = he.encrypt([1, 2], 2, key).to_arrow()
    back = pickle.loads(pickle.dumps(array))  # noqa: S301 - Arrow's own form
    assert he.reveal(Column.from_arrow(back, key), key).values.tolist() == [1, 2]


@CLAIM
def test_a_notebook_can_go_on_while_a_column_is_encrypted() -> None:
    """SEAL holds the GIL in every call; one is a millisecond here, and long columns go to spawned workers."""
    public = key_of("exact").public
    he.encrypt(np.ones(9), 1, public)
    within, stop, turns = threading.Event(), threading.Event(), 0

    def tick() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += within.is_set()  # while a chunk is encrypted
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    calls = 0
    while turns < 30 and calls < 3000:
        within.set()
        circuit.encrypt_column(public.preset, public.encryptors, np.ones(4096, np.int64), symmetric=False)
        within.clear()
        calls += 1
    stop.set()
    thread.join()
    assert turns >= 30, f"the other thread had {turns} turns in {calls} calls"


@CLAIM
def test_nothing_forks_and_no_threads_are_asked_for() -> None:
    """fork with n_threads=2 hung; workers are spawned, and TenSEAL's contexts with their threads are not used."""
    for path in (*SOURCES, Path(workers.__file__)):
        text = path.read_text()
        assert "n_threads" not in text, path
        assert "ts.context" not in text, path
        assert "os.fork" not in text, path
        assert '"fork"' not in text, path


@CLAIM
def test_a_sum_adds_ciphertexts_before_slots() -> None:
    """TenSEAL's `.sum()` rotates within each ciphertext, 39 times as slow for many; here one is left of any length."""
    key = key_of("exact")
    x = he.encrypt(np.ones(20 * 4096 + 1), 1, key)
    total = x.sum()
    assert isinstance(total, Column)
    assert len(total.rows()) == 1
    assert he.reveal(total, key).values == 20 * 4096 + 1


@CLAIM
def test_a_ciphertext_holds_thousands_of_values() -> None:
    """CKKSTensor makes one ciphertext of each element."""
    tensor = ts.ckks_tensor(ckks(), [1.0, 2.0])
    assert len(tensor.serialize()) > 2 * 100_000
    assert len(he.encrypt(np.ones(4096), 1, key_of("complex")).rows()) == 1
    assert sum(map(len, he.encrypt(np.ones(4096), 1, key_of("complex")).rows())) < 4096 * 10


def use_vectors_without_ciphertexts() -> None:
    key = key_of("exact")
    array = he.encrypt(np.ones(9), 1, key).to_arrow()
    for storage in (array.storage[:0], pa.array([None], array.storage.type), pa.array([b""], pa.binary())):
        with pytest.raises(PrivsdkError):
            he.reveal(he.Column.from_arrow(he.restored(storage, array.type), key), key)
    with pytest.raises(PrivsdkError):
        he.encrypt([], 1, key)


@CLAIM
def test_a_vector_without_ciphertexts_does_not_crash(tmp_path: Path) -> None:
    """Parsed and used, one ended the process."""
    process = Forked(use_vectors_without_ciphertexts, log=tmp_path / "log")
    assert process.wait(HANGS_S) == 0, (tmp_path / "log").read_text()


@CLAIM
def test_what_cancels_out_is_right_and_stays_encrypted() -> None:
    """SEAL refuses a result that anyone could read; where plain numbers are left of it, they are the result."""
    for name in ("exact", "exact, fine", "complex", "growing", "dropping"):
        key = key_of(name)
        x = he.encrypt(np.arange(5.0), 4, key)
        y = he.encrypt(np.arange(5.0), 4, key.public)
        cancelled = {
            "x - x": (x - x, 0), "x - (x + 1)": (x - (x + 1), -1), "(y + 3) - y": ((y + 3) - y, 3),
            "x * 0": (x * 0, 0), "x * 0 + 2": (x * 0 + 2, 2), "x * 2 - x - x": (x * 2 - x - x, 0),
            "x + y - x - y - 7": (x + y - x - y - 7, -7),
        }  # fmt: skip
        for label, (column, due) in cancelled.items():
            key.uses = 0
            shown = he.reveal(column, key)
            assert np.abs(shown.values - due).max() <= shown.error, (name, label)
            total = he.reveal(column.sum(), key)
            assert abs(total.values - 5 * due) <= total.error, (name, label)
            for row in column.rows():
                half = len(row) // 2 if key.preset.scheme == "ckks" else len(row) // key.preset.limbs // 2
                assert bytes(row[half : 2 * half]).strip(b"\0"), (name, label)  # the second polynomial is not zero


@CLAIM
def test_masks_that_leave_out_whole_chunks_leave_out_their_values() -> None:
    key, size = key_of("exact, fine"), PRESETS["exact, fine"].values_a_row
    values = np.arange(2 * size + 5) % 5
    x = he.encrypt(values, 4, key)
    groups = np.repeat([0, 1, 2], [size, size, 5])
    sums = x.sum(by=groups)
    assert isinstance(sums, dict)
    for group, column in sums.items():
        assert he.reveal(column, key).values == values[groups == group].sum()
    one, other = (groups == 0).astype(int), (groups <= 1).astype(int)  # alike in the first chunk and the last
    assert he.reveal((x * one - x * other).sum(), key).values == -values[groups == 1].sum()
    shown = he.reveal(x * one - x * other, key)
    assert np.abs(shown.values + values * (groups == 1)).max() <= shown.error

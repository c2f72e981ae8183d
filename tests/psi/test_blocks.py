"""Blocks: equal exactly where keys are, uniform, and each in the bucket that its first word chooses."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kkrt_runs import column
from scipy.stats import chisquare

from privsdk.crypto.aes import Words, derived, encrypted
from privsdk.errors import DataError
from privsdk.psi.oprf import blocks as module
from privsdk.psi.oprf.blocks import blocks_of, bucketed
from privsdk.testing import SeededEntropy, together

SALT = SeededEntropy(b"salt").draw(32)
lengths = st.integers(0, 20).flatmap(lambda n: st.binary(min_size=n, max_size=n))
ends = st.sampled_from([b"", b"\0", b"\0\0", b"a", b"a\0", b"\0" * 15, b"\0" * 16, b"x" * 15, b"x" * 16])


def blocked(keys: pa.LargeBinaryArray, salt: bytes = SALT) -> Words:
    return together({"only": blocks_of(keys, salt)})["only"]


def expected(key: bytes) -> bytes:
    if len(key) <= 15:
        padded = key + bytes(15 - len(key)) + bytes([len(key)])
        return encrypted(derived(SALT, "short key"), np.frombuffer(padded, np.uint64)).tobytes()
    return blake2b(key, digest_size=16, salt=derived(SALT, "long key"), person=b"privsdk long key").digest()


@pytest.mark.claim("psi.kkrt: blocks are equal exactly where keys are")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(lengths | ends, max_size=30), start=st.integers(0, 5))
def test_a_block_is_its_keys(keys: list[bytes], start: int, cases: Cases) -> None:
    blocks = blocked(column([b"sliced off"] * start + keys).slice(start))
    assert blocks.shape == (len(keys), 2)
    assert [block.tobytes() for block in blocks] == [expected(key) for key in keys]
    assert len({block.tobytes() for block in blocks}) == len(set(keys))
    cases()


def test_more_keys_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [b"%d" % n * (n % 9) for n in range(50)]
    whole = blocked(column(keys))
    monkeypatch.setattr(module, "BATCH", 7)
    assert (blocked(column(keys)) == whole).all()


def test_blocks_of_another_salt_have_nothing_in_common() -> None:
    keys = column([b"%d" % n for n in range(100)] + [b"%040d" % n for n in range(100)])
    assert not set(blocked(keys).ravel().tolist()) & set(blocked(keys, bytes(32)).ravel().tolist())


def test_bits_of_blocks_are_uniform() -> None:
    for template in (b"%d", b"%040d"):
        octets = blocked(column([template % n for n in range(4000)])).view(np.uint8).reshape(-1, 16)
        for place in range(16):
            assert chisquare(np.bincount(octets[:, place], minlength=256)).pvalue > 1e-6


@pytest.mark.parametrize("buckets", [1, 2, 3, 7, 1024])
def test_buckets_part_the_keys_by_their_first_word(buckets: int) -> None:
    blocks = np.frombuffer(SeededEntropy(b"blocks").draw(16 * 3000), np.uint64).reshape(-1, 2)
    parts = bucketed(blocks, buckets, 3000)
    assert len(parts) == buckets
    assert sorted(np.concatenate(parts)) == list(range(3000))
    first = blocks.view(np.uint32)[:, 0].tolist()
    for number, part in enumerate(parts):
        assert all(first[position] * buckets >> 32 == number for position in part)
        assert (np.diff(part) > 0).all()
    assert chisquare([len(part) for part in parts]).pvalue > 1e-6 if 1 < buckets < 100 else True
    most = max(map(len, parts))
    assert len(bucketed(blocks, buckets, most)) == buckets
    with pytest.raises(DataError, match="too unevenly into buckets, which happens by chance once in 2"):
        bucketed(blocks, buckets, most - 1)


def test_no_keys() -> None:
    assert [len(part) for part in bucketed(blocked(column([])), 3, 0)] == [0, 0, 0]

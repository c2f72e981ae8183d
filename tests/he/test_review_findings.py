"""What a review found: wrong answers, lost counts and refusals that nobody understands."""

from __future__ import annotations

import datetime
import os
import sys
import threading
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from forked import FORKSERVER, NEEDS_FORK, in_fork
from waiting import HANGS_S

from privsdk import he
from privsdk.crypto.seal import serial
from privsdk.errors import DataError, InvalidArgument, PolicyRefused

PRESET = he.choose(lambda x: x.sum(), error=0.4, x=he.Range(bound=1000, length=5, integers=True))
RANGE = he.Range(bound=9, length=2, integers=True)


def test_threads_that_reveal_with_one_key_are_all_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = he.SecretContext.new(PRESET)
    key.save(tmp_path / "key", "a passphrase")
    column = he.encrypt([1, 2], 1000, key)
    refused: list[InvalidArgument] = []

    def several() -> None:
        for _ in range(5):
            try:
                he.reveal(column, key)
            except InvalidArgument as error:
                refused.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=several) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not refused
    assert key.uses == he.SecretContext.load(tmp_path / "key", "a passphrase").uses == 20


def _count_one(path: Path, barrier: Barrier, counted: Any) -> None:
    key = he.SecretContext.load(path, "a passphrase")
    column = he.encrypt([1, 2], 1000, key)
    barrier.wait()
    try:
        he.reveal(column, key)
        counted.put(1)
    except InvalidArgument:
        counted.put(0)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
def test_processes_that_reveal_at_once_are_counted_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    he.SecretContext.new(PRESET).save(path, "a passphrase")
    barrier, counted = FORKSERVER.Barrier(3), FORKSERVER.Queue()
    processes = [FORKSERVER.Process(target=_count_one, args=(path, barrier, counted)) for _ in range(3)]
    for process in processes:
        process.start()
    revealed = sum(counted.get(timeout=HANGS_S) for _ in processes)
    for process in processes:
        process.join()
    assert revealed == he.SecretContext.load(path, "a passphrase").uses >= 1


@NEEDS_FORK
def test_a_forked_process_saves_to_a_file_of_its_own() -> None:
    """What SEAL saves goes through a file: with that of its parent it would read what the other wrote."""

    def file() -> int:
        return os.fstat(serial._scratch.of.file.fileno()).st_ino

    own = file()
    assert in_fork(file) != own == file()


def test_bounds_that_are_numpy_integers_do_not_wrap_around() -> None:
    bound: Any = np.int32(2_000_000)
    preset = he.choose(lambda x: x.sum(), error=0.4, x=he.Range(bound=bound, length=9000, integers=True))
    key = he.SecretContext.new(preset)
    encrypted = he.encrypt(pa.table({"x": np.full(9000, bound)}), {"x": bound}, key)
    total = he.columns(encrypted, key)["x"].sum()
    assert isinstance(total, he.Column)
    assert total.bound == 18e9
    assert he.reveal(total, key).values == 18 * 10**9


def test_numbers_of_few_bits_are_added_to_a_mean_as_they_are() -> None:
    preset = he.choose(lambda x: x.sum() / 3 + 0.1, error=1e-9, x=he.Range(bound=10, length=3))
    key = he.SecretContext.new(preset)
    mean = he.encrypt([0.0, 1.0, 2.0], 10, key).mean()
    assert isinstance(mean, he.Column)
    shown = he.reveal(mean + np.float32(0.1), key)
    assert abs(float(shown) - (1 + float(np.float32(0.1)))) <= shown.error <= 1e-9


def test_groups_given_as_an_arrow_array_are_found() -> None:
    groups = pa.array(["a", "b"])
    preset = he.choose(lambda x: list(x.sum(by=groups).values()), error=0.4, x=he.Range(bound=9, length=2))
    key = he.SecretContext.new(preset)
    sums = he.encrypt([3, 4], 9, key).sum(by=groups, keys=groups)
    assert isinstance(sums, dict)
    assert {group: float(he.reveal(total, key)) for group, total in sums.items()} == {"a": 3, "b": 4}


def test_keys_of_another_type_than_the_groups_are_refused() -> None:
    column = he.encrypt([3, 4], 9, he.SecretContext.new(PRESET))
    days = [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)]
    for groups, keys in ((np.array(days, "M8[D]"), days), ([1, 2], ["1", "2"]), (["a", "b"], [b"a"])):
        with pytest.raises(InvalidArgument, match="keys that are"):
            column._groups(groups, keys)
    assert [mask.sum() for mask in column._groups(pa.array([None, None], pa.string()), ["a"]).values()] == [0]
    assert [mask.sum() for mask in column._groups([1, 2], [Decimal(1), np.float32(2), True]).values()] == [1, 1]
    times = pa.array(days).cast(pa.timestamp("ns"))
    assert [mask.sum() for mask in column._groups(times, [datetime.datetime(2020, 1, 1)]).values()] == [1]


def test_masked_operands_and_integers_of_more_than_64_bits_are_refused() -> None:
    column = he.encrypt([3, 4], 9, he.SecretContext.new(PRESET))
    with pytest.raises(InvalidArgument, match="mask"):
        column + np.ma.array([1, 2], mask=[False, True])
    with pytest.raises(DataError, match="not a column of numbers"):
        he.encrypt([2**70], 2.0**71, he.SecretContext.new(PRESET))


def test_a_series_and_a_column_make_a_column() -> None:
    pandas = pytest.importorskip("pandas")
    key = he.SecretContext.new(PRESET)
    made = pandas.Series([1, 2]) - he.encrypt([3, 4], 9, key)
    assert np.array_equal(he.reveal(made, key).values, [-2, -2])


def test_a_column_of_a_secret_key_plus_zero_becomes_arrow() -> None:
    key = he.SecretContext.new(PRESET)
    for zero in (0, -0.0, np.zeros(2), pa.array([0, None])):
        made = he.Column.from_arrow((he.encrypt([3, 4], 9, key) + zero).to_arrow(), key)
        assert np.array_equal(he.reveal(made, key).values, [3, 0 if made.meta.nulls else 4])


def test_a_passphrase_is_the_same_however_its_letters_are_typed(tmp_path: Path) -> None:
    key: Any = he.SecretContext.new(PRESET)
    key.save(tmp_path / "key", "caf\u00e9")
    assert he.SecretContext.load(tmp_path / "key", "cafe\u0301").uses == 0
    for wrong in ("\ud800", b"caf", None):
        with pytest.raises(InvalidArgument, match="passphrase"):
            key.load(tmp_path / "key", wrong)


def test_folders_in_place_of_key_files_and_missing_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no key file"):
        he.SecretContext.load(tmp_path, "a passphrase")
    with pytest.raises(InvalidArgument, match="no folder"):
        he.SecretContext.new(PRESET).save(tmp_path / "none" / "key", "a passphrase")


@pytest.mark.parametrize("zero", [0, np.zeros(2, np.int64)], ids=["number", "vector"])
def test_owners_whose_values_are_multiplied_by_zero_hide_nobody(zero: Any) -> None:
    preset = he.choose(lambda x, y: x + y * np.ones(2, np.int64), error=0.4, x=RANGE, y=RANGE)
    key = he.SecretContext.new(preset)
    asks = he.encrypt([3, 4], 9, key, owner="anna", min_parties=2)
    other = he.encrypt([1, 1], 9, key, owner="bert")
    assert np.array_equal(he.reveal(asks + other, key).values, [4, 5])
    with pytest.raises(PolicyRefused, match="1 owner"):
        he.reveal(asks + other * zero, key)
    assert he.reveal(other + asks * zero, key).record.owners == ("bert",)

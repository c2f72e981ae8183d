"""States beside the ledger: what was saved is loaded, the last two are kept, and anything else is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk.errors import Cancelled, DataError, InvalidArgument, LedgerError
from privsdk.party import checkpoints
from privsdk.party.checkpoints import NAMED, CheckpointStore, Folder, Work
from privsdk.protocol.services import Checkpoints, NoCheckpoints, State

WORK = Work("ann", "study", "digits", "question", "content")


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    return CheckpointStore("north", tmp_path / "north.checkpoints" if request.param == "disk" else None)


def part(store: CheckpointStore, work: Work = WORK, name: str = "client") -> Checkpoints:
    return store.open(work)(name)


def state(n: int) -> State:
    return State({"kept": np.full(3, n, np.float32)}, {"n": n})


def test_what_was_saved_is_loaded(store: CheckpointStore) -> None:
    kept = part(store)
    arrays = {"a": np.arange(5, dtype=np.float32), "b": np.array([], np.float64), "c": np.array([-(2**60)], np.int64)}
    kept.save(3, State(arrays, {"text": "é", "list": [1, 2.5, None]}))
    found = part(store).load(3)
    assert {name: (v.dtype, v.tolist()) for name, v in found.arrays.items()} == {
        name: (v.dtype, v.tolist()) for name, v in arrays.items()
    }
    assert found.facts == {"text": "é", "list": [1, 2.5, None]}
    found.arrays["a"][0] = 7  # a role may go on with it


@given(values=st.lists(st.floats(width=32)), number=st.integers(0, 10**9 - 1))
def test_bits_stay_as_they_are(values: list[float], number: int) -> None:
    kept = part(CheckpointStore("north", None))
    array = np.array(values, np.float32)
    kept.save(number, State({"w": array}))
    assert kept.load(number).arrays["w"].tobytes() == array.tobytes()


def test_the_last_two_of_a_part_are_kept(store: CheckpointStore) -> None:
    of = store.open(WORK)
    client, coordinator = of("client"), of("coordinator")
    for number in (1, 2, 5, 9):
        client.save(number, state(number))
    coordinator.save(4, state(4))
    assert (client.numbers(), coordinator.numbers()) == ((5, 9), (4,))
    client.save(9, state(90))
    assert client.load(9).facts == {"n": 90}
    client.rewind(5)
    assert (client.numbers(), coordinator.numbers()) == ((5,), (4,))
    with pytest.raises(DataError, match="north cannot read its state"):
        client.load(9)
    client.rewind(0)
    assert client.numbers() == ()


def test_names_are_of_one_caller_and_purpose(store: CheckpointStore) -> None:
    part(store).save(1, state(1))
    for other in (WORK._replace(caller="bob"), WORK._replace(purpose="else"), WORK._replace(name="letters")):
        store.check(other)
        assert part(store, other).numbers() == ()
    with pytest.raises(InvalidArgument, match="north knows the name 'digits' from another question of ann"):
        store.check(WORK._replace(question="another"))
    with pytest.raises(InvalidArgument, match="north's table has changed since 'digits' was begun"):
        store.check(WORK._replace(content="another"))
    store.check(WORK)
    for other in (WORK._replace(question="another"), WORK._replace(content="another")):
        with pytest.raises(DataError, match="damaged"):
            part(store, other).load(1)


def test_a_later_run_of_the_name_fences_the_earlier_one_off(store: CheckpointStore) -> None:
    earlier = part(store)
    earlier.save(1, state(1))
    later = part(store)
    with pytest.raises(Cancelled, match="another run of 'digits' has begun"):
        earlier.save(2, state(2))
    earlier.rewind(0)
    assert later.numbers() == (1,)


def test_too_many_names_drop_the_oldest(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MOST_NAMES", 3)
    works = [WORK._replace(name=str(n)) for n in range(5)]
    for n, work in enumerate(works):
        part(store, work).save(1, state(n))
        if n == 2:
            part(store, works[0]).save(2, state(n))  # it is used: the next one goes first
    assert [part(store, work).numbers() for work in works] == [(1, 2), (), (), (1,), (1,)]


def test_too_many_bytes_drop_the_oldest_and_a_state_that_is_too_large_is_refused(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MOST_BYTES", 10_000)
    for n in range(6):
        part(store, WORK._replace(name=str(n))).save(1, State({"w": np.zeros(500, np.float32)}))
    numbers = [part(store, WORK._replace(name=str(n))).numbers() for n in range(6)]
    assert numbers == [(), (), (1,), (1,), (1,), (1,)]
    with pytest.raises(DataError, match=r"would keep 4,\d+ bytes of 'digits'; at most 2,500 are kept"):
        part(store).save(1, State({"w": np.zeros(1000, np.float32)}))


@pytest.mark.parametrize("at", [0, 5, 25, 60, 90, -1])
def test_a_changed_byte_is_found(tmp_path: Path, at: int) -> None:
    kept = part(CheckpointStore("north", tmp_path))
    kept.save(1, state(1))
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[at] ^= 4
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged|another format"):
        kept.load(1)


def test_a_cut_or_moved_file_and_another_version_are_found(tmp_path: Path) -> None:
    store = CheckpointStore("north", tmp_path)
    kept = part(store)
    kept.save(1, state(1))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for cut in range(0, len(whole), 7):
        file.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            kept.load(1)
    file.write_bytes(whole)
    file.rename(file.with_name(file.name.replace("000000001", "000000002")))
    with pytest.raises(DataError, match="damaged"):
        kept.load(2)
    newer = whole.replace(b"checkpoint 1\n", b"checkpoint 2\n")
    file.write_bytes(newer)
    with pytest.raises(DataError, match=r"another format \('privsdk checkpoint 2'\)"):
        kept.load(1)
    with pytest.raises(DataError, match="another format"):
        store.check(WORK)


def test_files_are_their_owners_alone_and_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "north.checkpoints"
    kept = part(CheckpointStore("north", folder))
    kept.save(1, state(1))
    (file,) = folder.iterdir()
    assert NAMED.fullmatch(file.name)
    if os.name == "posix":
        assert (folder.stat().st_mode & 0o077, file.stat().st_mode & 0o077) == (0, 0)

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(LedgerError, match="north cannot keep its state: No space left on device"):
        kept.save(1, state(2))
    monkeypatch.undo()
    assert kept.load(1).facts == {"n": 1}
    assert list(Folder(folder).sizes()) == [file.name]  # the draft is none of them


def test_nothing_is_kept_without_a_name() -> None:
    nothing = NoCheckpoints()
    nothing.save(1, state(1))
    nothing.rewind(0)
    assert nothing.numbers() == ()
    with pytest.raises(LookupError):
        nothing.load(1)

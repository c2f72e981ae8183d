"""What a caller remembers of its parties' heads: across restarts, by several notebooks at once, never backwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import msgspec
import pytest
from claims import Cases
from forked import FORKSERVER, Forked
from waiting import HANGS_S

import privsdk as ps
from privsdk.client.pinned_heads import PinnedHeads
from privsdk.errors import InvalidArgument, LedgerChanged, ProtocolViolation, UnknownName
from privsdk.governance.chain import Head, head_statement
from privsdk.party.ledger.database import Signer

NORTH, SOUTH = Signer.fresh(), Signer.fresh()


def keep(path: Path, mine: str, heads: list[Head], start: Barrier | None = None) -> None:
    """Keep heads of a party that only this notebook talks to, and of one that all do."""
    if start:
        start.wait(HANGS_S)
    for one in heads:
        PinnedHeads(path).remember({mine: one})
        assert PinnedHeads(path).seen(mine) == one, "another notebook's write undid this one"
        PinnedHeads(path).remember({"all": one})
        together = PinnedHeads(path).seen("all")
        assert together is not None
        assert together.order >= one.order, "it moved backwards"


def head(rows: int, *, branch: int = 0, signer: Signer = NORTH, seed: int = 0) -> Head:
    digest = bytes([seed, rows % 256]) * 16
    return Head(
        rows=rows,
        hash=digest.hex(),
        signature=signer.sign(head_statement(rows, branch, digest)).hex(),
        public_key=signer.public_key.hex(),
        branch=branch,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heads.json"


@pytest.mark.parametrize("kept", [True, False])
def test_only_later_heads_replace_earlier_ones(path: Path, kept: bool) -> None:
    pinned_heads = PinnedHeads(path if kept else None)
    assert pinned_heads.seen("north") is None
    for given, last in [(5, 5), (9, 9), (7, 9), (9, 9)]:
        pinned_heads.remember({"north": head(given)})
        assert pinned_heads.seen("north") == head(last)
    pinned_heads.remember({"north": head(6, branch=1)})  # its owner has acknowledged a loss
    assert pinned_heads.seen("north") == head(6, branch=1)
    pinned_heads.remember({"north": head(30)})
    assert pinned_heads.seen("north") == head(6, branch=1)
    assert PinnedHeads(path).seen("north") == (head(6, branch=1) if kept else None)


def test_a_head_that_came_unasked_is_kept_only_as_the_first(path: Path) -> None:
    """It may be of a chain that went on from an older copy; kept, it would be shown from then on, and hide that."""
    pinned_heads = PinnedHeads(path)
    pinned_heads.recognise("north", head(5))
    pinned_heads.recognise("north", head(50, seed=1))
    assert pinned_heads.seen("north") == head(5)
    with pytest.raises(LedgerChanged):
        pinned_heads.recognise("north", head(50, signer=SOUTH))


def test_another_row_or_another_key_is_told_and_never_overwrites(path: Path) -> None:
    pinned_heads = PinnedHeads(path)
    pinned_heads.remember({"north": head(9)})
    with pytest.raises(LedgerChanged, match="north shows another audit row 9 than it did before"):
        pinned_heads.remember({"north": head(9, seed=1)})
    with pytest.raises(LedgerChanged, match="north signs with another key than before") as error:
        pinned_heads.remember({"north": head(10, signer=SOUTH), "south": head(3, signer=SOUTH)})
    assert "fed.forget_head('north')" in error.value.hint
    assert "9 audit rows" in error.value.message
    assert (pinned_heads.seen("north"), pinned_heads.seen("south")) == (head(9), head(3, signer=SOUTH))
    pinned_heads.forget("north")
    pinned_heads.remember({"north": head(2, signer=SOUTH)})
    assert pinned_heads.seen("north") == head(2, signer=SOUTH)


def test_an_unsigned_head_is_the_partys_fault(path: Path) -> None:
    pinned_heads = PinnedHeads(path)
    for wrong in (msgspec.structs.replace(head(9), rows=10), msgspec.structs.replace(head(9), signature="")):
        with pytest.raises(ProtocolViolation, match="north's audit head is not signed"):
            pinned_heads.remember({"north": wrong})
        with pytest.raises(ProtocolViolation):
            pinned_heads.recognise("north", wrong)
    assert not path.exists()


def test_a_party_that_ignores_what_it_is_shown_is_named(path: Path) -> None:
    pinned_heads = PinnedHeads(path)
    pinned_heads.remember({"north": head(9)})
    with pytest.raises(ProtocolViolation, match="north took a request although it is behind the head of 9 rows"):
        pinned_heads.remember({"north": head(8)}, shown={"north": head(9)})
    pinned_heads.remember({"north": head(8)})  # told by no one to be later: another notebook may have seen more


@pytest.mark.claim("pinned heads: notebooks that share a heads file never move it backwards and never damage it")
def test_processes_and_threads_at_once(
    path: Path, tmp_path_factory: pytest.TempPathFactory, cases: Cases, soak: bool
) -> None:
    count, each = 40 if not soak else 400, 3
    heads = [head(rows) for rows in range(1, count + 1)]
    start, log = FORKSERVER.Barrier(each + 1), tmp_path_factory.mktemp("child") / "log"
    children = [Forked(keep, path, f"process{n}", heads, start, log=log) for n in range(each)]
    start.wait(HANGS_S)
    with ThreadPoolExecutor(each) as pool:
        list(pool.map(lambda n: keep(path, f"thread{n}", heads), range(each)))
    assert [child.wait(HANGS_S) for child in children] == [0] * each, log.read_text()
    names = ["all", *(f"{kind}{n}" for kind in ("process", "thread") for n in range(each))]
    assert {name: PinnedHeads(path).seen(name) for name in names} == dict.fromkeys(names, heads[-1])
    assert sorted(file.name for file in path.parent.iterdir()) == ["heads.json", "heads.lock"]
    cases(4 * each * count)


def test_a_crash_while_writing_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned_heads = PinnedHeads(path)
    pinned_heads.remember({"north": head(5)})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InvalidArgument, match=r"cannot be kept in .*: No space left on device"):
        pinned_heads.remember({"north": head(6)})
    monkeypatch.undo()
    assert PinnedHeads(path).seen("north") == head(5)
    assert sorted(file.name for file in path.parent.iterdir()) == ["heads.json", "heads.lock"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "unreadable"),
        (b"{", "unreadable"),
        (b'{"heads": {"north": {"rows": -1}}}', "unreadable"),
        (b'{"version": 2, "heads": {}}', "version 2"),
    ],
)
def test_a_file_that_cannot_be_read_is_not_replaced(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match=said):
        PinnedHeads(path).remember({"north": head(5)})
    assert path.read_bytes() == content


def test_where_an_embedded_federation_keeps_them(tmp_path: Path) -> None:
    caller = "ann@lab/../x"
    with ps.embedded(north={}, store=tmp_path / "s", caller=caller, quiet=True) as fed:
        assert fed["north"].name == "north"
        with pytest.raises(UnknownName, match="no party named 'nroth'"):
            fed.forget_head("nroth")
    assert (tmp_path / "s" / "ann%40lab%2F..%2Fx.heads.json").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["s"]

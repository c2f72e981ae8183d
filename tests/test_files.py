"""A file is written whole or not at all: a writer that fails or is killed between any two steps leaves the old one."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from claims import Cases
from forked import Forked
from waiting import HANGS_S

from privsdk.atomic import PRIVATE, SHARED, atomic_write, remove_drafts, replacing

CLAIM = "a file that is kept is written whole or not at all, wherever its writer fails or is killed"
STEPS = ("open", "fsync", "replace")  # the folder's fsync, the fourth, comes when the new name holds
OLD, NEW = b"old", b"new " * 1000


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("step", STEPS)
def test_a_writer_that_fails(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    file = tmp_path / "file"
    file.write_bytes(OLD)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(file, NEW)
    monkeypatch.undo()
    assert file.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [file]
    cases()


def write_and_die(file: Path, step: str, when: str) -> None:
    whole = getattr(os, step)

    def cut(*arguments: Any, **options: Any) -> None:
        if when == "after":
            whole(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, step, cut)
    atomic_write(file, NEW)


@pytest.mark.claim(CLAIM)
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_writer_that_is_killed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, step: str, when: str, cases: Cases
) -> None:
    file = tmp_path / "file"
    file.write_bytes(OLD)
    log = tmp_path_factory.mktemp("log") / "log"
    assert Forked(write_and_die, file, step, when, log=log).wait(HANGS_S) == -9, log.read_text()
    assert file.read_bytes() == (NEW if (step, when) == ("replace", "after") else OLD)
    remove_drafts(file)
    assert list(tmp_path.iterdir()) == [file]
    cases()


def test_of_several_writers_the_first_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "key"
    later = replacing(file, exclusive=True)
    later.__enter__().write_bytes(NEW)
    with replacing(file, exclusive=True) as draft:
        draft.write_bytes(OLD)
    with pytest.raises(FileExistsError):
        later.__exit__(None, None, None)
    assert file.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_permissions(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        for mode, kept in ((PRIVATE, 0o600), (SHARED, 0o644)):
            atomic_write(tmp_path / "file", NEW, mode=mode)
            assert (tmp_path / "file").stat().st_mode & 0o777 == kept
    finally:
        os.umask(umask)

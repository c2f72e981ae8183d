"""The set-up check: ready here and without a network, and each thing that it looks at is found when it is broken."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import socket
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from claims import Cases

from privsdk import dp, fl, he, psi, workshop
from privsdk.__main__ import main
from privsdk.errors import InvalidArgument
from privsdk.workshop import check
from privsdk.workshop.check import Finding, Readiness

LOOKED_AT = [
    "Python", "packages", "memory", "linear algebra (BLAS)", "ports on loopback", "disk for ledgers", "bundled data",
    "count at one owner", "private join", "mean under encryption", "federated training", "differential privacy",
    "JupyterLab",
]  # fmt: skip


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Whatever leaves for elsewhere than this machine fails, and is noted."""
    tried: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in ("127.0.0.1", "::1"):
            tried.append(address)
            raise OSError("no network")
        connect(self, address)

    def looking_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost"):
            tried.append(host)
            raise socket.gaierror("no network")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    return tried


@pytest.mark.claim("the set-up check runs without a network and says ok or what to do, line by line")
def test_ready_without_a_network(
    no_network: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str], cases: Cases
) -> None:
    assert main(["check", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[8:30].strip() for line in lines[:-1]] == LOOKED_AT
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1] == "This machine is ready."
    assert no_network == []
    assert list(tmp_path.iterdir()) == [], "the ledger that it made is gone"
    cases(len(LOOKED_AT))


def test_the_network_is_really_away(no_network: list[object]) -> None:
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    assert no_network


def only(what: str, folder: Path) -> Finding:
    """What is found of one thing."""
    return check.finding(what, check.looks(folder)[what])


def fails(error: Exception) -> Callable[..., Any]:
    def failing(*given: object, **options: object) -> Any:
        raise error

    return failing


Version = namedtuple("Version", "major minor micro releaselevel serial")
Disk = namedtuple("Disk", "total used free")
Memory = namedtuple("Memory", "available")

BREAKS: dict[str, tuple[str, object, str, object, str]] = {
    "an old Python": ("Python", sys, "version_info", Version(3, 10, 4, "final", 0), "make lab PYTHON="),
    "a new Python": ("Python", sys, "version_info", Version(3, 14, 0, "final", 0), "make lab PYTHON="),
    "packages that are not there": (
        "packages", importlib.metadata, "version", fails(importlib.metadata.PackageNotFoundError("x")), "pip install"
    ),
    "packages that are too old": ("packages", importlib.metadata, "version", lambda name: "0.0.1", "pip install"),
    "privsdk not installed": (
        "packages", importlib.metadata, "requires", fails(importlib.metadata.PackageNotFoundError("x")), "pip install"
    ),
    "little memory": ("memory", psutil, "virtual_memory", lambda: Memory(500_000_000), "close other programs"),
    "wrong sums": ("linear algebra (BLAS)", np, "array_equal", lambda a, b: False, "wheel"),
    "no ports": ("ports on loopback", socket, "create_server", fails(PermissionError("forbidden")), "firewall"),
    "no connections": (
        "ports on loopback", socket, "create_connection", fails(TimeoutError("timed out")), "firewall"
    ),
    "a full disk": ("disk for ledgers", shutil, "disk_usage", lambda folder: Disk(1, 1, 10_000_000), "make room"),
    "data that is not installed": (
        "bundled data", workshop, "lending_club", fails(InvalidArgument("none", hint="pip install")), "pip install"
    ),
    "other data": (
        "bundled data", workshop, "hourly_departures",
        lambda: {airport: {"hours": pa.table({"hour": [1]})} for airport in workshop.AIRPORTS}, "other versions",
    ),
    "broken joins": ("private join", psi, "join", fails(RuntimeError("no library")), "pip install"),
    "broken encryption": ("mean under encryption", he, "mean", fails(ImportError("tenseal")), "pip install"),
    "broken training": ("federated training", fl, "fit", fails(ImportError("numpy")), "pip install"),
    "broken noise": ("differential privacy", dp, "count", fails(ImportError("opendp")), "pip install"),
    "no JupyterLab": ("JupyterLab", importlib.util, "find_spec", lambda name: None, "pip install"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS)
def test_what_is_broken_is_found_and_says_what_to_do(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what, module, name, instead, advice = BREAKS[broken]
    with monkeypatch.context() as patched:
        patched.setattr(module, name, instead)
        found = only(what, tmp_path)
    assert not found.ok
    assert advice in found.hint
    first, second = str(found).splitlines()
    assert first.startswith("NOT OK  ")
    assert second.strip() == f"-> {found.hint}"


def test_a_wrong_answer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = he.mean
    monkeypatch.setattr(he, "mean", lambda tables, column, **more: honest(tables, "returned", **more))
    found = only("mean under encryption", tmp_path)
    assert not found.ok
    assert "0.3, but it is 4.5" in found.found


def test_a_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    found = only("disk for ledgers", tmp_path / "nowhere")
    assert not found.ok
    assert "local disk" in found.hint


def test_a_ledger_that_forgets_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = check.embedded
    monkeypatch.setattr(check, "embedded", lambda parties, **more: honest(parties, **{**more, "store": None}))
    found = only("disk for ledgers", tmp_path)
    assert not found.ok
    assert "lost what was written" in found.found


def test_widgets_that_are_not_installed_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyter_core import paths

    monkeypatch.setattr(paths, "jupyter_path", lambda *parts: [str(tmp_path)])
    found = only("JupyterLab", tmp_path)
    assert not found.ok
    assert "anywidget" in found.found


def test_not_ready_is_said_at_the_end_and_on_the_card(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (
        Finding(what="Python", ok=True, found="3.12.1"),
        Finding(what="memory", ok=False, found="0.5 GB free", hint="close other programs"),
    )
    monkeypatch.setattr(check, "findings", lambda folder=None: iter(found))
    assert main(["check"]) == 1
    assert capsys.readouterr().out.endswith("This machine is not ready: 1 to be put right.\n")
    shown = check.check()
    assert not shown.ready
    assert repr(shown).startswith("this machine is not ready: 1 of 2")
    assert "close other programs" in shown._repr_html_()
    assert Readiness(found[:1]).ready

"""CPU seconds of this process and its children beside wall seconds, and what machine they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

MIB = 1 << 20


def cpu_s() -> float:
    """CPU seconds so far of this process, of children that ended and of those that live."""
    ended = os.times()
    live = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:  # it ended in between, and is among those that did
            continue
        live += times.user + times.system
    return time.process_time() + ended.children_user + ended.children_system + live


class Meter:
    """The phases of one way through a task, repetition by repetition, and the figures that came of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.phases: dict[str, list[tuple[float, float]]] = {}
        self.facts: dict[str, Any] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), cpu_s()
        yield
        self.phases.setdefault(name, []).append((cpu_s() - cpu, time.perf_counter() - wall))

    def scale(self, factor: float, *, names: tuple[str, ...] = ()) -> None:
        """Extrapolate phases that were measured on a part."""
        for name in names or tuple(self.phases):
            self.phases[name] = [(cpu * factor, wall * factor) for cpu, wall in self.phases[name]]

    def cpu(self, *phases: str) -> float:
        """Median over repetitions of the phases' sum; all phases by default."""
        return self._median(0, phases)

    def wall(self, *phases: str) -> float:
        return self._median(1, phases)

    def _median(self, which: int, phases: tuple[str, ...]) -> float:
        columns = [[pair[which] for pair in self.phases[name]] for name in phases or tuple(self.phases)]
        return statistics.median(sum(row) for row in zip(*columns, strict=True))

    def record(self) -> dict[str, Any]:
        phases = {name: {"cpu_s": self.cpu(name), "wall_s": self.wall(name)} for name in self.phases}
        repeats = max((len(pairs) for pairs in self.phases.values()), default=0)
        return {
            "name": self.name,
            "cpu_s": self.cpu(),
            "wall_s": self.wall(),
            "repeats": repeats,
            "phases": phases,
            **self.facts,
        }


def machine() -> dict[str, Any]:
    """Where this ran."""
    packages = ("privsdk", "tenseal", "numpy", "pyarrow")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "not installed: run from its sources"


def _cpu_model() -> str:
    """The model's name; with family and model number where a virtual machine hides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts: Mapping[str, str] = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value
    }
    return (
        f"{facts.get('model name', platform.machine())}, family {facts.get('cpu family', '?')} "
        f"model {facts.get('model', '?')}"
    )

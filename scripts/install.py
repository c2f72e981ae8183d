"""Installs packages by pip into this environment, and shows how far it is; arguments are those of `pip install`.

On a terminal one line moves, in a log there is one every few seconds. Where pip succeeds its warnings are nobody's
concern, such as those about running as root or its own version; where it fails, all that it said is shown.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

TICK_S, LINE_S = 0.5, 5.0


class Progress:
    """A line that moves, or one every LINE_S seconds."""

    def __init__(self, out: TextIO, clock: Callable[[], float]) -> None:
        self._out, self._clock, self._moving = out, clock, out.isatty()
        self._began, self._due = clock(), clock()

    def show(self, what: str) -> None:
        """What is done by now, with the seconds that have passed."""
        now = self._clock()
        text = f"  {what} ({now - self._began:.0f} s)"
        if self._moving:
            print(f"\r\x1b[2K{text}", end="", file=self._out, flush=True)
        elif now >= self._due:
            print(text, file=self._out, flush=True)
            self._due = now + LINE_S

    def end(self, what: str) -> None:
        """The last line, which stays."""
        print(
            "\r\x1b[2K" * self._moving + f"  {what} ({self._clock() - self._began:.0f} s)", file=self._out, flush=True
        )


def installed(since: float) -> int:
    """How many packages were installed since then."""
    count = 0
    for record in Path(sysconfig.get_path("purelib")).glob("*.dist-info"):
        with suppress(FileNotFoundError):  # of a version that is being replaced
            count += record.stat().st_mtime >= since
    return count


def main() -> int:
    """Run pip and follow it."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"]
    began, progress = time.time(), Progress(sys.stdout, time.monotonic)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    said: list[str] = []
    found = total = 0
    with subprocess.Popen(
        [*command, *sys.argv[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        reader = threading.Thread(target=lambda: [lines.put(line) for line in pip.stdout or ()])
        reader.start()
        while reader.is_alive() or not lines.empty():
            with suppress(queue.Empty):
                said.append(lines.get(timeout=TICK_S))
                found += said[-1].lstrip().startswith(("Collecting ", "Requirement already satisfied: "))
                if said[-1].startswith("Installing collected packages: "):
                    total = said[-1].count(",") + 1
            done = f"installed {min(total, installed(began))} of {total}" if total else f"found {found}"
            progress.show(f"{done} packages")
    progress.end("failed; pip said:" if pip.returncode else f"installed {total} packages")
    if pip.returncode:
        sys.stderr.writelines(said)
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main())

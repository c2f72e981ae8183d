"""One line of text that follows a run, in a terminal or a notebook; nothing where output goes to a file or a pipe."""

from __future__ import annotations

import sys
import time
from typing import Protocol

AFTER_S = 2.0  # shorter runs are done before anyone could read it
WIDTH = 100


class TextStream(Protocol):
    """What of a text stream is used."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class Ticker:
    """Shows the latest text in place of the one before, once some seconds have passed."""

    def __init__(self, output: TextStream | None = None) -> None:
        self._output = output if output is not None else _interactive()
        self._began = time.monotonic()
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line, if there is somewhere to show it and it is another one."""
        line = text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
        if self._output is None or line == self._shown or time.monotonic() - self._began < AFTER_S:
            return
        self._output.write(f"\r{line.ljust(len(self._shown))}")
        self._output.flush()
        self._shown = line

    def leave(self, text: str) -> None:
        """Say something that stays, above the line; on standard error where nobody watches standard output."""
        self.end()
        output = self._output if self._output is not None else sys.stderr
        if output is not None:
            output.write(f"{text}\n")
            output.flush()

    def end(self) -> None:
        """Take the line away: what came of it is shown by whoever waited."""
        if self._output is not None and self._shown:
            self._output.write(f"\r{' ' * len(self._shown)}\r")
            self._output.flush()
            self._shown = ""


def _interactive() -> TextStream | None:
    """Standard output, where somebody watches it: a terminal, or a notebook's cell."""
    output = sys.stdout
    in_notebook = type(output).__module__.startswith("ipykernel.")
    return output if output is not None and (in_notebook or output.isatty()) else None

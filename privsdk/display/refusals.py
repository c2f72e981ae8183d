"""How an error shows itself in a notebook: the caller's own lines and a card, in place of the frames inside privsdk."""

from __future__ import annotations

import linecache
import sys
import sysconfig
import textwrap
import traceback
from pathlib import Path

from ..errors import PrivsdkError, Refused
from ..errors.details import Shown
from .cards import Card, to_html, to_text
from .readable import readable

_OWN = str(Path(__file__).parents[1])
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
MOST_FRAMES = 3  # the caller's, the innermost
MOST_LINES = 6  # of one call


def card(error: PrivsdkError) -> Card:
    """What happened, where, and what to do."""
    where = f" {'by' if isinstance(error, Refused) else 'at'} {error.party}" if error.party else ""
    facts = [("party", f"{error.party} ({error.title})")] if error.title else []
    facts += [
        ("what happened", error.message),
        *(("what to do", each) for each in [error.advice] if each),
        *error.facts,
    ]
    ran = [error.run_id and f"run {error.run_id}", error.phase and f"in phase {error.phase}", error.without]
    facts += [("where", ", ".join(filter(None, ran)))] if any(ran) else []
    return Card(title=f"{type(error).__name__}{where}", facts=facts)


def html(error: PrivsdkError) -> str:
    return to_html(card(error))


def lines(error: PrivsdkError) -> list[str]:
    """The caller's own lines and the card, as IPython prints a traceback."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    title, *rest = to_text(card(error)).split("\n")
    if str(getattr(shell, "colors", "nocolor")).lower() != "nocolor":
        title = f"\x1b[1;31m{title}\x1b[0m"
    return [*(_drawn(frame, shell) for frame in _callers(error)), title, *rest, "  (%tb shows all frames)"]


def _callers(error: PrivsdkError) -> list[traceback.FrameSummary]:
    """The caller's own frames; where all of them are of installed packages, the one that called privsdk."""
    before = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(_OWN):
            break
        before.append(frame)
    own = [frame for frame in before if not frame.filename.startswith((*_INSTALLED, "<frozen"))]
    return own[-MOST_FRAMES:] or before[-1:]


def _drawn(frame: traceback.FrameSummary, shell: object) -> str:
    """Where a call stands, and its lines."""
    named = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(frame.filename)
    name = " ".join(named) if named else frame.filename
    first, last = frame.lineno or 1, frame.end_lineno or frame.lineno or 1
    code = textwrap.dedent("".join(linecache.getlines(frame.filename)[first - 1 : last][:MOST_LINES])).rstrip()
    return readable(f"{name}, line {first}\n{textwrap.indent(code, '    ')}".rstrip())


Shown.html, Shown.lines = staticmethod(html), staticmethod(lines)

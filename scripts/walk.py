"""Prints the files that a question passes, from the verb to the roles and back: `python scripts/walk.py he.mean`.

Files of privsdk whose functions are entered between the call of the verb and its value, in the order of first entry;
what is only imported does not count. Over Flight parties are served by threads of this process, with real streams.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pyarrow as pa

import privsdk as ps
from privsdk import fl, he, psi

PACKAGE = Path(ps.__file__).parent


def people(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 60, 200)
    return pa.table({"id": rng.permutation(300)[:200], "age": age, "late": age > 30})


def embedded(**options: Any) -> ps.Federation:
    owners: dict[str, Any] = {name: {"people": people(seed)} for seed, name in enumerate(("north", "south", "east"))}
    return ps.embedded({**owners, "keeper": {}}, store=None, quiet=True, **options)


def mean(fed: ps.Federation) -> Any:
    return he.mean(fed.tables("people"), "age").release().value


def join(fed: ps.Federation) -> Any:
    return psi.join(fed["north"]["people"], fed["south"]["people"], on="id").release().value


def fit(fed: ps.Federation) -> Any:
    model = fl.Logistic(features={"age": (0, 60)})
    return fl.fit(model, fed.tables("people"), label="late", rounds=1).release().value


WALKS: dict[str, Callable[[ps.Federation], Any]] = {"he.mean": mean, "psi.join": join, "fl.fit": fit}


def walk(ask: Callable[[ps.Federation], Any], fed: ps.Federation) -> list[str]:
    """The files that this question enters, in order."""
    seen: dict[CodeType, None] = {}

    def called(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.setdefault(frame.f_code)

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        ask(fed)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    files = [Path(code.co_filename) for code in seen if code.co_name != "<module>"]
    return list(dict.fromkeys(f.relative_to(PACKAGE).as_posix() for f in files if f.is_relative_to(PACKAGE)))


if __name__ == "__main__":
    for name in sys.argv[1:] or WALKS:
        flight = name.endswith("@flight")
        with tempfile.TemporaryDirectory() as folder, embedded() as fed:
            WALKS[name](fed)  # once before: what is only loaded or made at the first question is left out
            passed = walk(WALKS[name], fed)
        print(f"{name}: {len(passed)} files\n  " + "\n  ".join(passed))

"""Prints the files that a question passes, from the verb to the roles and back: `python scripts/walk.py he.mean`.

`python scripts/walk.py --tables` prints ARCHITECTURE.md's tables of all of them: what they share, and what each adds.

Files of privsdk whose functions are entered between the call of the verb and its value, in the order of first entry;
what is only imported does not count. Over Flight parties are served by threads of this process, with real streams.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pyarrow as pa

import privsdk as ps
from privsdk import fl, he, psi
from privsdk.deploy.open import WORKSHOP_BUDGET, WORKSHOP_POLICY
from privsdk.party.budget.books import Books
from privsdk.party.gate import Gate
from privsdk.party.tables import Store
from privsdk.transport.flight import FlightNetwork
from privsdk.transport.identities import Credentials, MemberIdentity, make_certificates
from privsdk.transport.server import Server

PACKAGE = Path(ps.__file__).parent


def people(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 60, 200)
    return pa.table({"id": rng.permutation(300)[:200], "age": age, "late": age > 30})


def embedded() -> ps.Federation:
    owners: dict[str, Any] = {name: {"people": people(seed)} for seed, name in enumerate(("north", "south", "east"))}
    return ps.embedded({**owners, "keeper": {}}, store=None, quiet=True)


@contextmanager
def served() -> Iterator[ps.Federation]:
    """Parties over Flight on loopback, as `deploy.serve` serves one, but all of them in this process."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        folder, addresses = Path(name), dict[str, str]()
        make_certificates(folder, ["north", "south", "analyst"])
        for seed, party in enumerate(("north", "south")):
            identity = Credentials.read(
                authority=folder / "ca.pem", certificate=folder / f"{party}.pem", key=folder / f"{party}.key"
            )
            dial = FlightNetwork(identity, lambda: addresses).dial
            books = Books(
                party, folder / f"{party}.sqlite", budgets={"*": WORKSHOP_BUDGET}, datasets={"people": "people"}
            )
            store, who = Store(party, {"people": people(seed)}), MemberIdentity(identity)
            gate = Gate(
                party,
                store=store,
                policy=WORKSHOP_POLICY,
                books=books,
                dial=dial,
                identity=who,
                members=lambda: addresses,
            )
            opened.callback(gate.close)
            server = Server(gate, party, "grpc+tls://127.0.0.1:0", identity)
            opened.callback(server.shutdown)
            addresses[party] = f"grpc+tls://127.0.0.1:{server.port}"
        analyst = 'purpose = "workshop"\nauthority = "ca.pem"\ncertificate = "analyst.pem"\nkey = "analyst.key"'
        parties = "\n".join(f'{party} = "{address}"' for party, address in addresses.items())
        (folder / "federation.toml").write_text(f"[parties]\n{parties}\n[analyst]\n{analyst}\n")
        yield opened.enter_context(ps.connect(folder / "federation.toml"))


def mean(fed: ps.Federation) -> Any:
    return he.mean(fed.tables("people"), "age").release().value


def join(fed: ps.Federation) -> Any:
    return psi.join(fed["north"]["people"], fed["south"]["people"], on="id").release().value


def fit(fed: ps.Federation) -> Any:
    model = fl.Logistic(features={"age": (0, 60)})
    return fl.fit(model, fed.tables("people"), label="late", rounds=1).release().value


Open = Callable[[], AbstractContextManager[ps.Federation]]
WALKS: dict[str, tuple[Callable[[ps.Federation], Any], Open]] = {
    "he.mean": (mean, embedded),
    "psi.join": (join, embedded),
    "psi.join@flight": (join, served),
    "fl.fit": (fit, embedded),
}


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


def passed(name: str) -> list[str]:
    """The files of a walk by its name. The question is asked once before: what is loaded or made by a first one only
    is left out."""
    ask, opening = WALKS[name]
    with opening() as fed:
        ask(fed)
        return walk(ask, fed)


def table(files: Iterable[str]) -> str:
    """Files by folder, as a table in Markdown."""
    folders: dict[str, list[str]] = {}
    for file in files:
        folders.setdefault(str(Path(file).parent), []).append(file)
    lines = [
        f"| `{folder}` | {len(held)} | {', '.join(f'`{file}`' for file in sorted(held))} |"
        for folder, held in sorted(folders.items())
    ]
    return "\n".join(["| folder | files | which |", "| --- | --- | --- |", *lines])


def tables() -> str:
    """ARCHITECTURE.md's part on walks."""
    walks = {name: passed(name) for name in WALKS}
    embedded = {name: files for name, files in walks.items() if "@" not in name}
    common = set.intersection(*map(set, embedded.values()))
    counts = ", ".join(f"`{name}` {len(files)}" for name, files in embedded.items())
    parts = [f"Files entered: {counts}. {len(common)} are common to all:", table(common)]
    for name, files in embedded.items():
        parts += [f"`{name}` enters {len(set(files) - common)} more:", table(set(files) - common)]
    served = set(walks["psi.join@flight"])
    beside = ", ".join(f"`{file}`" for file in sorted(served - set(walks["psi.join"])))
    parts.append(f"Over Flight `psi.join` enters {len(served)} files: beside these {beside}.")
    return "\n\n".join(parts)


if __name__ == "__main__":
    if sys.argv[1:] == ["--tables"]:
        print(tables())
    else:
        for each in sys.argv[1:] or WALKS:
            print(f"{each}: {len(files := passed(each))} files\n  " + "\n  ".join(files))

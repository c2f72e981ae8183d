"""Whether this machine is ready for a workshop: what is installed, and a tiny joint computation of each kind.

Needs no network, touches no ledger but one of its own in a temporary folder, and says what to do where something is
wrong. It is no test suite: `make test` is.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa

from .. import dp, fl, he, psi
from ..client.federation import Federation
from ..deploy.open import embedded
from ..display.cards import Card, Displayed, Grid
from ..errors import PrivsdkError

PYTHON = (3, 11), (3, 13)
FREE_BYTES = 500_000_000  # on the disk of the ledgers, which take far less, and what JupyterLab keeps
MEMORY_BYTES = 2_000_000_000  # what the largest tutorial takes, twice
SLOW_S = 5.0  # a product of matrices that takes a tenth of a second with any BLAS
INSTALL = "in the clone: pip install '.[workshop]', or remove .venv and call make lab"
_VIEWS = "@jupyter-widgets/jupyterlab-manager", "anywidget"  # JupyterLab's halves of the widgets
_ROWS = 60


class NotReady(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, found: str, hint: str) -> None:
        super().__init__(found)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `hint` says what to do where it is not ok."""

    what: str
    ok: bool
    found: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{'ok    ' if self.ok else 'NOT OK'}  {self.what:<22}  {self.found}"
        return f"{line}\n        {'':<22}  -> {self.hint}" if self.hint else line


class Readiness(Displayed):
    """All findings; `ready` when each is ok."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        self.ready = all(finding.ok for finding in findings)

    def _card(self) -> Card:
        bad = sum(not finding.ok for finding in self.findings)
        title = "this machine is ready" if self.ready else f"this machine is not ready: {bad} of {len(self.findings)}"
        rows = [
            (f.what, "ok" if f.ok else "NOT OK", f.found if f.ok else f"{f.found}\n{f.hint}") for f in self.findings
        ]
        return Card(title=title, grids=(("looked at", Grid(header=("what", "", "found"), rows=rows)),))


def check(folder: Path | None = None) -> Readiness:
    """Look at everything; `folder` is where ledgers would be kept, by default the present one."""
    return Readiness(tuple(findings(folder)))


def findings(folder: Path | None = None) -> Iterator[Finding]:
    """The same one after the other, as each is done; about ten seconds in all."""
    return (finding(what, look) for what, look in looks(folder or Path.cwd()).items())


def looks(folder: Path) -> dict[str, Callable[[], str]]:
    """What is looked at, by its name: says what is found, or raises."""
    return {
        "Python": _python,
        "packages": _packages,
        "memory": _memory,
        "linear algebra (BLAS)": _blas,
        "ports on loopback": _loopback,
        "disk for ledgers": lambda: _ledgers(folder),
        "bundled data": _data,
        "count at one owner": _aggregate,
        "private join": _join,
        "mean under encryption": _encrypted,
        "federated training": _training,
        "differential privacy": _noisy,
        "JupyterLab": _lab,
    }


def finding(what: str, look: Callable[[], str]) -> Finding:
    """What is found of one thing."""
    try:
        return Finding(what=what, ok=True, found=look())
    except NotReady as problem:
        return Finding(what=what, ok=False, found=str(problem), hint=problem.hint)
    except PrivsdkError as error:
        return Finding(what=what, ok=False, found=error.message, hint=error.hint or INSTALL)
    except Exception as error:  # a broken installation fails in ways that nobody foresees
        return Finding(what=what, ok=False, found=f"{type(error).__name__}: {error}", hint=INSTALL)


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    lowest, highest = PYTHON
    if sys.implementation.name != "cpython" or not lowest <= sys.version_info[:2] <= highest:
        raise NotReady(
            f"{sys.implementation.name} {version}", "CPython 3.11 to 3.13 is needed: make lab PYTHON=python3.12"
        )
    return f"{version} in {sys.prefix}"


def _packages() -> str:
    from packaging.requirements import Requirement

    wrong, shown, needed = [], [], importlib.metadata.requires("privsdk") or []
    for requirement in map(Requirement, needed):
        if requirement.marker and not requirement.marker.evaluate({"extra": "workshop"}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, needed {requirement.specifier}")
        shown.append(f"{requirement.name} {version}")
    if wrong or not shown:
        raise NotReady("; ".join(wrong) or "privsdk says not what it needs", INSTALL)
    return ", ".join(shown)


def _memory() -> str:
    free = psutil.virtual_memory().available
    if free < MEMORY_BYTES:
        raise NotReady(f"{free / 1e9:.1f} GB free", "close other programs and notebooks: 2 GB should be free")
    return f"{free / 1e9:.1f} GB free"


def _blas() -> str:
    import numpy as np
    from threadpoolctl import threadpool_info

    matrix = np.full((1_000, 1_000), 0.5)
    began = time.perf_counter()
    product = matrix @ matrix
    took = time.perf_counter() - began
    if took > SLOW_S or not np.array_equal(product, np.full((1_000, 1_000), 250.0)):
        raise NotReady(f"1,000 x 1,000 product took {took:.1f} s", "install NumPy's own wheel: pip install -U numpy")
    known = [f"{each['internal_api']} {each['version']}" for each in threadpool_info() if each["user_api"] == "blas"]
    return f"{', '.join(dict.fromkeys(known)) or 'an own of the system'}; 1,000 x 1,000 product in {took:.2f} s"


def _loopback() -> str:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                there, _ = server.accept()
                with there:
                    client.sendall(b"privsdk")
                    there.settimeout(5)
                    if there.recv(7) != b"privsdk":
                        raise NotReady("what was sent did not arrive", _FIREWALL)
    except OSError as error:
        raise NotReady(str(error), _FIREWALL) from error
    return f"127.0.0.1, such as {port}"


_FIREWALL = "JupyterLab and its kernels talk over 127.0.0.1: let the firewall or sandbox allow that"


def _ledgers(folder: Path) -> str:
    """A ledger in this folder remembers a charge after it was closed, and its chain verifies."""
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryDirectory(prefix="privsdk-check-", dir=folder) as inside:
            with _federation(Path(inside)) as fed:
                dp.count(fed["north"]["sales"], epsilon=0.5).release()
            with _federation(Path(inside)) as fed:
                (balance,) = fed.budgets()["north"]
                sound = all(report.first_bad < 0 for report in fed.verify_audit().values())
    except OSError as error:
        raise NotReady(f"{folder}: {error}", "start in a folder of your own on a local disk") from error
    if free < FREE_BYTES:
        raise NotReady(f"{free / 1e6:,.0f} MB free in {folder}", "make room: 500 MB should be free")
    if not sound or not balance.epsilon_spent > 0:
        raise NotReady(f"{folder} lost what was written", "start in a folder on a local disk, not on a network drive")
    return f"{free / 1e9:.1f} GB free in {folder}; a ledger there keeps its charges"


def _data() -> str:
    from .. import workshop

    digits = workshop.digits()
    flights = workshop.nyc_flights()
    counted = {
        "flights": (sum(_rows(flights, airport) for airport in workshop.AIRPORTS), 336_776),
        "aircraft": (_rows(flights, "REGISTRY"), 3_322),
        "hours": (sum(_rows(workshop.hourly_departures(), airport) for airport in workshop.AIRPORTS), 19_486),
        "loans": (sum(_rows(workshop.lending_club(), party) for party in (*workshop.REGIONS, "BUREAU")), 9_857),
        "digits": (sum(_rows(digits.parties, party) for party in digits.parties) + digits.test.num_rows, 5_000),
    }
    wrong = [f"{rows:,} {what}, not {right:,}" for what, (rows, right) in counted.items() if rows != right]
    if wrong:
        raise NotReady("; ".join(wrong), f"other versions of the data: {INSTALL}")
    return ", ".join(f"{rows:,} {what}" for what, (rows, _) in counted.items())


def _rows(parties: dict[str, dict[str, pa.Table]], party: str) -> int:
    return sum(table.num_rows for table in parties[party].values())


def _federation(store: Path | None = None) -> Federation:
    """Three invented shops of 60 customers, of which neighbours share 40, and a notary without data."""
    shops = {
        name: {
            "sales": pa.table(
                {
                    "customer": [f"c{20 * at + row}" for row in range(_ROWS)],
                    "spent": [float(row % 10) for row in range(_ROWS)],
                    "returned": [row % 10 > 6 for row in range(_ROWS)],
                }
            )
        }
        for at, name in enumerate(("north", "south", "east"))
    }
    return embedded({**shops, "notary": {}}, store=store, quiet=True)


def _agree(what: str, found: float, right: float, *, within: float = 0.0) -> str:
    if not abs(found - right) <= within:
        raise NotReady(f"{what} {found:g}, but it is {right:g}", INSTALL)
    return f"{what} {found:g}, as in the clear" if within < 1 else f"{what} {found:g}, {right:g} in the clear"


def _aggregate() -> str:
    with _federation() as fed:
        counted = fed["north"]["sales"].count().release().value
    return _agree("rows", counted["count"][0].as_py(), _ROWS)


def _join() -> str:
    with _federation() as fed:
        joint = psi.join(fed["north"]["sales"], fed["south"]["sales"], on="customer").release().value
        return _agree("shared keys", joint.size or 0, 40)


def _encrypted() -> str:
    with _federation() as fed:
        mean = he.mean(fed.tables("sales"), "spent", key_holder="notary").release().value
    return _agree("mean", mean.value, 4.5, within=1e-9)


def _training() -> str:
    with _federation() as fed:
        model = fl.Logistic(features={"spent": (0, 10)})
        fitted = fl.fit(model, fed.tables("sales"), label="returned", rounds=3, learning_rate=2.0, coordinator="notary")
        losses = fitted.release().value.history["loss"].to_pylist()
    if not losses[-1] < losses[0]:
        raise NotReady(f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}", INSTALL)
    return f"loss {losses[0]:.3f} to {losses[-1]:.3f} in three rounds"


def _noisy() -> str:
    with _federation() as fed:
        counted = dp.count(fed["north"]["sales"], epsilon=1.0).release().value
    return _agree("noisy count", counted["count"][0].as_py(), _ROWS, within=60)


def _lab() -> str:
    from jupyter_core.paths import jupyter_path

    if importlib.util.find_spec("jupyterlab") is None or importlib.util.find_spec("ipykernel") is None:
        raise NotReady("JupyterLab or its Python kernel is missing", INSTALL)
    places = [Path(place) for place in jupyter_path("labextensions")]
    missing = [view for view in _VIEWS if not any((place / view / "package.json").is_file() for place in places)]
    if missing:
        raise NotReady(f"JupyterLab's part of {', '.join(missing)} is missing: widgets would be text only", INSTALL)
    return f"{importlib.metadata.version('jupyterlab')} with widgets"

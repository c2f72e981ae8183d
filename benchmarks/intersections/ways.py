"""Ways to find what two files share: privsdk over its network link, the peers, and the floor, each from nothing."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .processes import Failed, Process
from .wire import Forwarder, free_port

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
PARTIES = ("a", "b", "c")
TRUTH = {2: lambda n: n - n // 2, 3: lambda n: n - n // 2 - n // 4}  # ids that all parties of sets.py hold

PARTY = """\
name = "{name}"
listen = "grpc+tls://127.0.0.1:0"
ledger = "{name}.sqlite"
federation = "federation.toml"
tls = {{ authority = "ca.pem", certificate = "{name}.pem", key = "{name}.key" }}
tables.ids.path = "{data}"
policy.operations = ["psi.join"]
policy.grants = [{{ table = "ids", columns = {{ id = "join key" }} }}]
budgets."*".exact = 10
"""
ANALYST = """\
[analyst]
purpose = "benchmark"
authority = "ca.pem"
certificate = "analyst.pem"
key = "analyst.key"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run used: in the join alone, with starting and ending all processes, on the wire, at its peak.

    Bytes are None where nothing goes over a wire. `missed`: shared ids that it did not find, of which privsdk may have
    none.
    """

    cpu_s: float
    wall_s: float
    total_cpu_s: float
    total_wall_s: float
    missed: int = 0
    bytes: int | None = None
    peak_mib: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return asdict(self)


class Way(NamedTuple):
    """A way by name, who learns the shared ids, and a function that runs it once."""

    name: str
    learns: str
    run: Callable[[Path, int], Figures]
    repeats: int | None = None


def make_sets(folder: Path, n: int, parties: int, *, csv: bool = False) -> None:
    """Write every party's files, in a process of its own."""
    command = _python("sets.py", folder, n, parties, *["csv"] * csv)
    with Process(command, log=folder / "sets.log", environment=ours()) as writing:
        if writing.wait():
            raise Failed(writing.reason())


def ours() -> dict[str, str]:
    """The environment of our own processes, which run from the sources where nothing is installed."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def theirs() -> dict[str, str]:
    """The environment of the peers' processes."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def floor() -> Way:
    def run(data: Path, n: int) -> Figures:
        began = time.perf_counter()
        files = [data / f"{name}.parquet" for name in PARTIES[:2]]
        with Process(_python("plain.py", *files), log=data / "plain.log", environment=ours()) as plain:
            found = plain.result()
        return _figures(began, n, [("reader", plain)], [found])

    return Way("floor: DuckDB, one process, in the clear", "the one process", run)


def privsdk(protocol: str = "", parties: int = 2) -> Way:
    """A server process for each party and a notebook's process that asks, over Flight with mutual TLS."""
    names = PARTIES[:parties]

    def run(data: Path, n: int) -> Figures:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-psi-")))
            certificates = [sys.executable, "-m", "privsdk", "certificates", str(folder), *names, "analyst"]
            with Process(certificates, log=folder / "log", environment=ours()) as making:
                if making.wait():
                    raise Failed(making.reason())
            for name in names:
                (folder / f"{name}.toml").write_text(PARTY.format(name=name, data=data / f"{name}.parquet"))

            def start(name: str, command: list[str]) -> Process:
                return stack.enter_context(Process(command, log=folder / f"{name}.log", environment=ours()))

            began = time.perf_counter()
            serve = [sys.executable, "-m", "privsdk", "serve"]
            servers = {name: start(name, [*serve, str(folder / f"{name}.toml")]) for name in names}
            notebook = start("notebook", _python("notebook.py", folder / "notebook.toml", protocol, *names))
            ports = {name: int(server.line().rpartition(":")[2]) for name, server in servers.items()}
            between = {name: stack.enter_context(Forwarder(port)) for name, port in ports.items()}
            asked = {name: stack.enter_context(Forwarder(port)) for name, port in ports.items()}
            _write_addresses(folder / "federation.toml", between)
            _write_addresses(folder / "notebook.toml", asked)
            for ready in ("imported", "planned"):
                if notebook.line() != ready:
                    raise Failed(notebook.reason())
                processes = [*servers.values(), notebook]
                peaks = {name: server.peak_mib() for name, server in servers.items()}
                before, carried = [one.cpu_s() for one in processes], _bytes(between)
                notebook.tell("go on")
            found = notebook.json()
            used = [one.cpu_s() - cpu for one, cpu in zip(processes, before, strict=True)]
            total_wall = time.perf_counter() - began
            _check(found["found"], TRUTH[parties](n))
            notebook.tell("that is all")
            notebook.wait()
            usages = {name: server.stop() for name, server in servers.items()} | {"notebook": notebook.usage}
            return Figures(
                cpu_s=sum(used),
                wall_s=found["wall_s"],
                total_cpu_s=sum(usage.cpu_s for usage in usages.values()),
                total_wall_s=total_wall,
                bytes=_bytes(between) - carried,
                peak_mib={name: usage.peak_mib for name, usage in usages.items()},
                notes={
                    "cpu_s_each": dict(zip(usages, used, strict=True)),
                    "peak_mib_before": peaks,
                    "bytes_of_the_caller": _bytes(asked),
                },
            )

    suffix = f", {protocol}" * bool(protocol) + ", three parties" * (parties == 3)
    return Way(f"privsdk{suffix}", "all parties; the caller the number", run)


def openmined(python: Path, repeats: int | None = None) -> Way:
    """OpenMined PSI over bare sockets, from Parquet."""

    def run(data: Path, n: int) -> Figures:
        with ExitStack() as stack:
            port = free_port()
            wire = stack.enter_context(Forwarder(port))
            began = time.perf_counter()
            script = [str(python), str(SCRIPTS / "openmined_party.py")]
            made = {
                role: stack.enter_context(
                    Process([*script, role, str(data / file), str(at)], log=data / f"{role}.log", environment=theirs())
                )
                for role, file, at in (("server", "b.parquet", port), ("client", "a.parquet", wire.port))
            }
            results = [process.result() for process in made.values()]
            return _figures(began, n, list(made.items()), results, wire.bytes)

    return Way("openmined-psi (ECDH over P-256, GCS)", "the client", run, repeats)


def spu(python: Path, protocol: str, settings: str = "fastest") -> Way:
    """SecretFlow SPU over its own link, which is HTTP of brpc without TLS, from CSV to CSV."""

    def run(data: Path, n: int) -> Figures:
        with ExitStack() as stack:
            ports = [free_port(), free_port()]
            wires = [stack.enter_context(Forwarder(port)) for port in ports]
            began = time.perf_counter()
            made = {}
            for rank, name in enumerate(PARTIES[:2]):
                heard = [port if rank == at else wires[at].port for at, port in enumerate(ports)]
                made[name] = stack.enter_context(
                    Process(
                        [
                            *(str(python), str(SCRIPTS / "spu_party.py"), str(rank)),
                            *(str(data / f"{name}.csv"), str(data / f"{name}.out.csv")),
                            *(f"127.0.0.1:{port}" for port in heard),
                            *(protocol, settings),
                        ],
                        log=data / f"spu-{name}.log",
                        environment=theirs(),
                    )
                )
            results = [process.result() for process in made.values()]
            return _figures(began, n, list(made.items()), results, sum(wire.bytes for wire in wires))

    named = {"ecdh": "ECDH, curve25519", "kkrt": "KKRT", "rr22": "RR22", "rr22-low": "RR22, low communication"}
    return Way(f"SPU, {named[protocol]}" + f" ({settings})" * (settings != "fastest"), "both", run)


def embedded(data: Path, n: int, protocol: str = "", parties: int = 2) -> dict[str, Any]:
    """Parties embedded in one process, from nothing."""
    files = [data / f"{name}.parquet" for name in PARTIES[:parties]]
    log = data / "embedded.log"
    with Process(_python("embedded.py", protocol, *files), log=log, environment=ours()) as process:
        found = process.result()
        assert process.usage is not None  # noqa: S101
    _check(found["found"], TRUTH[parties](n))
    return {**found, "total_cpu_s": process.usage.cpu_s, "peak_mib": process.usage.peak_mib}


def _figures(
    began: float,
    n: int,
    made: list[tuple[str, Process]],
    results: list[dict[str, Any]],
    carried: int | None = None,
) -> Figures:
    """The figures of ended processes that measured the work within them."""
    usages = {name: process.usage for name, process in made if process.usage is not None}
    (found,) = {result["found"] for result in results if result["found"] is not None}
    return Figures(
        cpu_s=sum(result["cpu_s"] for result in results),
        wall_s=max(result["wall_s"] for result in results),
        total_cpu_s=sum(usage.cpu_s for usage in usages.values()),
        total_wall_s=time.perf_counter() - began,
        missed=TRUTH[2](n) - found,
        bytes=carried,
        peak_mib={name: usage.peak_mib for name, usage in usages.items()},
        notes={"version": results[0]["version"]},
    )


def _check(found: int, truth: int) -> None:
    if found != truth:
        raise Failed(f"{found} shared ids were found, there are {truth}")


def _python(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(SCRIPTS / script), *map(str, arguments)]


def _write_addresses(file: Path, through: Mapping[str, Forwarder]) -> None:
    lines = [f'{name} = "grpc+tls://127.0.0.1:{one.port}"' for name, one in through.items()]
    file.write_text("\n".join(["[parties]", *lines, "", ANALYST]))


def _bytes(forwarders: Mapping[str, Forwarder]) -> int:
    return sum(one.bytes for one in forwarders.values())

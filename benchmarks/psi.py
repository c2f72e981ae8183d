"""What a private join costs beside a join in the clear (the floor), SecretFlow SPU and OpenMined PSI.

Run as `python benchmarks/psi.py [--quick] [--no-peers] [--sizes N,N...] [--date DATE]`. Every run starts its processes
from nothing: each party reads its file, they talk over loopback, the number found is checked against the truth. Ways
are measured in turn within one run, so that ratios hold on a machine that is busy with other things. Prints medians of
CPU seconds of all processes and wall seconds, of the join alone and with starting and ending everything, bytes on the
wire and peaks of memory; then everything as one JSON object in the last line. Peers are installed by the script into
environments of their own under `benchmarks/.peers`. `--quick` is small and without peers: it shows that everything
runs, its figures mean little.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as running this file does; for those who load it otherwise

from encrypted.meter import machine
from encrypted.peers import installed
from intersections import ways
from intersections.processes import Failed

SIZES = (10_000, 100_000, 1_000_000)
LARGE = 10_000_000
SLOW = 100_000  # ids from which OpenMined PSI runs once
EMBEDDED = (10_000, 1_000_000)


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    quick = arguments.quick
    sizes = [500] if quick else arguments.sizes
    repeats = 1 if quick else arguments.repeats
    report: dict[str, Any] = {"date": arguments.date, "quick": quick, "machine": machine(), "sizes": {}}
    print(f"{report['date']}, {report['machine']}\n", flush=True)
    report["missing"], pythons = {}, {}
    if not (quick or arguments.no_peers):
        report["missing"], pythons = _installed()
    for n in [*sizes, *[LARGE] * arguments.large]:
        own = [ways.privsdk(protocol, parties) for protocol in arguments.protocol for parties in _parties(arguments)]
        some = [*own, ways.floor(), *(_peers(n, pythons, arguments.openmined_1m) if n < LARGE else [])]
        report["sizes"][n] = measured(n, some, repeats, arguments.parties)
    report["embedded"] = [_embedded(n, repeats, arguments) for n in ([500] if quick else EMBEDDED)]
    for what, why in report["missing"].items():
        print(f"{what}: {why}")
    return report


def measured(n: int, some: list[ways.Way], repeats: int, parties: int) -> list[dict[str, Any]]:
    """Every way's records for sets of n ids, measured in turn."""
    runs: dict[str, list[ways.Figures]] = {way.name: [] for way in some}
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-psi-") as name:
        folder = Path(name)
        ways.make_sets(folder, n, parties, csv=any("SPU" in way.name for way in some))
        for turn in range(repeats):
            for way in some:
                if way.name in failures or turn >= (way.repeats or repeats):
                    continue
                try:
                    runs[way.name].append(way.run(folder, n))
                except Failed as error:
                    failures[way.name] = str(error)
    print(f"\n{n:,} ids each, half of them shared; {repeats} runs in turn")
    print(
        f"{'':42}{'CPU s':>9}{'of ours':>9}{'wall s':>9}{'of ours':>9}{'started:':>10}{'CPU s':>9}{'wall s':>9}"
        f"{'B/id':>8}{'MB':>7}  learns"
    )
    records = [_record(way, n, runs[way.name], failures.get(way.name)) for way in some]
    for record in records:
        _print(record, records[0])
    return records


def _record(way: ways.Way, n: int, runs: list[ways.Figures], failure: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {"name": way.name, "learns": way.learns, "runs": [run.record() for run in runs]}
    if failure is not None:
        return {**record, "failed": failure}
    for what in ("cpu_s", "wall_s", "total_cpu_s", "total_wall_s"):
        record[what] = statistics.median(getattr(run, what) for run in runs)
    carried = [run.bytes for run in runs if run.bytes is not None]
    record["bytes_an_id"] = statistics.median(carried) / n if carried else None
    record["missed"] = [run.missed for run in runs]
    record["peak_mib"] = {name: statistics.median(run.peak_mib[name] for run in runs) for name in runs[0].peak_mib}
    return record


def _print(record: dict[str, Any], own: dict[str, Any]) -> None:
    if "failed" in record:
        print(f"{record['name']:<42} failed: {record['failed']}", flush=True)
        return
    ratios = [f"{record[what] / own[what]:.2f}" if what in own else "-" for what in ("cpu_s", "wall_s")]
    size = "-" if record["bytes_an_id"] is None else f"{record['bytes_an_id']:.1f}"
    peak = max(mib for name, mib in record["peak_mib"].items() if name != "notebook")
    print(
        f"{record['name']:<42}{record['cpu_s']:>9.2f}{ratios[0]:>9}{record['wall_s']:>9.2f}{ratios[1]:>9}{'':10}"
        f"{record['total_cpu_s']:>9.2f}{record['total_wall_s']:>9.2f}{size:>8}{peak:>7.0f}  {record['learns']}",
        flush=True,
    )
    if any(record["missed"]):
        print(f"{'':42} WRONG: shared ids that it did not find, run by run: {record['missed']}")


def _parties(arguments: argparse.Namespace) -> tuple[int, ...]:
    return (2, 3) if arguments.parties == 3 else (2,)


def _installed() -> tuple[dict[str, str], dict[str, Path]]:
    """What could not be installed and why; the Python of each peer that could."""
    found = {
        "spu": installed("spu", ("spu==0.9.5",), "spu.psi", pythons=(sys.executable, "python3.11", "python3.10")),
        "openmined-psi": installed(
            "openmined-psi", ("openmined-psi==2.0.6", "pyarrow"), "private_set_intersection.python, pyarrow.parquet"
        ),
    }
    missing = {name: f"not installed: {reason}" for name, reason in found.items() if isinstance(reason, str)}
    return missing, {name: python for name, python in found.items() if isinstance(python, Path)}


def _peers(n: int, pythons: dict[str, Path], openmined_1m: bool) -> list[ways.Way]:
    """The peers' ways for sets of n ids."""
    some = []
    if python := pythons.get("spu"):
        some += [ways.spu(python, protocol) for protocol in ("ecdh", "kkrt", "rr22", "rr22-low")]
        some += [ways.spu(python, "rr22", "defaults")]
    if (python := pythons.get("openmined-psi")) and (n <= SLOW or openmined_1m):
        some += [ways.openmined(python, repeats=1 if n >= SLOW else None)]
    return some


def _embedded(n: int, repeats: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Joins of parties embedded in one process, each in a process of its own."""
    found: dict[str, Any] = {"n": n, "ways": []}
    names = {
        "import_s": "import",
        "open_s": "open",
        "release_s": "release",
        "again_s": "once more",
        "longest_gap_s": "longest gap",
    }
    print(f"\nembedded, {n:,} ids each: wall s\n{'':42}" + "".join(f"{name:>13}" for name in names.values()))
    with tempfile.TemporaryDirectory(prefix="bench-psi-") as name:
        folder = Path(name)
        ways.make_sets(folder, n, arguments.parties)
        for protocol in arguments.protocol:
            for parties in _parties(arguments):
                try:
                    runs = [ways.embedded(folder, n, protocol, parties) for _ in range(repeats)]
                except Failed as error:
                    print(f"{parties} parties {protocol:<32} failed: {error}")
                    found["ways"].append({"parties": parties, "protocol": protocol, "failed": str(error)})
                    continue
                medians = {what: statistics.median(run[what] for run in runs) for what in runs[0]}
                found["ways"].append({"parties": parties, "protocol": protocol, **medians})
                print(f"{parties} parties {protocol:<33}" + "".join(f"{medians[what]:>13.3f}" for what in names))
    print()
    return found


def _sizes(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sets, no peers")
    parser.add_argument("--no-peers", action="store_true", help="install nothing")
    parser.add_argument("--sizes", type=_sizes, default=list(SIZES), help="ids of a party: 10_000,100_000,1_000_000")
    parser.add_argument("--large", action="store_true", help=f"also {LARGE:,} ids, without peers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parties", type=int, choices=(2, 3), default=2, help="3: also joins of three parties")
    parser.add_argument("--protocol", action="append", help="of psi.join, by name; again for several; else its choice")
    parser.add_argument("--openmined-1m", action="store_true", help="OpenMined PSI at every size: minutes of CPU")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    chosen = parser.parse_args()
    chosen.protocol = chosen.protocol or [""]
    print(json.dumps(main(chosen)))

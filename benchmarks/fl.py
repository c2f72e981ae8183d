"""What federated learning costs beside a NumPy loop (the floor), a PyTorch loop, fluke, pfl and Flower's simulation.

Run as `python benchmarks/fl.py [--quick] [--no-peers] [--date DATE]`. The articles' task: 5,000 MNIST digits, ten
clients with four fifths of one class, an MLP 784-256-128-10, 20 rounds of 5 epochs in batches of 32, plain SGD of rate
0.01. All ways get the same split, seeds and initial weights. Every run starts its processes from nothing; ways are
measured in turn within one run, so that ratios hold on a machine that is busy with other things, and each of the three
turns has a seed of its own. Prints medians as tables in Markdown, what was wanted, then everything as one JSON object
in the last line. Peers are installed by the script into environments of their own under `benchmarks/.peers`. `--quick`
is small and without peers: it shows that everything runs, its figures mean little.
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
from federated import ways
from federated.task import Task, make
from intersections.processes import Failed

SMALL: dict[str, Any] = {"hidden": (16,), "rows": 50, "rounds": 1, "epochs": 1}
NAMES = {"torch": "torch, a loop", "fluke": "fluke", "pfl": "pfl", "flwr": "Flower, simulation"}
SCRIPTS = {"torch": "torch_loop.py", "fluke": "fluke_run.py", "pfl": "pfl_run.py", "flwr": "flower_run.py"}
FLOOR = "floor: NumPy, zero columns dropped"
ALONE = "privsdk, training alone"
FIT = "privsdk, fl.fit embedded, "
ENCRYPTED = 1  # rounds from which an encrypted run is extrapolated
AGGREGATIONS = ("clear", "masked", "encrypted")


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    quick = arguments.quick
    repeats = 1 if quick else arguments.repeats
    report: dict[str, Any] = {"date": arguments.date, "quick": quick, "machine": machine()}
    print(f"{report['date']}, {report['machine']}\n", flush=True)
    report["missing"], pythons = ({}, {}) if quick or arguments.no_peers else _installed()
    tasks = [make(seed, **(SMALL if quick else {})) for seed in range(repeats)]
    report["task"] = {"weights": len(tasks[0].initial), "rounds": tasks[0].rounds, "clients": tasks[0].clients}
    report["ways"] = measured(_ways(quick, pythons), tasks)
    _print_ways(report["ways"], repeats)
    report["parts"] = _parts(quick, repeats, report)
    for what, why in report["missing"].items():
        print(f"{what}: {why}")
    report["targets"] = _targets(report)
    print("\n| wanted | found | |\n|---|---|---|")
    for target in report["targets"]:
        print(
            f"| {target['what']}: {target['wanted']} | {target['found']:.3g} | {'' if target['met'] else 'not '}met |"
        )
    return report


def _ways(quick: bool, pythons: dict[str, Path]) -> list[ways.Way]:
    """The floor in its variants, ours, the peers."""
    some = [ways.floor(FLOOR, "dropped", 1)]
    if not quick:
        some += [
            ways.floor("floor: the same, two threads", "dropped", 2),
            ways.floor("floor: NumPy, all columns", "whole", 1),
            ways.floor("floor: the same, two threads, all columns", "whole", 2),
        ]
    some += [ways.privsdk(ALONE, "alone"), ways.privsdk(FIT + "clear", "fit", "clear")]
    if not quick:
        some += [
            ways.privsdk("privsdk, all roles in one thread, clear", "each"),
            ways.privsdk(FIT + "clear, on one core", "fit", "clear", "one-core"),
            ways.privsdk(FIT + "masked", "fit", "masked"),
            ways.privsdk(FIT + "masked, on one core", "fit", "masked", "one-core"),
            ways.privsdk(FIT + "encrypted, extrapolated", "fit", "encrypted", rounds=ENCRYPTED),
        ]
    return some + [ways.peer(NAMES[name], python, SCRIPTS[name]) for name, python in pythons.items()]


def measured(some: list[ways.Way], tasks: list[Task]) -> list[dict[str, Any]]:
    """Every way's record, measured in turn, a turn for each task."""
    runs: dict[str, list[ways.Figures]] = {way.name: [] for way in some}
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-fl-") as name:
        for turn, task in enumerate(tasks):
            file, like = Path(name) / f"{task.seed}.npz", None
            task.save(file)
            for way in some:
                if way.name in failures or (way.rounds and turn):
                    continue
                try:
                    if way.rounds:
                        runs[way.name].append(_extrapolated(way, task, file))
                        continue
                    figures, weights = ways.run(way, task, file, like=like)
                except Failed as error:
                    failures[way.name] = _said(error)
                    continue
                print(f"turn {turn + 1}: {way.name}: {figures.cpu_s:.1f} CPU s", file=sys.stderr, flush=True)
                like = weights if like is None else like  # the floor's, which is first
                runs[way.name].append(figures)
    return [_record(way.name, runs[way.name], failures.get(way.name)) for way in some]


def _extrapolated(way: ways.Way, task: Task, file: Path) -> ways.Figures:
    """Of a slow way: so many rounds, and as often as are left the difference of one more."""
    assert way.rounds is not None  # noqa: S101
    found = []
    for rounds in (way.rounds, way.rounds + 1):
        part = file.with_suffix(f".{rounds}.npz")
        task._replace(rounds=rounds).save(part)
        found.append(ways.run(way, task._replace(rounds=rounds), part)[0])
    less, more = found
    further = task.rounds - way.rounds
    whole = {
        name: getattr(less, name) + further * (getattr(more, name) - getattr(less, name))
        for name in ("cpu_s", "wall_s", "total_cpu_s", "total_wall_s")
    }
    return ways.Figures(**whole, peak_mib=more.peak_mib, processes=more.processes, notes={"rounds": way.rounds})


def _record(name: str, runs: list[ways.Figures], failure: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {"name": name, "runs": [run.record() for run in runs]}
    if failure is not None:
        return {**record, "failed": failure}
    for what in ("cpu_s", "wall_s", "total_cpu_s", "total_wall_s", "peak_mib", "processes"):
        record[what] = statistics.median(getattr(run, what) for run in runs)
    if all(run.accuracy is not None for run in runs):
        record["accuracy"] = statistics.mean(run.accuracy for run in runs if run.accuracy is not None)
        record["accuracies"] = [run.accuracy for run in runs]
    apart = [run.apart for run in runs if run.apart is not None]
    record["apart"] = max(apart) if apart else None
    if all(isinstance(run.result, dict) for run in runs):
        record["result"] = {what: statistics.median(run.result[what] for run in runs) for what in runs[0].result}
    return record


def _print_ways(records: list[dict[str, Any]], repeats: int) -> None:
    there = {record["name"]: record for record in records if "failed" not in record}
    floor = min((record["cpu_s"] for name, record in there.items() if name.startswith("floor")), default=None)
    peer = min((there[name]["wall_s"] for name in NAMES.values() if name in there), default=None)
    print(
        "| | CPU s | of the floor's | wall s | of the fastest peer's | CPU s, started | MB | processes "
        f"| accuracy, {repeats} seeds | weights apart |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for record in records:
        if "failed" in record:
            print(f"| {record['name']} | failed: {record['failed']} | | | | | | | | |")
            continue
        accuracy = "-"
        if "accuracy" in record:
            accuracy = f"{record['accuracy']:.3f} ({min(record['accuracies']):.3f}-{max(record['accuracies']):.3f})"
        apart = "-" if record["apart"] is None else f"{record['apart']:.0e}"
        print(
            f"| {record['name']} | {record['cpu_s']:.2f} | {_ratio(record['cpu_s'], floor)} | {record['wall_s']:.2f} "
            f"| {_ratio(record['wall_s'], peer)} | {record['total_cpu_s']:.1f} | {record['peak_mib']:.0f} "
            f"| {record['processes']:.0f} | {accuracy} | {apart} |"
        )
    print(flush=True)


def _ratio(one: float, other: float | None) -> str:
    return "-" if other is None else f"{one / other:.2f}"


def _parts(quick: bool, repeats: int, report: dict[str, Any]) -> dict[str, Any]:
    """Figures of a round's parts: sums of updates, calls through gate and link, simulations in one process."""
    clients, weights, calls, many = (3, 100, 2, 20) if quick else (10, report["task"]["weights"], 100, 1000)
    kinds = ("each",) if quick else ("each", *AGGREGATIONS)
    ways_of_calls = AGGREGATIONS[:1] if quick else AGGREGATIONS[:2]
    some = {
        "aggregated": [ways.part(kind, "aggregated", kind, clients, weights) for kind in kinds],
        "calls": [ways.part(kind, "calls", kind, calls) for kind in ways_of_calls],
        "simulated": [ways.part(kind, "simulated", many, kind) for kind in ("stacked", "alone")[: 1 if quick else 2]],
    }
    found: dict[str, Any] = {name: [] for name in some}
    for name, parts in some.items():
        for way in parts:
            runs, failure = [], None
            try:
                runs = [ways.run(way, None, Path())[0] for _ in range(1 if way.name == "encrypted" else repeats)]
            except Failed as error:
                failure = _said(error)
            found[name].append(_record(way.name, runs, failure))
    found["over_training"] = _over_training(report)
    print(f"A round without training, {clients} clients, {weights:,} weights:\n")
    print("| updates | CPU s a round | wall s a round | MB a round |\n|---|---|---|---|")
    for record in found["aggregated"]:
        _print_part(record, lambda r: f"{r['cpu']:.3f} | {r['wall']:.3f} | {r['bytes'] / 1e6:.1f}", 3)
    print("\nWhat `fl.fit` adds to one client in one round:\n\n| | CPU ms | wall ms |\n|---|---|---|")
    for record in found["calls"]:
        _print_part(record, lambda r: f"{r['cpu']:.2f} | {r['wall']:.2f}", 2, "three weights, ")
    for record in found["over_training"]:
        _print_part(record, lambda r: f"{r['cpu']:.2f} | -", 2, f"{weights:,} weights, less the training alone, ")
    print(f"\nA round of {many:,} logistic clients in one process:\n\n| | CPU s | wall s |\n|---|---|---|")
    for record in found["simulated"]:
        _print_part(record, lambda r: f"{r['cpu']:.3f} | {r['wall']:.3f}", 2)
    return found


def _over_training(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Milliseconds of CPU that the task takes by `fl.fit` beyond its training, for one client in one round."""
    there = {record["name"]: record for record in report["ways"] if "failed" not in record}
    alone = there.get(ALONE)
    calls = report["task"]["rounds"] * report["task"]["clients"]
    return [
        {"name": name, "result": {"cpu": 1000 * (there[FIT + name]["cpu_s"] - alone["cpu_s"]) / calls}}
        for name in AGGREGATIONS
        if alone and FIT + name in there
    ]


def _print_part(record: dict[str, Any], shown: Any, columns: int, before: str = "") -> None:
    if "failed" in record:
        print(f"| {before}{record['name']} | failed: {record['failed']} |" + " |" * (columns - 1))
    else:
        print(f"| {before}{record['name']} | {shown(record['result'])} |", flush=True)


def _targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What was wanted of those parts that were measured."""
    there = {record["name"]: record for record in report["ways"] if "failed" not in record}
    parts = {
        (kind, record["name"]): record["result"]
        for kind, records in report["parts"].items()
        for record in records
        if "failed" not in record
    }
    floor = min((record["cpu_s"] for name, record in there.items() if name.startswith("floor")), default=None)
    peers = [there[name] for name in NAMES.values() if name in there]
    found = []
    for name in AGGREGATIONS[:2]:
        if (ours := there.get(FIT + name)) is None:
            continue
        if floor is not None:
            found.append(_most(f"{name}: CPU of the floor's", ours["cpu_s"] / floor, 1.15))
        if peers:
            fastest = min(peer["wall_s"] for peer in peers)
            found.append(_most(f"{name}: wall of the fastest peer's", ours["wall_s"] / fastest, 0.35))
        others = [each for key, each in there.items() if each in peers or key.startswith("floor")]
        apart = max(abs(ours["accuracy"] - each["accuracy"]) for each in others)
        found.append(_most(f"{name}: accuracy from that of others, points", 100 * apart, 2))
    for (kind, name), result in parts.items():
        if (kind, name) == ("aggregated", "masked"):
            found.append(_most("masked sums, wall s a round", result["wall"], 0.3))
        elif kind == "calls":
            found.append(_most(f"{name}: wall ms of gate and link a client call", result["wall"], 3))
        elif (kind, name) == ("simulated", "stacked"):
            found.append(_most("simulated clients, stacked, wall s a round", result["wall"], 2))
    return found


def _most(what: str, found: float, limit: float) -> dict[str, Any]:
    return {"what": what, "found": found, "wanted": f"at most {limit:g}", "met": bool(found <= limit)}


def _said(error: Failed) -> str:
    """Its message, within a cell of a table."""
    return str(error).replace(" | ", ": ")


def _installed() -> tuple[dict[str, str], dict[str, Path]]:
    """What could not be installed and why; the Python of each peer that could."""
    found = {
        name: installed(name, packages, module, pythons=(sys.executable,))
        for name, (packages, module) in ways.PEERS.items()
    }
    missing = {name: f"not installed: {reason}" for name, reason in found.items() if isinstance(reason, str)}
    return missing, {name: python for name, python in found.items() if isinstance(python, Path)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small task, no peers")
    parser.add_argument("--no-peers", action="store_true", help="install nothing")
    parser.add_argument("--repeats", type=int, default=3, help="turns, each with a seed of its own")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    print(json.dumps(main(parser.parse_args())))

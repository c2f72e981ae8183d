"""What encrypted columns cost beside raw SEAL (the floor), TenSEAL as in its tutorials, and other libraries.

Run as `python benchmarks/he.py [--quick] [--no-peers] [--date DATE]`. Prints medians of CPU seconds, of this process
and its children, and wall seconds, then the ratios that are promised, then everything as one JSON object in the last
line. Ways are measured in turn, so that ratios hold on a machine that is busy with other things. Peers are installed by
the script into environments of their own under `benchmarks/.peers`; of slow ways a part is measured and extrapolated,
which is said. `--quick` is small and without peers: it shows that everything runs, its figures mean little.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as running this file does; for those who load it otherwise

from encrypted import cases, peers
from encrypted.loop import gaps
from encrypted.meter import Meter, cpu_s, machine

from privsdk import he

WARM = 20_000  # values: starts the workers and builds the rings


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    quick = arguments.quick
    values, models, rows, repeats = (20_000, [5_000], 500, 1) if quick else (1_000_000, [100_000, 1_000_000], 10_000, 3)
    report: dict[str, Any] = {"date": arguments.date, "quick": quick, "machine": machine()}
    print(f"{report['date']}, {report['machine']}\n")
    report["starting_workers_cpu_s"] = _start(values)
    print(f"starting the workers: {report['starting_workers_cpu_s']:.1f} CPU s, once, not counted below\n")
    meters: dict[str, list[Meter]] = {}

    def case(name: str, title: str, made: list[Meter]) -> None:
        meters[name] = made
        print(title)
        _table(made)
        report[name] = [meter.record() for meter in made]

    case("sums", f"sums of {values:,} values over {cases.PARTIES} parties", cases.sums(values, repeats))
    for length in models:
        title = f"federated averaging of {length:,} parameters over {cases.PARTIES} parties"
        case(f"fedavg_{length}", title, cases.fedavg(length, repeats))
    sample = 10 if quick else 100
    title = f"linear scores of {rows:,} x {cases.FEATURES}; tutorials extrapolated from {sample} rows"
    case("scoring", title, cases.scoring(rows, repeats, sample))
    title = f"gradient X^T r of {rows:,} x {cases.FEATURES}; TenSEAL extrapolated from {sample} rows"
    case("gradient", title, cases.gradient(rows, repeats, sample))
    report["loop"] = gaps(values)
    print(f"event loop that ticks every 5 ms, {values:,} values\n{'':44}{'longest ms':>11}{'p99 ms':>9}{'wall s':>9}")
    for one in report["loop"]:
        print(f"{one['name']:<44}{one['longest_gap_ms']:>11.0f}{one['p99_gap_ms']:>9.1f}{one['wall_s']:>9.2f}")
    report["peers"] = {} if quick or arguments.no_peers else peers.measured()
    _peers(report["peers"], values)
    report["targets"] = _targets(meters, report)
    print("\ntargets")
    for target in report["targets"]:
        met = "met" if target["met"] else "NOT met"
        print(f"{target['what']:<64}{target['found']:>10.3g}  {target['wanted']:<16}{met}")
    return report


def _start(values: int) -> float:
    """CPU seconds of the workers' start; what is built once is built after it."""
    before = cpu_s()
    column = cases.vectors(values)[0]
    key = he.SecretContext.new(he.choose(lambda x: x, error=cases.ERROR, x=he.Range(bound=cases.BOUND, length=WARM)))
    he.encrypt(column, cases.BOUND, key.public)
    return cpu_s() - before


def _table(meters: list[Meter]) -> None:
    names = list(dict.fromkeys(phase for meter in meters for phase in meter.phases))
    print(f"{'':44}{'CPU s':>9}{'wall s':>9}" + "".join(f"{name:>10}" for name in names), end="")
    print(f"{'sent':>14}{'error':>10}{'stated':>10}")
    for meter in meters:
        facts = meter.facts
        a_value = "bytes_a_value" in facts
        size = f"{facts['bytes_a_value']:.1f} B/value" if a_value else f"{facts['bytes'] / 1e6:,.1f} MB"
        error = "0" if facts.get("exact") else f"{facts.get('error', float('nan')):.1e}"
        stated = f"{facts['stated_error']:.1e}" if "stated_error" in facts else "0" if facts.get("exact") else "none"
        phases = "".join(f"{meter.cpu(name):>10.2f}" for name in names)
        print(f"{meter.name:<44}{meter.cpu():>9.2f}{meter.wall():>9.2f}{phases}{size:>14}{error:>10}{stated:>10}")
    for preset in dict.fromkeys(str(m.facts["preset"]) for m in meters if "preset" in m.facts):
        print(f"    {preset}")
    print()


def _peers(found: dict[str, Any], values: int) -> None:
    what = f"peers: {values:,} values of {cases.PARTIES} parties, extrapolated from us a value"
    print(f"\n{what:<60}{'CPU s':>11}{'encrypt':>10}{'add':>8}{'reveal':>10}{'B/value':>9}{'error':>9}")
    if not found:
        print("not run")
    for package, results in found.items():
        if isinstance(results, str):
            print(f"{package}: {results}")
            continue
        for one in results:
            one["cpu_s"] = values / 1e6 * (
                cases.PARTIES * one["encrypt_us"] + (cases.PARTIES - 1) * one["add_us"] + one["decrypt_us"]
            )  # fmt: skip
            name = f"{one['what']} ({one['sample']:,} values)"
            print(
                f"{name:<60}{one['cpu_s']:>11,.1f}{one['encrypt_us']:>10,.2f}{one['add_us']:>8,.2f}"
                f"{one['decrypt_us']:>10,.2f}{one['bytes_a_value']:>9,.1f}{one['error']:>9.1e}"
            )


def _targets(meters: dict[str, list[Meter]], report: dict[str, Any]) -> list[dict[str, Any]]:
    public, floor, secret, secret_floor, _, lessons = meters["sums"]
    ours, coarser, dot, mm = meters["scoring"]
    best, gradient, by_row = min(dot.cpu(), mm.cpu()), *meters["gradient"]
    limbs = public.facts["limbs"]
    longest = max(one["longest_gap_ms"] for one in report["loop"])
    size = "bytes_a_value"
    return [
        _most("sums, public key: CPU s", public.cpu(), 6),
        _most("sums, public key: CPU of raw SEAL's", public.cpu() / floor.cpu(), 1.15),
        _most("sums, secret key: CPU of raw SEAL's", secret.cpu() / secret_floor.cpu(), 1.15),
        _least("sums: CPU of the tutorials' by ours", lessons.cpu() / public.cpu(), 5),
        _least("sums: bytes of the tutorials' by ours", lessons.facts[size] / public.facts[size], 5),
        _most("sums: bytes a value and limb, public key", public.facts[size] / limbs, 16),
        _most("sums: bytes a value and limb, secret key", secret.facts[size] / limbs, 8),
        *(
            _most(f"{name.replace('_', ' of ')}: CPU of raw SEAL's", one.cpu() / other.cpu(), 1.15)
            for name, (one, other, *_) in meters.items()
            if name.startswith("fedavg")
        ),
        _least("scoring within 1e-3: CPU of the tutorials' by ours", best / ours.cpu(), 1000),
        _least("scoring within 1e-2, 4 reveals: the same", best / coarser.cpu(), 1000),
        _least("gradient: CPU of a ciphertext a row by ours", by_row.cpu() / gradient.cpu(), 1),
        _most("results beyond their stated error", sum(_beyond(one) for some in meters.values() for one in some), 0),
        _most("event loop: longest gap, ms", longest, 100),
    ]


def _beyond(meter: Meter) -> bool:
    """Whether a result was further off than stated."""
    facts = meter.facts
    return not facts.get("exact", True) or facts.get("error", 0.0) > facts.get("stated_error", math.inf)


def _most(what: str, found: float, limit: float) -> dict[str, Any]:
    return {"what": what, "found": found, "wanted": f"at most {limit:g}", "met": bool(found <= limit)}


def _least(what: str, found: float, limit: float) -> dict[str, Any]:
    return {"what": what, "found": found, "wanted": f"at least {limit:g}", "met": bool(found >= limit)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, no peers")
    parser.add_argument("--no-peers", action="store_true", help="install nothing")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    print(json.dumps(main(parser.parse_args())))

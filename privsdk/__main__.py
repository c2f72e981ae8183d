"""The command line: `python -m privsdk serve | certificates | audit | joins | check | demo | failpoints`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from .deploy import audit, joins
from .errors import InvalidArgument, PrivsdkError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m privsdk", description="Privacy computing between organisations.")
    commands = parser.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="serve one party")
    serve.add_argument("config", type=Path, help="the party's party.toml")

    certificates = commands.add_parser("certificates", help="make certificates for a federation")
    certificates.add_argument("folder", type=Path)
    certificates.add_argument("names", nargs="+", help="parties and analysts")

    audit.add_commands(commands.add_parser("audit", help="check, export or set right a party's audit chain"))

    joins.add_commands(commands.add_parser("joins", help="list or revoke the joint tables that a party keeps on disk"))

    check = commands.add_parser("check", help="whether this machine is ready for a workshop; needs no network")
    check.add_argument("--folder", type=Path, help="where ledgers would be kept; by default here")

    demo = commands.add_parser("demo", help="a joint analysis of real flights by four parties in this process")
    demo.add_argument("--store", type=Path, help="keep the parties' ledgers in this folder")

    commands.add_parser("failpoints", help="list where a crash test may kill the process")

    chosen = parser.parse_args(arguments)
    try:
        return _run(chosen)
    except PrivsdkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace) -> int:
    match chosen.command:
        case "serve":
            from .deploy.serve import serve

            serve(chosen.config)
        case "certificates":
            from .deploy.config import reject_names
            from .transport.identities import make_certificates

            reject_names(tuple(chosen.names))
            for file in make_certificates(chosen.folder, chosen.names):
                print(file)
        case "audit":
            return audit.run(chosen)
        case "joins":
            joins.run(chosen)
        case "check":
            return _check(chosen.folder)
        case "failpoints":
            from .protocol.failpoints import FailPoint

            print("\n".join(FailPoint))
        case "demo":
            if importlib.util.find_spec("rich") is None:
                raise InvalidArgument(
                    "the demo needs the workshop extra", hint="in a clone: pip install '.[workshop]', or make demo"
                )
            from .workshop.demo import demo

            demo(chosen.store)
    return 0


def _check(folder: Path | None) -> int:
    from .workshop.check import findings

    bad = 0
    for finding in findings(folder):
        print(finding, flush=True)
        bad += not finding.ok
    print("This machine is ready." if not bad else f"This machine is not ready: {bad} to be put right.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""The commands about joint tables that a party keeps on disk: list them, revoke one; its party running or not."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..display.readable import one_line


def add_commands(joins: argparse.ArgumentParser) -> None:
    """Declare `list` and `revoke`."""
    commands = joins.add_subparsers(dest="joins_command", required=True)

    listing = commands.add_parser("list", help="show whose they are, of which table and until when")
    listing.add_argument("ledger", type=Path)

    revoke = commands.add_parser("revoke", help="remove one, as its owner: nobody can use it any more")
    revoke.add_argument("ledger", type=Path)
    revoke.add_argument("name", help="as it is listed; 'all' for each of them")
    revoke.add_argument("--reason", required=True, help="why; it is written into the audit, and its caller is told")


def run(chosen: argparse.Namespace) -> None:
    """Do what was asked."""
    from .owner import Owner

    with Owner(chosen.ledger) as owner:
        kept = owner.joint_tables().to_pylist()
        if chosen.joins_command == "list":
            for row in kept:
                whose = f"of {row['analyst']} for {row['purpose']}"
                print(one_line(f"{row['name']}  {row['table']}, {whose}, until {row['until']:%Y-%m-%d %H:%M} UTC"))
            return
        for name in [row["name"] for row in kept] if chosen.name == "all" else [chosen.name]:
            owner.revoke(name, reason=chosen.reason)
            print(f"{one_line(name)} is revoked")

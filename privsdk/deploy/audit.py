"""The audit commands: verify a ledger file, export its chain, acknowledge a loss; its party running or not."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from ..display.readable import readable
from ..errors import InvalidArgument, LedgerChanged, LedgerError


def add_commands(audit: argparse.ArgumentParser) -> None:
    """Declare `verify`, `export` and `acknowledge`."""
    commands = audit.add_subparsers(dest="audit_command", required=True)

    verify = commands.add_parser("verify", help="check every row of a ledger file, its party running or not")
    verify.add_argument("ledger", type=Path)
    verify.add_argument("--key", metavar="HEX", help="the party's public key, as in a receipt; refuse any other")
    verify.add_argument("--head", metavar="ROWS:HASH", help="say whether this head, as in a receipt, is in the chain")

    export = commands.add_parser("export", help="write a sound chain to an Arrow or Parquet file")
    export.add_argument("ledger", type=Path)
    export.add_argument("out", type=Path, help="a file that ends with .arrow or .parquet")

    acknowledge = commands.add_parser("acknowledge", help="accept, as its owner, that rows of a ledger were lost")
    acknowledge.add_argument("ledger", type=Path)
    acknowledge.add_argument("--reason", required=True, help="what happened; it is written into the audit")


def run(chosen: argparse.Namespace) -> int:
    """Do what was asked; the exit code."""
    match chosen.audit_command:
        case "verify":
            return verify(chosen.ledger, key=chosen.key, head=chosen.head)
        case "export":
            export(chosen.ledger, chosen.out)
        case "acknowledge":
            acknowledge(chosen.ledger, chosen.reason)
    return 0


def _say(line: str) -> None:
    print(readable(line))


def verify(ledger: Path, *, key: str | None = None, head: str | None = None) -> int:
    """Print what was found; 0 if the chain is sound, is signed by the key and holds the head."""
    from ..party.ledger.verification import read_ledger, verify_ledger

    wanted = None if key is None else _hex(key, 32, "--key is a public key: 64 hexadecimal digits")
    place = None if head is None else _head(head)
    named = read_ledger(ledger).public_key
    if wanted is not None and wanted != named:
        raise LedgerChanged(
            f"{ledger} is signed by another key: it names {named.hex()}",
            hint="compare with a receipt's public_key; this may be another party's ledger, or one made anew",
        )
    verdict = verify_ledger(ledger, wanted)
    _say(f"{ledger}: {verdict}")
    if verdict.first_bad >= 0:
        return 1
    rows = read_ledger(ledger).rows
    _say(f"key   {named.hex()} (fingerprint {hashlib.sha256(named).hexdigest()[:16]})")
    if wanted is None:
        _say("      as the file says: give --key to check that it is the party's")
    _say(f"head  {verdict.rows}:{rows[verdict.rows - 1].hash.hex() if verdict.rows else ''}")
    if place is not None:
        number, digest = place
        if number < 1 or number > verdict.rows:
            _say(f"the head {head} is NOT in this chain, which has {verdict.rows} rows: it was shortened")
            return 1
        if rows[number - 1].hash != digest:
            _say(f"the head {head} is NOT in this chain: its row {number} is another one")
            return 1
        _say(f"the head of {number} rows is in this chain")
    return 0


def export(ledger: Path, out: Path) -> None:
    """Write a sound chain to a file."""
    from ..governance.export import audit_table, write_audit
    from ..party.ledger.verification import read_ledger, verify_ledger

    verdict = verify_ledger(ledger)
    if verdict.first_bad >= 0:
        raise LedgerError(
            f"{ledger}: {verdict.reason}; an export would pass a broken chain on",
            hint="keep the ledger file itself as the evidence",
        )
    held = read_ledger(ledger)
    write_audit(audit_table(held.rows[: verdict.rows], held.public_key), out)
    _say(f"{out}: {verdict.rows} rows of {ledger}")


def acknowledge(ledger: Path, reason: str) -> None:
    """Accept the losses that callers have shown."""
    from .owner import Owner

    with Owner(ledger) as owner:
        for head in owner.acknowledge(reason=reason):
            _say(f"{ledger}: acknowledged the loss of the chain that had {head.rows} rows, head {head.hash}")
    _say("Requests pass again. What was charged in the lost rows is not in the budgets: take it off them.")


def _head(text: str) -> tuple[int, bytes]:
    rows, _, digest = text.partition(":")
    if not rows.isdecimal():
        raise InvalidArgument(f"{text!r} is no head", hint="--head ROWS:HASH, such as --head 12:5e3f...")
    return int(rows), _hex(digest, 32, "--head is ROWS:HASH, the hash of 64 hexadecimal digits")


def _hex(text: str, size: int, hint: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise InvalidArgument(f"{text!r} is not {size} bytes in hexadecimal", hint=hint)
    return value

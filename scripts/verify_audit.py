"""Check a privsdk audit chain without privsdk: verify_audit.py LEDGER|EXPORT [--key HEX] [--head ROWS:HASH]

LEDGER is a SQLite file with a table audit(sequence, body, hash, signature); its table meta names the party's Ed25519
key. EXPORT is an .arrow or .parquet file with columns sequence, detail, hash, signature (needs pyarrow). In each row
    hash      = SHA-256(hash of the row before, 32 zero bytes at first || sequence, 8 bytes big-endian || body)
    signature = Ed25519 signature of hash
Only --key proves who signed: a file can name any key. A head is a row's number and hash, as receipts hold it.
"""

import argparse
import hashlib
import pathlib
import sqlite3
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def read(path):
    """The key that the file names, and its rows of sequence, body, hash, signature."""
    if path.suffix in (".arrow", ".parquet"):
        from pyarrow import ipc, parquet

        table = parquet.read_table(path) if path.suffix == ".parquet" else ipc.open_file(path).read_all()
        rows = [(r["sequence"], r["detail"].encode(), r["hash"], r["signature"]) for r in table.to_pylist()]
        return bytes.fromhex((table.schema.metadata or {}).get(b"privsdk.public_key", b"").decode()), rows
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    key = db.execute("SELECT value FROM meta WHERE key = 'public_key'").fetchone()
    return bytes.fromhex(key[0]), list(db.execute("SELECT sequence, body, hash, signature FROM audit ORDER BY 1"))


def check(rows, key):
    """How many rows are sound from the first on, and what is wrong with the next one, if anything."""
    previous = bytes(32)
    for due, (sequence, body, digest, signature) in enumerate(rows, 1):
        if sequence != due:
            return due - 1, f"row {due} is missing; row {sequence} follows row {due - 1}"
        if hashlib.sha256(previous + sequence.to_bytes(8, "big") + body).digest() != digest:
            return due - 1, f"row {due} or the link to the row before it was changed"
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, digest)
        except InvalidSignature:
            return due - 1, f"row {due} is not signed by this party's key"
        previous = digest
    return len(rows), ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    for option in ("--key", "--head"):
        parser.add_argument(option, default="")
    given = parser.parse_args()
    named, rows = read(given.file)
    sound, wrong = check(rows, bytes.fromhex(given.key) if given.key else named)
    heads = {f"{row[0]}:{row[2].hex()}" for row in rows[:sound]}
    wrong = wrong or (given.head and given.head not in heads and f"the head {given.head} is NOT in this chain")
    sys.exit(f"{given.file}: {wrong}" if wrong else print(f"{given.file}: {sound} rows, chain and signatures sound"))

"""Ledger events: the structs read every row that ledgers hold and write the same bytes; a later version's are shown."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import msgspec
import pytest
from claims import Cases

from privsdk.errors import InvalidArgument, LedgerError
from privsdk.governance import events
from privsdk.governance.chain import Row
from privsdk.governance.charges import Exact
from privsdk.governance.events import Entry, RunPaid, RunReserved, RunStarted, UnknownEvent
from privsdk.governance.export import audit_table
from privsdk.party.ledger.verification import LedgerTables, read_ledger, reconcile

TESTS = Path(__file__).parents[1]
NEWER = b'{"at":"2030-01-01T00:00:00+00:00","caller":"ann","event":"granted","to":["bob"]}'


@pytest.mark.claim("ledger events: every row of stored ledgers is read and would be written again byte for byte")
def test_rows_of_stored_ledgers(tmp_path: Path, cases: Cases) -> None:
    with tarfile.open(TESTS / "stored" / "before_the_move.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    kinds = set()
    for ledger in [TESTS / "party" / "ledgers" / "version1.sqlite", *tmp_path.rglob("*.sqlite")]:
        for row in read_ledger(ledger).rows:
            event = events.decode(row.body)
            kinds.add(type(event))
            # a budget given as an integer comes back as a float; all else is the same, byte for byte
            assert events.encode(event).replace(b".0,", b",") == row.body.replace(b".0,", b",")
            cases()
    assert len(kinds) >= 7


def test_the_encoding_is_that_of_sorted_json() -> None:
    entry = Entry("people", Exact(what="x"))
    request = events.raw({"run_id": "r", "operation": "o", "purpose": "p", "b": 1, "a": {"z": 1, "y": 2}})
    for event in (
        RunReserved(at="t", caller="ann", request=request, entries=(entry,), tables=("t",)),
        RunStarted(at="t", run="r", session="s", heads={}, clock_set_back_to="u"),
        RunPaid(run="r", entries=(entry, entry)),
    ):
        body = events.encode(event)
        assert body.decode() == json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
    assert events.encode(RunStarted(at="t", run="r", session="s", heads={})) == (
        b'{"at":"t","event":"started","heads":{},"run":"r","session":"s"}'
    )


@pytest.mark.claim("ledger events: what a later version wrote is shown by name and never counted around")
def test_an_event_of_a_later_version(cases: Cases) -> None:
    assert events.decode(NEWER) == UnknownEvent(event="granted", at="2030-01-01T00:00:00+00:00", caller="ann")
    row = Row(1, NEWER, bytes(32), bytes(64))
    (shown,) = audit_table([row]).to_pylist()
    assert (shown["event"], shown["caller"], shown["run"]) == ("granted", "ann", None)
    with pytest.raises(LedgerError, match="row 1 of the chain is an event 'granted', which this privsdk does not know"):
        reconcile(LedgerTables({}, {}, {}, {}, {}, {}), [row])
    cases()


@pytest.mark.parametrize("body", [b'{"event":"started","at":"t"}', b'{"event":"paid","at":"t","run":"r","entries":1}'])
def test_a_known_event_that_is_not_whole_is_no_unknown_one(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        events.decode(body)
    with pytest.raises(InvalidArgument, match="audit row 1 is not what privsdk writes"):
        audit_table([Row(1, body, bytes(32), bytes(64))])

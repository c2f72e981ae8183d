"""Names and texts of others never steer a terminal, turn letters or begin a line, wherever they are shown."""

from __future__ import annotations

import io
import logging
import unicodedata
from pathlib import Path

import pytest
from claims import Cases

import privsdk as ps
from privsdk.client.progress import Ticker
from privsdk.deploy import audit
from privsdk.display.readable import LogFormatter, one_line, readable
from privsdk.errors import PeerFailed, PrivsdkError, UnknownName
from privsdk.errors.sessions import SessionEnded

HOSTILE = "\x1b[2J\x9b31m\u202enorth\u2066\u061c\u2028\ufeff\U000e0041\ud800\x07\r"
CLAIM = pytest.mark.claim("display: names of others steer no terminal and turn no letters, wherever they are shown")


def steers(text: str) -> list[str]:
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@CLAIM
def test_every_letter_that_steers_is_written_out(cases: Cases) -> None:
    for code in range(0x110000):
        letter = chr(code)
        if steers(letter) and letter not in "\u00ad\u200c\u200d":
            assert not steers(readable(letter)), hex(code)
            cases()
    for fine in ("north", "Größe", "名前", "a\nb", "👩\u200d🔬", "\u0645\u06cc\u200c\u062e"):
        assert readable(fine) == fine
    assert one_line("a\nINFO all is well") == "a\\nINFO all is well"


@CLAIM
def test_errors(cases: Cases) -> None:
    """Also those that came from another party, with its own words in every field."""
    record = PeerFailed(HOSTILE, hint=HOSTILE, party=HOSTILE, run_id=HOSTILE, phase=HOSTILE).to_record()
    for error in (
        UnknownName.among("table", HOSTILE, [HOSTILE, "t"]),
        PeerFailed(SessionEnded(peer=HOSTILE, code=HOSTILE)).at(source=HOSTILE),
        PrivsdkError.from_record(record),
        UnknownName("x").with_others([PrivsdkError.from_record(record)]),
    ):
        assert "\\x1b" in str(error)
        for text in (str(error), error.message, error.hint, repr(error)):
            assert not steers(text)
            cases()


@CLAIM
def test_progress(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    output = io.StringIO()
    ticker = Ticker(output)
    monkeypatch.setattr("privsdk.client.progress.AFTER_S", 0.0)
    ticker.show(f"{HOSTILE}\nb")
    assert not steers(output.getvalue().removeprefix("\r"))
    assert "\n" not in output.getvalue()
    ticker.leave(HOSTILE)
    assert "\x1b" not in output.getvalue()
    cases(2)


@CLAIM
def test_logs(cases: Cases) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "run %s of %s", (f"a\n{HOSTILE}", HOSTILE), None)
    line = LogFormatter("%(levelname)s %(message)s").format(record)
    assert not steers(line)
    assert "\n" not in line
    cases()


@CLAIM
def test_what_the_audit_commands_print(tmp_path: Path, capsys: pytest.CaptureFixture[str], cases: Cases) -> None:
    with ps.embedded(north={}, store=tmp_path, quiet=True):
        pass
    ledger = (tmp_path / "north.sqlite").rename(tmp_path / "a\x1b[2J\u202e.sqlite")
    audit.verify(ledger)
    printed = capsys.readouterr().out
    assert "\\x1b[2J\\u202e" in printed
    assert not steers(printed)
    cases()

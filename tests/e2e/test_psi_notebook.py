"""The notebook on private joins shows nobody."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from claims import Cases
from figures import digits_of as digits
from figures import tidy
from tutorials import execute, read, said

from privsdk.workshop import tourism

EXAMPLE = "482913772"  # of nobody: the tutorial writes it down itself


@pytest.mark.lengthy
@pytest.mark.claim("canary: the notebook on private joins shows nobody, not even whom it got back")
def test_nobody_is_shown(tmp_path: Path, cases: Cases) -> None:
    executed = execute(read("01_psi_three_agencies"), tmp_path)
    texts = [text for cell in executed.cells for text in said(cell) if text]
    assert len(texts) > 40
    names, numbers = shown("\n".join([*texts, *(cell.source for cell in executed.cells)]))
    assert "zoë muster" in names, "or nothing would be found in any case"
    assert EXAMPLE in numbers
    for table in (table for tables in tourism().values() for table in tables.values()):
        for row in table.to_pylist():
            assert digits(row["document"]) not in numbers
            assert digits(row.get("phone")) == "" or digits(row["phone"]) not in numbers
            assert tidy(row["name"]) not in names
            cases()


def shown(text: str) -> tuple[set[str], set[str]]:
    """Two words one after the other, which a name may be, and numbers of nine digits however they are written."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", text).lower())
    pairs = {f"{first} {second}" for first, second in pairwise(words)}
    return pairs, set(re.findall(r"(?<!\d)\d{9}(?!\d)", re.sub(r"(?<=\d{3})[-. ](?=\d{3})", "", text)))

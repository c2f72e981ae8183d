"""Text of others, shown: without what steers a terminal, turns the order of letters or begins a line of its own.

Parties choose their names, and callers their run ids. What is shown passes here where it is shown, once: cards and
pictures, errors, progress, logs, and what the audit commands print.
"""

from __future__ import annotations

import logging
import unicodedata

_ESCAPED = {
    code: f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
    for code in (*range(0x3000), *range(0xFE00, 0x20000), *range(0xE0000, 0xE0080))
    if chr(code) != "\n"
    and unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")
    and code not in (0xAD, 0x200C, 0x200D)  # where words may be parted, and joins of letters and emoji
}
_ESCAPED |= {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}  # halves of letters, which no encoding takes


def readable(text: str) -> str:
    """A text with what would steer a terminal or turn the order of letters written out; lines stay lines."""
    return text.translate(_ESCAPED)


def one_line(text: str) -> str:
    """The same, in one line."""
    return readable(text).replace("\n", "\\n")


class LogFormatter(logging.Formatter):
    """Log records of one line each, whatever names are in them."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))

"""Looks for values of single rows in what a notebook shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from privsdk import workshop

CANARY = "kanarie"


def rows_of(name: str) -> Iterator[pa.Table]:
    """The tables of those parties whose rows a tutorial works on."""
    loaders = {
        "00": workshop.nyc_flights, "01": workshop.tourism, "02": workshop.lending_club,
        "04": workshop.hourly_departures, "05": workshop.nyc_flights, "06": workshop.nyc_flights,
    }  # fmt: skip
    if load := loaders.get(name[:2]):
        for tables in load().values():
            yield from tables.values()


def rare(table: pa.Table) -> set[str]:
    """Numbers that say whose row it is, as they would be printed: of many decimals, or large, odd and single."""
    found = set()
    for column in table.columns:
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            continue
        for value, times in Counter(column.drop_null().to_pylist()).items():
            long = isinstance(value, float) and len(str(value).partition(".")[2]) >= 4
            single = times == 1 and value >= 10_000 and value % 100
            if long or single:
                found |= {str(value).removesuffix(".0"), f"{value:.7g}"} if long else {str(value).removesuffix(".0")}
    return found


def numbers(text: str) -> set[str]:
    """The numbers of a text, without separators of thousands and trailing zeros."""
    found = re.findall(r"(?<![\w.#])\d[\d,]*(?:\.\d+)?(?![\w%])", text)
    return {number.replace(",", "").removesuffix(".0") for number in found}


def leaks(text: str, values: set[str]) -> set[str]:
    """What of a canary or of rare values stands in a text. Pictures have coordinates, which are left out."""
    planted = {CANARY} & {CANARY if CANARY in text.lower() else ""} | ({"7391.25"} & numbers(text))
    drawn = text.lstrip().startswith(("<?xml", "<svg"))
    return planted | (set() if drawn else values & numbers(text))

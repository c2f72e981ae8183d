"""Data for workshops: real, from packages that bundle it (extra `workshop`); people are invented. No network.

Also the demo, the exercises of the tutorials and the readiness check (`check`). What each owner derives from its own
rows before an analysis is derived here, as it would be at the owner's.
"""

from .digits import digits
from .flights import AIRPORTS, airlines, hourly_departures, nyc_flights
from .loans import REGIONS, lending_club
from .people import EXCHANGE, HOMES, STATIONS, tourism

__all__ = [
    "AIRPORTS",
    "EXCHANGE",
    "HOMES",
    "REGIONS",
    "STATIONS",
    "airlines",
    "digits",
    "hourly_departures",
    "lending_club",
    "nyc_flights",
    "tourism",
]

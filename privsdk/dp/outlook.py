"""What a release will look like, before it is paid for: expected errors, and simulations on mock data.

Nothing here sees a party's rows. A mock is a public or synthetic table with the same columns; a simulation runs the
parties' own code on it, with the real sampler; noise in shares is drawn as their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from ..errors import InvalidArgument, UnknownName
from ..protocol.in_memory import together
from ..protocol.roles import Role, SystemEntropy
from .intervals import finished
from .noise import WHOLE, noisy_vector
from .release import Integers, ReleaseParameters, rounded_shift
from .vectors import exact_vector

SIZES = (100, 1_000, 10_000)
ALIKE = ("count", "sum", "histogram")  # errors do not depend on how many values there are
MAX_SIMULATED = 1 << 22  # entries of all simulated vectors together

T = TypeVar("T")


class ReleaseOutlook:
    """A release's `Outlook`, for noise of these scales and this shape: see `privsdk.client.preview`."""

    def __init__(self, release: ReleaseParameters, scales: Sequence[float], shape: Fraction = WHOLE) -> None:
        self._release = release
        self._scales = scales
        self._shape = shape
        self._own = "count" if release.statistic == "histogram" else release.statistic

    @property
    def epsilon(self) -> float:
        return self._release.epsilon

    @property
    def sizes(self) -> tuple[int, ...]:
        """For which numbers of values errors are told: of counts and sums they do not depend on it."""
        return (1,) if self._release.statistic in ALIKE else SIZES

    def at(self, epsilon: float) -> ReleaseOutlook:
        """Of the same question for another epsilon: noise scales with its inverse."""
        other = msgspec.structs.replace(self._release, epsilon=epsilon)
        return ReleaseOutlook(other, [scale * self._release.epsilon / epsilon for scale in self._scales], self._shape)

    def half_width(self, rows: int) -> float:
        """Half of the 95% interval for a group of so many values, spread evenly over the bounds, in the statistic's
        own unit; of a count, sum or bin, whatever the group's size."""
        table = finished(self._alone(), self._scales, _evenly(self._alone(), rows), self._shape)
        return float(_halves(table)[0])

    def expected(self, mock: pa.Table | None = None) -> tuple[tuple[str, str], ...]:
        """The half-width of the 95% interval, as labelled facts; of each of the mock's groups where one is given."""
        if mock is not None:
            return self._expected_on(mock)
        each, own = "of each group's " if self._release.by else "of the ", self._release.statistic
        if own in ALIKE:
            what = "of each bin's count" if own == "histogram" else f"{each}{own}"
            bias = "" if own == "count" else "; clamping bias not included"
            return (
                ("expected error", f"at most {self.half_width(1):g} with 95% probability, {what} (noise only{bias})"),
            )
        sizes = ", ".join(f"{self.half_width(rows):.3g} over {rows:,} values" for rows in SIZES)
        caveat = "noise only; clamping bias not included; values spread evenly"
        return (("expected error", f"at most about {sizes},\nwith 95% probability, {each}{own} ({caveat})"),)

    def _expected_on(self, mock: pa.Table) -> tuple[tuple[str, str], ...]:
        exact = self._exact(mock)
        table = finished(self._release, self._scales, exact, self._shape)
        halves = _halves(table)
        sizes = self._sizes(mock)
        smallest = int(np.argmin(sizes))
        rows = len(halves) // len(sizes)
        worst = float(halves[smallest * rows : (smallest + 1) * rows].max())
        true = table.column(self._own)[smallest * rows].as_py()
        share = f", {worst / abs(true):.2%} of it" if true and rows == 1 else ""
        bias = "" if self._release.statistic == "count" else "; clamping bias not included"
        named = f"group {self._release.keys[smallest]!r}" if self._release.keys else "the whole table"
        return (
            ("mock", f"{len(sizes)} groups of {min(sizes):,} to {max(sizes):,} rows; rows of one id not bounded in it"),
            ("expected error", f"{_span(halves)} with 95% probability (noise only{bias})"),
            ("smallest group", f"{named}, {sizes[smallest]:,} rows: at most {worst:.3g}{share}"),
        )

    def simulate(self, mock: pa.Table, times: int) -> pa.Table:
        """Outcomes if the mock were the data: `run`, the answer's own columns, and `true` without noise.

        Raises
        ------
        InvalidArgument
            The mock lacks a column, has one of another type, or so many runs are too many.
        """
        if not 1 <= times <= max(1, MAX_SIMULATED // self._release.length):
            raise InvalidArgument(
                f"{times} simulated releases of {self._release.length} numbers",
                hint=f"{MAX_SIMULATED} numbers are simulated at most",
            )
        exact = self._exact(mock)
        true = finished(self._release, self._scales, exact).column(self._own)
        runs = []
        for run in range(times):
            noisy = _run(noisy_vector(exact, self._scales, self._shape, SystemEntropy()))
            ends = np.cumsum([len(part) for part in exact])[:-1]
            parts = np.split(np.array(noisy, dtype=np.int64), ends)
            answer = finished(self._release, self._scales, parts, self._shape)
            runs.append(answer.add_column(0, "run", pa.array([run] * answer.num_rows)).append_column("true", true))
        return pa.concat_tables(runs)

    def _exact(self, mock: pa.Table) -> list[Integers]:
        if not isinstance(mock, pa.Table):
            raise InvalidArgument(f"a mock is an Arrow table, not a {type(mock).__name__}", hint="pa.table({...})")
        for column in self._release.columns:
            if column not in mock.column_names:
                raise UnknownName.among("column", column, mock.column_names, where="in the mock")
        return _run(exact_vector(mock, self._release, where="mock"))

    def _sizes(self, mock: pa.Table) -> list[int]:
        """Rows of each public group."""
        release = self._release
        counting = ReleaseParameters(
            statistic="count",
            epsilon=release.epsilon,
            by=release.by,
            keys=release.keys,
            others=release.others,
            where=release.where,
        )
        sizes: list[int] = _run(exact_vector(mock, counting, where="mock"))[0].tolist()
        return sizes

    def _alone(self) -> ReleaseParameters:
        """The release without groups."""
        return msgspec.structs.replace(self._release, by=None, keys=None, others=False)


def _evenly(release: ReleaseParameters, rows: int) -> list[Integers]:
    """The vector of so many values spread evenly over the bounds or bins."""
    if release.edges is not None:
        return [np.diff(np.arange(release.bins + 1) * rows // release.bins)]
    if release.bounds is None:
        return [np.array([rows])]
    low, high = (bound - release.centre for bound in release.clamp)
    places = np.linspace(low, high, 1001).round().astype(np.int64)
    total = round(rows * float(places.mean()))
    squares = rounded_shift(places * places, release.dropped_bits) - release.largest_square // 2
    vector = {"count": rows, "sum": total, "squares": round(rows * float(squares.mean()))}
    return [np.array([vector[part.name]]) for part in release.components]


def _halves(table: pa.Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    ends = [table.column(name).to_numpy().astype(np.float64) for name in ("low", "high")]
    halves: np.ndarray[Any, np.dtype[np.float64]] = (ends[1] - ends[0]) / 2
    return halves


def _span(halves: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    least, most = float(halves.min()), float(halves.max())
    return f"at most {most:.3g}" if least == most else f"at most {least:.3g} to {most:.3g}"


def _run(role: Role[T]) -> T:
    """Run a role that sends nothing and hears nobody."""
    ran: T = together({"": role})[""]
    return ran

"""Releases through their operations' roles, without a federation, and the exact distribution of their noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.signal import fftconvolve

from privsdk.dp.intervals import finished
from privsdk.dp.operation import NoisyRelease, components_of
from privsdk.dp.release import ReleaseParameters
from privsdk.governance.charges import Unit
from privsdk.protocol.operation import Operand, Request, RoleInput
from privsdk.protocol.roles import SystemEntropy
from privsdk.protocol.services import UNGUARDED
from privsdk.testing import Sent, together

# One release of each kind over the columns x (integers 0, 1 and 2, say) and g.
PARAMETERS: dict[str, dict[str, Any]] = {
    "count": {"epsilon": 0.5},
    "sum": {"epsilon": 1.0, "column": "x", "bounds": (-2.0, 3.0), "resolution": 0.25},
    "mean": {"epsilon": 1.0, "column": "x", "bounds": (0.0, 2.0)},
    "variance": {"epsilon": 3.0, "column": "x", "bounds": (0.0, 4.0)},
    "quantile": {"epsilon": 0.5, "column": "x", "edges": (0.0, 1.0, 2.0, 3.0), "quantile": 0.5},
    "histogram": {"epsilon": 1.0, "column": "x", "edges": (0.0, 1.0, 2.0, 3.0)},
}
ROW = Unit()


class Released(NamedTuple):
    """The finished table, and what it was made from: noisy components, parameters, scales and shape of the noise."""

    table: pa.Table
    noisy: list[npt.NDArray[np.int64]]
    release: ReleaseParameters
    scales: tuple[float, ...]
    shape: Fraction


def request_for(
    statistic: str, *, parties: tuple[str, ...] = ("north",), unit: Unit = ROW, **parameters: Any
) -> Request:
    """A request to one party, or to several of whom the last holds the key."""
    named = [parameters[name] for name in ("column", "by") if parameters.get(name) is not None]
    columns = tuple(dict.fromkeys([*named, *(condition.name.column for condition in parameters.get("where", ()))]))
    holders = parties if len(parties) == 1 else parties[:-1]
    return Request(
        run_id="r",
        operation=f"dp.{statistic}",
        caller="analyst",
        purpose="test",
        parties=parties,
        operands={party: Operand(table="t", columns=columns, unit=unit) for party in holders},
        parameters=msgspec.to_builtins({"statistic": statistic, **parameters}),
    )


def given(request: Request, party: str, table: pa.Table | None) -> RoleInput:
    return RoleInput(
        request=request,
        party=party,
        session=b"",
        table=table.select(list(request.operands[party].columns)) if table is not None else None,
        keys=None,
        min_count=0,
        entropy=SystemEntropy(),  # of each party its own
        services=UNGUARDED,
    )


def release(
    table: pa.Table, statistic: str, transcript: list[Sent] | None = None, *, unit: Unit = ROW, **parameters: Any
) -> Released:
    """One party's release of a table whose rows are bounded already."""
    request = request_for(statistic, unit=unit, **parameters)
    operation = NoisyRelease.parse(request)
    outcome = together({"north": operation.role(given(request, "north", table))}, transcript)["north"]
    return _released(operation, outcome.table)


def pooled(
    tables: Mapping[str, pa.Table], statistic: str, transcript: list[Sent] | None = None, **parameters: Any
) -> Released:
    """The release of several parties' tables; k holds the key."""
    request = request_for(statistic, parties=(*tables, "k"), **parameters)
    operation = NoisyRelease.parse(request)
    roles = {p: operation.role(given(request, p, tables.get(p))) for p in request.parties}
    return _released(operation, together(roles, transcript)["k"].table)


def _released(operation: NoisyRelease, answer: pa.Table) -> Released:
    release, scales, noisy = operation.parameters, operation.scales, components_of(answer)
    return Released(finished(release, scales, noisy, operation.shape), noisy, release, scales, operation.shape)


def copies(rows: Sequence[Any], times: int) -> pa.Table:
    """The same rows in each of many groups: one release of them is as many independent ones."""
    return pa.table({"g": np.repeat(np.arange(times), len(rows)), "x": pa.array(list(rows) * times)})


def pmf(scale: float, z: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The discrete Laplace distribution, written down once more."""
    r = math.exp(-1 / scale)
    mass: npt.NDArray[np.float64] = (1 - r) / (1 + r) * r ** np.abs(z)
    return mass


def cdf(scale: float, z: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """P(Z <= z) of it."""
    r = math.exp(-1 / scale)
    mass: npt.NDArray[np.float64] = np.where(z < 0, r ** np.abs(z) / (1 + r), 1 - r ** (np.abs(z) + 1) / (1 + r))
    return mass


def shared_pmf(scale: float, shape: float, far: int) -> npt.NDArray[np.float64]:
    """The distribution of noise of this shape on -far to far: two negative binomials, by the ratio of neighbours, and
    their difference, by convolution."""
    r, x = math.exp(-1 / scale), np.arange(1, 2 * far)
    one = (-math.expm1(-1 / scale)) ** shape * np.concatenate([[1.0], np.cumprod(r * (shape + x - 1) / x)])
    both: npt.NDArray[np.float64] = fftconvolve(one, one[::-1])
    return both[len(both) // 2 - far : len(both) // 2 + far + 1]

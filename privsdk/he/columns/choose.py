"""Parameters chosen from the circuit: the cheapest preset that computes it within the wanted error.

The circuit runs on columns without ciphertexts, whose figures are those that the true ones will have, under one preset
after the other, cheapest first.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
import numpy as np

from ...crypto.seal.noise import NoiseEstimator
from ...crypto.seal.presets import MAX_LIMBS, MAX_REVEALS, Packing, Preset, Scheme, ckks_chains, exact_chains
from ...errors import CircuitTooDeep, InvalidArgument
from .arrow import Meta
from .column import Column
from .operands import positive


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a column before it is encrypted, for `choose`.

    Parameters
    ----------
    bound : float
        Largest absolute value.
    length : int
        Number of values.
    integers : bool
        Whether all values are whole numbers.
    nulls : bool
        Whether some may be null, where another column's are not: sums of such columns have to mask them.
    """

    bound: float
    length: int = 1
    integers: bool = False
    nulls: bool = False


def choose(
    circuit: Callable[..., Any],
    *,
    error: float,
    scheme: Scheme | None = None,
    secret: bool = False,
    reveals: int = MAX_REVEALS,
    **inputs: Range | Iterable[Range],
) -> Preset:
    """The cheapest preset that computes a circuit within an error: parameters nobody has to choose.

    Parameters
    ----------
    circuit : callable
        Takes the columns by name and returns the results: the very code that will run on ciphertexts.
    error : float
        Largest difference of a revealed result from exact arithmetic, in the result's unit.
    scheme : "exact" or "ckks", optional
        Default exact where the circuit allows it: sums, and products with whole numbers. It is exact, smaller, faster,
        and its results can be shown to anyone. CKKS is for products of reals and of columns.
    secret : bool
        Whether the columns are encrypted with the secret key, which leaves more room.
    reveals : int
        How many results will be revealed under the key: CKKS's noise grows with its root.
    **inputs : Range, or list of Range
        The columns by the names that the circuit gives them.

    Raises
    ------
    CircuitTooDeep
        No preset computes it within the error; says how near the best comes.

    Examples
    --------
    >>> preset = he.choose(lambda x, y: (x * y).sum(), error=0.1, x=he.Range(bound=100), y=he.Range(bound=1))
    >>> key = he.SecretContext.new(preset)
    """
    if not positive(error):
        raise InvalidArgument(f"an error of {error}", hint="give a positive, finite number")
    given = {name: list(ranges) if isinstance(ranges, Iterable) else ranges for name, ranges in inputs.items()}
    _check_inputs(circuit, given)
    reasons: list[CircuitTooDeep] = []
    best = math.inf
    error_of = partial(_error_of, circuit, given, secret)
    if scheme != "ckks":
        ranges = [one for each in given.values() for one in ([each] if isinstance(each, Range) else each)]
        preset, best = _exact(error_of, error, all(one.integers for one in ranges), reasons)
        if preset is not None:
            return preset
    for chain in ckks_chains() if scheme != "exact" else ():
        for packing in ("complex", "real"):
            preset, found = _ckks(error_of, chain, packing, reveals, reasons)
            if preset is not None and found <= error:
                return preset
            best = min(best, found)
    if best < math.inf:
        raise CircuitTooDeep(
            f"no preset computes this within {error:.3g}; the best comes to {best:.3g}",
            hint="allow a larger error, declare smaller bounds, or reveal less often under one key (reveals=)",
        )
    raise CircuitTooDeep(
        f"no preset computes this; of the largest: {reasons[-1].message}",
        hint="multiply less often one after the other, declare smaller bounds, or reveal something between",
    )


def _exact(
    error_of: Callable[[Preset], float], error: float, integers: bool, reasons: list[CircuitTooDeep]
) -> tuple[Preset | None, float]:
    """With a grid as coarse as the error allows, and as few limbs as the totals ask for; and the error it comes to."""
    best = math.inf
    for chain in (*exact_chains(0), *exact_chains(1)):
        probe = Preset(scheme="exact", limbs=MAX_LIMBS, resolution=2.0**-40 if error < 1 else 1.0, **chain)
        try:
            found = error_of(probe)
            resolution = 1.0
            if found and not (found <= error and integers):
                finer = math.log2(error) - math.log2(found) + math.log2(probe.resolution)
                resolution = 2.0 ** max(-1000, min(math.floor(finer), 1000))
            for limbs in range(1, MAX_LIMBS + 1):
                preset = Preset(scheme="exact", limbs=limbs, resolution=resolution, **chain)
                try:
                    found = error_of(preset)
                except CircuitTooDeep as refused:
                    reasons.append(refused)
                    continue
                if found <= error:
                    return preset, found
                best = min(best, found)  # what results lose as float64 numbers
                break
        except CircuitTooDeep as refused:
            reasons.append(refused)
    return None, best


def _ckks(
    error_of: Callable[[Preset], float],
    chain: Mapping[str, Any],
    packing: Packing,
    reveals: int,
    reasons: list[CircuitTooDeep],
) -> tuple[Preset | None, float]:
    """A chain with the largest scale that the circuit's values allow, and the error it comes to."""

    def attempt(bits: int) -> tuple[Preset, float] | None:
        for products in (False, True):
            preset = Preset(
                scheme="ckks", packing=packing, scale_bits=bits, reveals=reveals, products=products, **chain
            )
            try:
                return preset, error_of(preset)
            except CircuitTooDeep as refused:
                reasons.append(refused)
            if packing == "complex":
                break
        return None

    if chain["drop"]:
        return attempt(chain["drop"] * chain["data"][-1]) or (None, math.inf)
    low, high, best = 10, sum(chain["data"]) - 2, None
    while low <= high:
        middle = (low + high) // 2
        found = attempt(middle)
        if found is None:
            high = middle - 1
        else:
            low, best = middle + 1, found
    return best or (None, math.inf)


def _error_of(circuit: Callable[..., Any], inputs: Mapping[str, Any], secret: bool, preset: Preset) -> float:
    """The largest error of the circuit's results under a preset: it runs over columns without ciphertexts."""
    estimator = NoiseEstimator(preset)
    nullable = itertools.count()

    def symbol(given: Range) -> Column:
        on_grid = given.integers and preset.scheme == "exact" and preset.resolution <= 1.0
        estimate = estimator.fresh(given.bound, secret=secret, on_grid=on_grid)
        meta = Meta(preset=preset, key="", estimate=estimate, length=given.length, nulls=given.nulls)
        valid = np.ones(given.length, bool) if given.nulls else None
        if valid is not None:  # each column's nulls are elsewhere
            valid[next(nullable) % given.length] = given.length == 1
        return Column.of_rows(meta, (), None, valid)

    arguments: dict[str, Any] = {
        name: symbol(given) if isinstance(given, Range) else [symbol(one) for one in given]
        for name, given in inputs.items()
    }
    results = _flat(circuit(**arguments))
    if not results:
        raise InvalidArgument(
            "the circuit returns no encrypted column", hint="return what will be revealed: a column, or a list or dict"
        )
    return max(result.error for result in results)


def _check_inputs(circuit: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    try:
        inspect.signature(circuit).bind(**inputs)
    except TypeError as error:
        raise InvalidArgument(
            f"the circuit does not take the columns {', '.join(inputs) or 'none'}: {error}",
            hint="give a he.Range for each of its parameters, by name",
        ) from None
    for name, given in inputs.items():
        for one in given if isinstance(given, list) else [given]:
            if not isinstance(one, Range):
                raise InvalidArgument(
                    f"{name} is given as {type(one).__name__}",
                    hint=f"describe it: {name}=he.Range(bound=..., length=...)",
                )
            if not positive(one.bound):
                raise InvalidArgument(f"{name} has a bound of {one.bound}", hint="give its largest absolute value")


def _flat(result: Any) -> list[Column]:
    if isinstance(result, Column):
        return [result]
    if isinstance(result, Mapping):
        return _flat(list(result.values()))
    return [column for part in result for column in _flat(part)] if isinstance(result, list | tuple) else []

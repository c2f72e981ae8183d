"""The figures of ciphertexts: noise is never claimed to be less than it is, and what is refused would have failed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, Counts
from exact_columns import PRESETS, key_of

from privsdk import he
from privsdk.crypto.seal.circuit import Evaluator, split_row, values_of
from privsdk.crypto.seal.noise import NoiseEstimate, NoiseEstimator
from privsdk.crypto.seal.ring import Ring
from privsdk.errors import CircuitTooDeep, PrivsdkError
from privsdk.he.columns.column import Column

DEEP = "he: too deep a circuit or too large a value is refused when it is written, before anything runs"
CKKS = [name for name in PRESETS if PRESETS[name].scheme == "ckks"]
EXACT = [name for name in PRESETS if PRESETS[name].scheme == "exact"]

LINEAR: dict[str, Callable[[Column, Column], Column]] = {
    "fresh": lambda x, y: x,
    "x + y": operator.add,
    "x - x": lambda x, y: x - x,
    "x - y - x + y": lambda x, y: x - y - x + y,
    "x * 0": lambda x, y: x * 0,
    "x * 1e-300": lambda x, y: x * 1e-300,
    "x * 8": lambda x, y: x * 8,
    "x * 0.3 - y": lambda x, y: x * 0.3 - y,
    "x * 3 - x * 3": lambda x, y: x * 3 - x * 3,
    "x + y in ten": lambda x, y: sum([x, y] * 5),  # type: ignore[return-value]
}
PRODUCTS: dict[str, Callable[[Column, Column], Column]] = {
    "x * y": operator.mul,
    "x * vector": lambda x, y: x * np.resize([0.5, -3, 2], len(x)),
    "x * zeros": lambda x, y: x * np.zeros(len(x)),
    "x * 2 * y": lambda x, y: x * 2 * y,
    "x * y - y * x": lambda x, y: x * y - y * x,
    "x**2 + y": lambda x, y: x**2 + y,
}


def noise_of(column: Column, key: he.SecretContext) -> float:
    """Of a column of zeros, whose plaintexts are encoded without rounding, the largest slot: CKKS."""
    return float(np.abs(unflooded(column, key)).max())


def unflooded(column: Column, key: he.SecretContext) -> npt.NDArray[np.float64]:
    ring, parts = key.preset.rings[0], []
    for row in column.rows():
        plain, scale = ring.new_plain(), NoiseEstimator(key.preset).scale_of(column.meta.estimate)
        key.decryptors[0].decrypt(ring.ciphertext(row, column.meta.primes, scale=scale), plain)
        parts.append(values_of(ring.decode(plain), key.preset))
    return np.concatenate(parts)


@pytest.mark.claim("he: encrypted results stay within the stated bound of NumPy")
@pytest.mark.parametrize("name", CKKS)
def test_noise_is_at_most_what_its_figure_says(name: str, cases: Cases, counts: Counts) -> None:
    """Reveals hide as much as the figure says: too small a one would give the key away."""
    key, estimator, tightest = key_of(name), NoiseEstimator(PRESETS[name]), 0.0
    programs = LINEAR | (PRODUCTS if key.preset.products else {})
    for label, program in programs.items():
        for _ in range(counts(1, 1, 20)):
            for one, two in ((key, key), (key, key.public), (key.public, key.public))[counts(1, 0, 0) :]:
                column = program(he.encrypt(np.zeros(9), 2, one), he.encrypt(np.zeros(9), 2, two))
                part = noise_of(column, key) / column.meta.estimate.noise
                assert part <= 1, label
                assert estimator.credible(column.meta.estimate), label
                tightest = max(tightest, part)
                cases()
    cases.say(f"{name}: noise at most {tightest:.2g} of its figure")


@pytest.mark.claim("he: encrypted results stay within the stated bound of NumPy")
@pytest.mark.parametrize("name", EXACT)
def test_exact_noise_is_at_most_what_its_figure_says(name: str, cases: Cases) -> None:
    key = key_of(name)
    whole = {label: made for label, made in LINEAR.items() if "0.3" not in label and "300" not in label}
    if len(key.preset.data) > 1:
        whole |= {"x * vector": lambda x, y: x * np.resize([5, -3, 2], len(x)),
                  "x * negative": lambda x, y: x * np.full(len(x), -1),
                  "x * random": lambda x, y: x * np.random.default_rng(0).integers(-99999, 99999, len(x)),
                  "x * zeros": lambda x, y: x * np.zeros(len(x))}  # fmt: skip
    values = np.resize([4, -4, 1], key.preset.values_a_row)
    for label, program in whole.items():
        for one, two in ((key, key), (key.public, key.public)):
            made = program(he.encrypt(values, 4, one), he.encrypt(values, 4, two))
            for column in (made, made.sum()):
                cases(check_budget(column, key, label))
    if name == "exact":
        many = he.encrypt(np.zeros(200 * key.preset.values_a_row, np.int8), 1, key.public)
        cases(check_budget(many.sum(), key, "200 rows"))


def check_budget(column: Column, key: he.SecretContext, label: str) -> int:
    """SEAL measures in whole bits."""
    predicted = sum(key.preset.data) - 31 - math.log2(column.meta.estimate.noise)
    parts = split_row(column.rows()[0], key.preset)
    for ring, decryptor, part in zip(key.preset.rings, key.decryptors, parts, strict=True):
        budget = decryptor.invariant_noise_budget(ring.ciphertext(part, column.meta.primes))
        assert budget >= predicted - 1, label
    return len(parts)


REFUSED: dict[str, tuple[str, Callable[[Column], Column]]] = {
    "one ring, two products": ("complex", lambda x: x * 0.5 * 0.5),
    "one ring, three products of tiny numbers": ("complex", lambda x: x * 1e-9 * 1e-9 * 1e-9),
    "growing scales": ("growing", lambda x: x**8),
    "growing scales by tiny numbers": ("growing", lambda x: x * 1e-300 * 1e-300 * 1e-300),
    "growing scales by numbers": ("growing", lambda x: x * 0.1 * 0.1 * 0.1),
    "no primes left": ("dropping", lambda x: x**2 * 0.5 * 0.5),
    "no primes left, columns": ("dropping", lambda x: x**16),
    "no primes left, complex": ("dropping, complex", lambda x: x * 0.5 * 0.5 * 0.5),
    "too large": ("growing", lambda x: x * 1e30 * 1e10),
    "too large a summand": ("complex", lambda x: x + 2.0**40),
    "no room for noise": ("exact", lambda x: x * np.resize([1, 2], 9)),
    "no room for noise, by numbers": ("exact", lambda x: x * 100_000 * 100_000),
    "no room for noise, twice": ("exact, fine", lambda x: x * np.resize([1, 2], 9) * np.resize([1, 2], 9)),
    "totals beyond the modulus": ("exact", lambda x: x * 9999 + 2.0**59),
}


@pytest.mark.claim(DEEP)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_would_fail_or_be_wrong(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, program = REFUSED[case]
    key = key_of(name)
    key.uses = 0
    with monkeypatch.context() as patch:  # nothing is touched
        column = he.encrypt(np.ones(9), 2, key.public)
        patch.setattr(Evaluator, "run", None)
        patch.setattr(Ring, "ciphertext", None)
        patch.setattr(Ring, "encode", None)
        with pytest.raises(CircuitTooDeep, match=r"(?s)(preset|limbs).*What to do"):
            program(column)
    due = [program(np.ones(9)), program(-np.ones(9))]  # type: ignore[arg-type]
    monkeypatch.setattr(NoiseEstimator, "checked", lambda self, estimate: estimate)
    failed = 0
    for sign, values in zip((1, -1), due, strict=True):
        try:
            shown = he.reveal(program(he.encrypt(sign * np.ones(9), 2, key.public)), key)
            failed += not (np.abs(shown.values - values) <= np.abs(values) * 2.0**-20).all()
        except (PrivsdkError, ValueError, RuntimeError, ZeroDivisionError, OverflowError, ArithmeticError):
            failed += 1
    assert failed


@pytest.mark.claim(DEEP)
@pytest.mark.parametrize(
    ("name", "grow"),
    [("complex", lambda x, size: x * size), ("growing", lambda x, size: x * x * size),
     ("dropping", lambda x, size: x * x * size), ("exact", operator.add), ("complex", operator.add)],
)  # fmt: skip
def test_values_are_refused_little_before_they_wrap(
    name: str, grow: Callable[[Column, float], Column], monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    """The largest value that is accepted is right; four bits beyond the first refusal it is not."""
    key = key_of(name)
    ones = np.ones(key.preset.values_a_row)  # all of them, so that one coefficient holds what all slots do
    column = he.encrypt(ones, 1, key.public)

    def accepted(bits: int) -> bool:
        try:
            grow(column, 2.0**bits)
        except CircuitTooDeep:
            return False
        return True

    most = max(bits for bits in range(200) if accepted(bits))
    assert not any(accepted(bits) for bits in range(most + 1, 200))
    for bits in range(max(0, most - 3), most + 1):
        key.uses = 0
        made = grow(column, 2.0**bits)
        shown = he.reveal(made, key)
        due = grow(ones, 2.0**bits)  # type: ignore[arg-type]
        assert np.abs(shown.values - due).max() <= shown.error
        cases()
    monkeypatch.setattr(NoiseEstimator, "checked", lambda self, estimate: estimate)
    made, due = grow(column, 2.0 ** (most + 4)), grow(ones, 2.0 ** (most + 4))  # type: ignore[arg-type]
    try:  # CKKS not flooded: the noise of a reveal would be larger than the modulus here
        found = he.reveal(made, key).values if key.preset.scheme == "exact" else unflooded(made, key)
    except (PrivsdkError, ValueError):
        return
    assert np.abs(found - due).max() > max(due) / 4


def test_scales_computed_here_are_seals_to_the_last_bit() -> None:
    for name in ("growing", "dropping", "dropping two"):
        key = key_of(name)
        column = he.encrypt(np.ones(3), 1, key.public)
        ring, estimate = key.preset.rings[0], column.meta.estimate
        loaded = ring.ciphertext(
            column.rows()[0], column.meta.primes, scale=NoiseEstimator(key.preset).scale_of(estimate)
        )
        evaluator = Evaluator(key.public, None, [])  # type: ignore[arg-type]
        for level in range(1, key.preset.depth + 1):
            loaded = evaluator._rescale(ring, evaluator._times(ring, loaded, loaded))
            assert loaded.scale == key.preset.scale(level)
            assert loaded.coeff_modulus_size() == key.preset.primes_at(level)


def test_incredible_figures_are_seen() -> None:
    for name in PRESETS:
        estimator = NoiseEstimator(PRESETS[name])
        estimate = estimator.fresh(1.0, secret=True)
        assert estimator.credible(estimate)
        assert not estimator.credible(msgspec.structs.replace(estimate, noise=estimate.noise / 4))
        assert not estimator.credible(msgspec.structs.replace(estimate, noise=0.0))
        if PRESETS[name].scheme == "ckks":
            assert not estimator.credible(msgspec.structs.replace(estimate, error=estimate.noise / 2))


def test_refusals_read_well() -> None:
    key = key_of("growing")
    x = he.encrypt(np.ones(9), 2, key.public)
    with pytest.raises(CircuitTooDeep) as refused:
        x**8
    assert str(refused.value) == (
        "this needs 3 multiplications one after the other of values this large; the preset allows 2 (CKKS, real slots, "
        "scale 2^36, depth 2, ring 8192 [54, 54, 54, 55])\n"
        "  What to do: let he.choose see the whole circuit, and encrypt under a key of the preset it gives\n"
        "  [usage.too-deep]"
    )
    with pytest.raises(CircuitTooDeep, match="values of up to 1e"):
        he.encrypt([1.0], 1e60, key.public)


def test_an_estimate_has_no_more_than_its_figures() -> None:
    estimate: Any = NoiseEstimate(bound=1.0, error=0.5)
    assert set(msgspec.structs.asdict(estimate)) == {"level", "pending", "bound", "error", "noise", "summands"}

"""Parameters chosen from a circuit: they compute it within the error, cheapest first; what is refused reads well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from claims import Cases, lengthy

from privsdk import he
from privsdk.crypto.seal.presets import ckks_chains, exact_chains
from privsdk.errors import CircuitTooDeep, InvalidArgument
from privsdk.he.columns import choose as choosing

CLAIM = "he: parameters are chosen from the circuit, and it then runs within its error"
TEN = he.Range(bound=10, length=2000)
UNIT = he.Range(bound=1, length=2000)
WHOLE = he.Range(bound=9, length=2000, integers=True)

CIRCUITS: dict[str, tuple[Callable[..., Any], float, dict[str, Any]]] = {
    "sum": (lambda x: x.sum(), 1e-3, {"x": TEN}),
    "sum of integers": (lambda x: x.sum(), 0.5, {"x": WHOLE}),
    "mean": (lambda x: x.mean(), 1e-9, {"x": TEN}),
    "sum of columns": (lambda xs: sum(xs), 1e-6, {"xs": [TEN, UNIT, TEN]}),
    "integers plus one": (lambda x: x * 3 - 1, 0.5, {"x": WHOLE}),
    "groups": (lambda x: x.sum(by=np.arange(2000) % 3), 1e-3, {"x": TEN}),
    "dot with whole numbers": (lambda x: x.dot(np.arange(2000) % 5), 1e-2, {"x": TEN}),
    "scaled": (lambda x: x * 0.123 + 4, 1e-3, {"x": TEN}),
    "score": (lambda x, y: he.weighted_sum([x, y], [0.5, -1.25], intercept=3), 1e-3, {"x": TEN, "y": UNIT}),
    "scores": (lambda xs: he.matmul(xs, np.arange(6.0).reshape(2, 3) / 7), 1e-2, {"xs": [TEN, UNIT]}),
    "products": (lambda x, y: (x * y).sum(), 1.0, {"x": TEN, "y": UNIT}),
    "variance": (lambda x: [x.sum(), (x * x).sum()], 10.0, {"x": TEN}),
    "third power": (lambda x: x**3, 1e-2, {"x": UNIT}),
    "sigmoid": (lambda x: (x * 0.5).sigmoid(), 1e-3, {"x": TEN}),
    "a constant": (lambda x: x * 0 + 1, 1e-3, {"x": TEN}),
    "by name": (lambda x, y: {"a": x + y, "b": x - y}, 1e-6, {"x": TEN, "y": UNIT}),
}


def flat(result: Any) -> list[Any]:
    if isinstance(result, dict):
        result = list(result.values())
    return [part for one in result for part in flat(one)] if isinstance(result, list) else [result]


class Plain(np.ndarray):
    """NumPy under the same names."""

    def sum(self, by: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        values = np.asarray(self)
        return values.sum() if by is None else {key: values[by == key].sum() for key in dict.fromkeys(by.tolist())}

    def sigmoid(self) -> Any:
        return 0.5 + 0.15012 * self - 0.0015930078125 * self**3


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("secret", [False, *lengthy(True)], ids=["public", "secret"])
def test_the_chosen_preset_runs_the_circuit_within_the_error(name: str, secret: bool, cases: Cases) -> None:
    circuit, error, inputs = CIRCUITS[name]
    preset = he.choose(circuit, error=error, secret=secret, reveals=64, **inputs)
    key = he.SecretContext.new(preset)
    rng = np.random.default_rng(2)

    def data(given: Any) -> Any:
        if isinstance(given, list):
            return [data(one) for one in given]
        values = (
            rng.integers(-9, 10, given.length)
            if given.integers
            else rng.uniform(-given.bound, given.bound, given.length)
        )
        values[:2] = given.bound, -given.bound
        return values

    def encrypted(values: Any, given: Any) -> Any:
        if isinstance(given, list):
            return [encrypted(one, range_) for one, range_ in zip(values, given, strict=True)]
        return he.encrypt(values, given.bound, key if secret else key.public)

    def numpy(values: Any) -> Any:
        return [numpy(one) for one in values] if isinstance(values, list) else values.view(Plain)

    plain = {label: data(given) for label, given in inputs.items()}
    results = flat(circuit(**{label: encrypted(plain[label], given) for label, given in inputs.items()}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            he, "weighted_sum", lambda xs, ws, intercept=0: sum(x * w for x, w in zip(xs, ws, strict=True)) + intercept
        )
        patch.setattr(
            he,
            "matmul",
            lambda xs, m: [sum(x * w for x, w in zip(xs, m[:, j], strict=True)) for j in range(m.shape[1])],
        )
        due = flat(circuit(**{label: numpy(values) for label, values in plain.items()}))
    assert len(results) == len(due)
    for column, expected in zip(results, due, strict=True):
        shown = he.reveal(column, key)
        assert shown.error <= error * (1 + 1e-12)
        assert np.abs(np.asarray(shown.values) - np.asarray(expected, np.float64)).max() <= error * (1 + 1e-12)
        cases()


@pytest.mark.claim(CLAIM)
def test_sums_are_exact_and_products_are_ckks() -> None:
    kinds = {}
    for name, (circuit, error, inputs) in CIRCUITS.items():
        preset = he.choose(circuit, error=error, **inputs)
        kinds[name] = (preset.scheme, preset.packing, preset.products)
    assert kinds["sum"] == kinds["groups"] == kinds["mean"] == ("exact", "integer", False)
    assert kinds["scaled"] == kinds["score"] == ("ckks", "complex", False)
    assert kinds["products"] == kinds["third power"] == ("ckks", "real", True)
    whole = he.choose(lambda x: x.sum(), error=0.5, x=WHOLE)
    assert (whole.limbs, whole.resolution, whole.degree) == (1, 1.0, 4096)


def cost(preset: he.Preset) -> tuple[int, int]:
    return preset.degree, len(preset.data) * max(1, preset.limbs)


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("name", ["sum", "score", "products", "third power"])
def test_more_accuracy_never_costs_less(name: str) -> None:
    circuit, _, inputs = CIRCUITS[name]
    costs = []
    for error in (10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-5, 1e-7):
        try:
            costs.append(cost(he.choose(circuit, error=error, reveals=16, **inputs)))
        except CircuitTooDeep:
            break
    assert len(costs) >= 5
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("name", ["score", "products", "third power"])
def test_no_cheaper_chain_would_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, error, inputs = CIRCUITS[name]
    chosen = he.choose(circuit, error=error, scheme="ckks", **inputs)
    chains = ckks_chains()
    assert [c["degree"] for c in chains] == sorted(c["degree"] for c in chains)
    at = next(
        i
        for i, c in enumerate(chains)
        if (c["degree"], c["data"], c["drop"]) == (chosen.degree, chosen.data, chosen.drop)
    )
    monkeypatch.setattr(choosing, "ckks_chains", lambda: chains[:at])
    if at:
        with pytest.raises(CircuitTooDeep):
            he.choose(circuit, error=error, scheme="ckks", **inputs)
    assert exact_chains(0)[0]["degree"] == 4096


def test_wider_bounds_and_more_reveals_never_cost_less() -> None:
    def of(bound: float, reveals: int) -> tuple[int, int]:
        inputs = {"x": he.Range(bound=bound, length=100), "y": he.Range(bound=1, length=100)}
        return cost(he.choose(lambda x, y: x * y, error=0.1, reveals=reveals, **inputs))

    by_bound = [of(10.0**i, 16) for i in range(8)]
    by_reveals = [of(1000.0, reveals) for reveals in (1, 16, 1024)]
    assert by_bound == sorted(by_bound)
    assert by_reveals == sorted(by_reveals)


def refusal(circuit: Callable[..., Any], **how: Any) -> str:
    with pytest.raises((CircuitTooDeep, InvalidArgument)) as refused:
        he.choose(circuit, **how)
    return str(refused.value)


X, Y = he.Range(bound=2), he.Range(bound=2)
TEXTS: dict[str, tuple[Callable[[], str], str]] = {
    "too deep": (
        lambda: refusal(lambda x: x**40000, error=1e300, x=he.Range(bound=1)),
        "no preset computes this; of the largest: this needs",
    ),
    "too accurate": (
        lambda: refusal(lambda x, y: x * y, error=1e-80, x=X, y=Y),
        "no preset computes this within 1e-80; the best comes to",
    ),
    "too accurate for float64": (
        lambda: refusal(lambda x: x.mean(), error=1e-20, x=X, scheme="exact"),
        "no preset computes this within 1e-20; the best comes to 1.78e-15",
    ),
    "exact products": (
        lambda: refusal(lambda x, y: x * y, error=1, x=X, y=Y, scheme="exact"),
        "no preset computes this; of the largest: exact columns are not multiplied with each other",
    ),
    "no columns": (lambda: refusal(lambda: None, error=1), "the circuit returns no encrypted column"),
    "no result": (lambda: refusal(lambda x: None, error=1, x=X), "the circuit returns no encrypted column"),
    "a number": (lambda: refusal(lambda x: x, error=1, x=3), "x is given as int"),
    "a number in a list": (lambda: refusal(lambda xs: xs, error=1, xs=[X, 3]), "xs is given as int"),
    "another name": (lambda: refusal(lambda x: x, error=1, y=X), "the circuit does not take the columns y: missing"),
    "no bound": (lambda: refusal(lambda x: x, error=1, x=he.Range(bound=0)), "x has a bound of 0"),
    "an infinite bound": (lambda: refusal(lambda x: x, error=1, x=he.Range(bound=np.inf)), "x has a bound of inf"),
    "a text": (lambda: refusal(lambda x: x, error=1, x=he.Range(bound="2")), "x has a bound of 2"),  # type: ignore[arg-type]
    "no error": (lambda: refusal(lambda x: x, error=0, x=X), "an error of 0"),
    "nan": (lambda: refusal(lambda x: x, error=float("nan"), x=X), "an error of nan"),
    "None": (lambda: refusal(lambda x: x, error=None, x=X), "an error of None"),
    "reveals": (lambda: refusal(lambda x: x * 0.5, error=1, x=X, reveals=9999), "9999 reveals a key"),
    "a mistake in the circuit": (
        lambda: refusal(lambda x: x + np.ones(3), error=1, x=X), "a vector of 3 for 1 values",
    ),
    "a division": (lambda: refusal(lambda x: x / x, error=1, x=X), "an encrypted column is divided by one number only"),
    "sigmoid": (lambda: refusal(lambda x: (x * 9).sigmoid(), error=1, x=X), "sigmoid of values within 18"),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_a_refusal_says_what_and_what_to_do(case: str) -> None:
    make, said = TEXTS[case]
    text = make()
    assert text.startswith(said)
    assert "What to do: " in text


def test_choosing_takes_no_ciphertext(monkeypatch: pytest.MonkeyPatch) -> None:
    from privsdk.crypto.seal.ring import Ring

    monkeypatch.setattr(Ring, "encode", None)
    for circuit, error, inputs in CIRCUITS.values():
        he.choose(circuit, error=error, **inputs)


def test_columns_may_come_from_a_generator() -> None:
    preset = he.choose(lambda xs: he.weighted_sum(xs, [0.5, 0.25]), error=1e-3, xs=(TEN for _ in range(2)))
    assert preset.scheme == "ckks"

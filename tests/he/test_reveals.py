"""The only way out: who may open what, what is written down about it, and what an opened answer does not tell."""

from __future__ import annotations

import hashlib
import itertools
import math
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from claims import Cases
from exact_columns import PRESETS, key_of
from scipy import stats

from privsdk import he
from privsdk.crypto.seal.circuit import split_row, uniform
from privsdk.errors import InvalidArgument, PolicyRefused, ProtocolViolation
from privsdk.he.columns.arrow import EncryptedType
from privsdk.he.columns.column import Column

POLICY = "he: a reveal keeps the fewest owners that were asked for, and is written down"
FLOODED = "he: what a reveal shows is flooded, or exact and blinded"
FORGED = "he: a ciphertext beyond its figures, or under another key, is refused"


def of(owner: str, key: he.PublicContext, *, fewest: int = 1, value: int = 1) -> Column:
    return he.encrypt(np.full(5, value), 4, key, owner=owner, min_parties=fewest)


@pytest.mark.claim(POLICY)
def test_the_fewest_owners_are_those_that_one_of_them_asked_for() -> None:
    key = he.SecretContext.new(PRESETS["exact"], owner="keeper")
    north, south, own = of("north", key.public, fewest=2), of("south", key.public), of("keeper", key.public)
    for column in (north, north + north, north + own, north * 3 - own, (north + own).sum(), north.mean()):
        with pytest.raises(PolicyRefused, match="1 owner; one of them asked for 2"):
            he.reveal(column, key)
    assert key.uses == 0
    for column in (north + south, south + north + own, (south - north).sum(), he.weighted_sum([north, south], [1, 2])):
        he.reveal(column, key)
    back = Column.from_arrow(north.to_arrow(), key)
    with pytest.raises(PolicyRefused):
        he.reveal(back, key)
    assert he.reveal(south, key).values.tolist() == [1] * 5
    assert (north + south).meta.min_parties == (south + north).meta.min_parties == 2


@pytest.mark.claim(POLICY)
def test_a_record_says_when_whose_what_and_how_exact() -> None:
    key = he.SecretContext.new(PRESETS["complex"], owner="keeper")
    column = of("north", key.public) + of("south", key.public) + of("north", key.public)
    shown = he.reveal(column.sum(), key)
    record = shown.record
    assert key.records == (record,)
    assert record.owners == ("north", "south")
    assert record.summands == 3
    assert record.error == shown.error > 0
    assert record.time.endswith("+00:00")
    other = he.reveal(column, key)
    assert key.records == (record, other.record)
    assert other.record.digest == hashlib.sha256(b"".join(bytes(row) for row in column.rows())).hexdigest()
    text = msgspec.json.encode(record).decode()
    assert str(shown.values) not in text  # nothing of the answer


@pytest.mark.claim(FORGED)
def test_only_the_key_that_it_is_under_opens_it() -> None:
    key, other = key_of("exact"), he.SecretContext.new(PRESETS["exact"])
    column = of("north", key.public)
    with pytest.raises(InvalidArgument, match="do not fit"):
        he.reveal(column, other)
    assert other.uses == 0
    with pytest.raises(InvalidArgument, match="PublicContext reveals nothing"):
        he.reveal(column, key.public)  # type: ignore[arg-type]
    for wrong in (column.to_arrow(), {"a": column}, None, [column]):
        with pytest.raises(InvalidArgument, match="is no encrypted column"):
            he.reveal(wrong, key)  # type: ignore[arg-type]


@pytest.mark.claim(FORGED)
@pytest.mark.parametrize("name", ["exact", "complex", "growing"])
def test_ciphertexts_of_another_key_in_disguise_are_refused(name: str, cases: Cases) -> None:
    key, other = key_of(name), he.SecretContext.new(PRESETS[name])
    for honest in (he.encrypt(np.ones(9), 4, key.public), he.encrypt(np.ones(9), 4, key)):
        theirs = he.encrypt(np.ones(9), 4, other if honest.meta.seeded else other.public)
        for column in (forged(honest, theirs), forged(honest, theirs).sum(), honest + forged(honest, theirs)):
            key.uses = 0
            with pytest.raises(ProtocolViolation):
                he.reveal(column, key)
            cases()


def forged(honest: Column, other: Column) -> Column:
    """Another's ciphertexts under an honest column's figures."""
    storage = other.to_arrow().storage
    return Column.from_arrow(pa.ExtensionArray.from_storage(EncryptedType(honest.meta), storage), honest._public)


@pytest.mark.claim(FORGED)
@pytest.mark.parametrize("name", ["exact", "exact, fine", "complex", "growing", "dropping"])
def test_values_beyond_the_declared_bound_are_refused(name: str, cases: Cases) -> None:
    key = key_of(name)
    honest = he.encrypt(np.ones(9), 4, key.public)
    for size in (9.0, 50.0, 200.0):
        larger = he.encrypt(np.r_[np.ones(8), size], size, key.public)
        key.uses = 0
        with pytest.raises(ProtocolViolation, match="bound"):
            he.reveal(forged(honest, larger), key)
        cases()
    within = he.encrypt(np.r_[np.ones(8), 3.9], 1e3 if name == "exact" else 4, key.public)
    if name != "exact":
        he.reveal(forged(honest, within), key)


@pytest.mark.claim(FLOODED)
@pytest.mark.parametrize("name", ["complex", "growing", "dropping"])
def test_two_reveals_of_one_ciphertext_differ_by_noise_of_the_stated_size(name: str, cases: Cases) -> None:
    from privsdk.crypto.seal.flooding import error_after, sigma_for

    key = key_of(name)
    column = he.encrypt(np.linspace(-1, 1, 1000), 1, key.public)
    estimate = column.meta.estimate
    key.uses = 0
    shown = [np.asarray(he.reveal(column, key).values) for _ in range(8)]
    apart = np.concatenate([one - other for one, other in itertools.pairwise(shown)])
    assert (apart != 0).all()
    # A slot's real part has the deviation sigma sqrt(N / 2); the coefficients sigma.
    least = sigma_for(estimate.noise, reveals=key.preset.reveals) * math.sqrt(key.preset.degree / 2)
    assert 0.9 * least < apart.std() / math.sqrt(2) < 1.25 * least
    scale = 2.0**key.preset.scale_bits
    stated = error_after(estimate.noise, key.preset.degree, scale=scale, bound=1.0, reveals=key.preset.reveals)
    assert 3 * least < stated < 30 * least
    assert max(np.abs(one - np.linspace(-1, 1, 1000)).max() for one in shown) <= column.error
    cases(8)


def test_more_reveals_under_one_key_cost_accuracy() -> None:
    errors = []
    for reveals in (1, 4, 64, 1024):
        key = he.SecretContext.new(msgspec.structs.replace(PRESETS["complex"], reveals=reveals))
        errors.append(he.encrypt([1.0], 1, key.public).error)
    assert errors == sorted(set(errors))
    assert 20 < errors[-1] / errors[0] < 33  # the root of 1,024


def slots_of(column: Column, key: he.SecretContext) -> list[npt.NDArray[Any]]:
    """What who opens a folded exact sum could see: every slot of every limb."""
    found = []
    for i, part in enumerate(split_row(column.rows()[0], key.preset)):
        ring, plain = key.preset.rings[i], key.preset.rings[i].new_plain()
        key.decryptors[i].decrypt(ring.ciphertext(part, column.meta.primes), plain)
        found.append(ring.decode(plain) % key.preset.plain_primes[i])
    return found


def uniformity(slots: npt.NDArray[Any], prime: int) -> float:
    """p-value that slots are uniform modulo a prime."""
    return float(stats.chisquare(np.histogram(slots, bins=64, range=(0, prime))[0]).pvalue)


@pytest.mark.claim(FLOODED)
@pytest.mark.parametrize("name", ["exact", "exact, fine"])
def test_who_opens_an_exact_sum_sees_uniform_slots_and_their_sum(
    name: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, size = key_of(name), PRESETS[name].values_a_row
    for column in (he.encrypt(np.arange(2 * size + 5) % 9, 8, key), he.encrypt([7], 8, key.public)):
        total = column.sum()
        for slots, prime in zip(slots_of(total, key), key.preset.plain_primes, strict=True):
            assert uniformity(slots, prime) > 1e-6
            assert uniformity(np.diff(slots) % prime, prime) > 1e-6
            cases()
        again = column.sum()
        assert not (slots_of(total, key)[0] == slots_of(again, key)[0]).mean() > 0.01
        assert he.reveal(total, key).values == he.reveal(again, key).values

    monkeypatch.setattr("privsdk.crypto.seal.circuit.Evaluator._blinded", lambda self, ring, limb, folded: folded)
    bare = he.encrypt([7], 8, key).sum()
    assert uniformity(slots_of(bare, key)[0], key.preset.plain_primes[0]) < 1e-100


@pytest.mark.claim(FLOODED)
def test_sums_are_blinded_where_a_notebook_computes_and_where_workers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from privsdk.crypto.seal import parallel
    from privsdk.protocol.workers import pool as workers

    class Here:
        """Workers' side of a task, in this process."""

        count = 3

        def submit(self, task: Any, *args: Any) -> Any:
            class Done:
                def result(self) -> Any:
                    return task(*args)

            return Done()

    monkeypatch.setattr(parallel, "HEAVY_MS", 0.0)
    monkeypatch.setattr(workers, "shared", Here)
    rng = np.random.default_rng(5)
    for name in ("exact", "exact, fine", "complex", "growing"):
        key, size = key_of(name), PRESETS[name].values_a_row
        length = 4 * size + 3
        values, vector = rng.integers(-4, 5, length), rng.integers(-2, 3, length)
        column = he.encrypt(values, 4, key.public) + 1
        if name in ("exact, fine", "growing"):
            column, values = column * vector, (values + 1) * vector - 1
        key.uses = 0
        total = column.sum()
        shown = he.reveal(total, key)
        assert abs(shown.values - int((values + 1).sum())) <= shown.error
        every = he.reveal(column, key)
        assert np.abs(every.values - (values + 1)).max() <= every.error
        if key.preset.scheme == "exact":
            assert all(
                uniformity(s, p) > 1e-6 for s, p in zip(slots_of(total, key), key.preset.plain_primes, strict=True)
            )


def test_blinding_numbers_are_uniform() -> None:
    prime = PRESETS["exact"].plain_primes[0]
    drawn = uniform(1 << 16, prime)
    assert drawn.min() >= 0
    assert drawn.max() < prime
    assert uniformity(drawn, prime) > 1e-6
    low = stats.chisquare(np.bincount(drawn & 63, minlength=64)).pvalue
    assert low > 1e-6
    assert len(np.unique(drawn)) > 65000


def test_what_is_behind_a_null_is_not_shown() -> None:
    key = key_of("exact")
    one = he.encrypt(pa.array([1, 2, None]), 4, key, nulls="public")
    two = he.encrypt(pa.array([3, None, 4]), 4, key, nulls="public")
    shown = he.reveal(one + two, key)
    assert shown.valid is not None
    assert shown.valid.tolist() == [True, False, False]
    assert shown.values.tolist() == [4, 0, 0]
    assert shown.to_arrow().to_pylist() == [4, None, None]
    assert he.reveal(one + pa.array([None, 1, 1]), key).values.tolist() == [0, 3, 0]


def test_an_answer_reads_as_a_number_and_says_how_exact_it_is() -> None:
    key = key_of("exact")
    total = he.reveal(he.encrypt([1, 2, 3], 4, key).sum(), key)
    assert float(total) == total.values == 6
    assert str(total) == "6 (exact)"
    mean = he.reveal(he.encrypt([1, 2, 4], 4, key).mean(), key)
    assert abs(Fraction(mean.values) - Fraction(7, 3)) <= Fraction(mean.error)
    assert "error at most" in str(mean)
    assert str(he.reveal(he.encrypt([1, 2], 4, key), key)) == "2 values (exact)"

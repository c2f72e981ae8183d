"""Any t shares recover a secret; fewer are uniform, counted exactly over a tiny field; wrong shares are errors."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privsdk.crypto.sums import shamir
from privsdk.errors import InvalidArgument, ProtocolViolation
from privsdk.testing import SeededEntropy

FEW = 7  # a prime, small enough to look at every polynomial


@st.composite
def sharings(draw: st.DrawFn) -> tuple[bytes, list[int], int, list[int], bytes]:
    """A secret, its holders, the threshold, as many of the holders in some order, and a seed."""
    holders = draw(st.lists(st.integers(1, shamir.MOST - 1), min_size=1, max_size=24, unique=True))
    threshold = draw(st.integers(1, len(holders)))
    some = draw(st.permutations(range(len(holders))))
    secret = draw(st.binary(min_size=32, max_size=32) | st.sampled_from([bytes(32), b"\xff" * 32]))
    return secret, holders, threshold, some[: draw(st.integers(threshold, len(holders)))], draw(st.binary(max_size=32))


@pytest.mark.claim("fl.shamir: any threshold of the shares recovers the secret")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=sharings())
def test_any_of_them_recover(drawn: tuple[bytes, list[int], int, list[int], bytes], cases: Cases) -> None:
    secret, holders, threshold, some, seed = drawn
    shares = shamir.split(secret, holders, threshold=threshold, entropy=SeededEntropy(seed))
    assert all(len(share) == shamir.SHARE_BYTES for share in shares)
    assert shamir.recover([(holders[i], shares[i]) for i in some], threshold=threshold) == secret
    cases()


@pytest.mark.parametrize("clients", [100, 1000])
def test_many_holders(clients: int) -> None:
    holders, secret = range(1, clients + 1), bytes(range(32))
    shares = shamir.split(secret, holders, threshold=clients // 2 + 1, entropy=SeededEntropy(b"many"))
    assert (
        shamir.recover(list(zip(holders, shares, strict=True))[-clients // 2 - 1 :], threshold=clients // 2 + 1)
        == secret
    )


@pytest.mark.claim(
    "fl.shamir: fewer shares than the threshold are uniform for every secret (all polynomials over GF(7))"
)
@pytest.mark.parametrize("threshold", [2, 3, 4])
def test_fewer_tell_nothing(threshold: int, cases: Cases) -> None:
    for points in itertools.combinations(range(1, FEW), threshold - 1):
        for secret in range(FEW):
            seen = Counter(
                tuple(shamir.evaluated([secret, *rest], points, FEW))
                for rest in itertools.product(range(FEW), repeat=threshold - 1)
            )
            assert len(seen) == FEW ** (threshold - 1)
            assert set(seen.values()) == {1}
            cases()


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_interpolation_over_a_tiny_field(threshold: int) -> None:
    for points in itertools.combinations(range(1, FEW), threshold):
        for coefficients in itertools.product(range(FEW), repeat=threshold):
            values = shamir.evaluated(coefficients, points, FEW)
            assert shamir.interpolated(shamir.weights(points, FEW), values, FEW) == coefficients[0]


def test_the_field_is_one() -> None:
    """Fermat's test to many bases, and room for every secret."""
    assert shamir.PRIME > 1 << 256
    assert all(pow(base, shamir.PRIME - 1, shamir.PRIME) == 1 for base in (2, 3, 5, 7, 11, 13, *range(1000, 1050)))
    assert shamir.PRIME.bit_length() <= 8 * shamir.SHARE_BYTES
    assert shamir.PRIME.bit_length() + 128 <= shamir.DRAWN_BYTES * 8


def test_coefficients_are_drawn_anew() -> None:
    """Two sharings of one secret have nothing in common, and every coefficient comes from the entropy."""
    entropy = SeededEntropy(b"one")
    first, second = (shamir.split(bytes(32), range(1, 6), threshold=3, entropy=entropy) for _ in range(2))
    assert not set(first) & set(second)

    class Counting:
        def __init__(self) -> None:
            self.drawn = 0

        def draw(self, size: int) -> bytes:
            self.drawn += size
            return bytes(size)

    counting = Counting()
    assert set(shamir.split(bytes(32), range(1, 6), threshold=3, entropy=counting)) == {bytes(33)}
    assert counting.drawn == 2 * shamir.DRAWN_BYTES


@pytest.mark.parametrize("threshold", [2, 3, 7])
def test_every_coefficient_is_a_draw_of_its_own(threshold: int) -> None:
    """Solved for from the shares, with another method than the one that recovers."""
    holders, prime = range(1, threshold + 1), shamir.PRIME
    shares = shamir.split(bytes(32), holders, threshold=threshold, entropy=SeededEntropy(b"own"))
    rows = [[pow(x, power, prime) for power in range(threshold)] for x in holders]
    values = [int.from_bytes(share, "big") for share in shares]
    for pivot in range(threshold):  # Gauss and Jordan
        inverse = pow(rows[pivot][pivot], -1, prime)
        rows[pivot], values[pivot] = [v * inverse % prime for v in rows[pivot]], values[pivot] * inverse % prime
        for other in set(range(threshold)) - {pivot}:
            by = rows[other][pivot]
            rows[other] = [(a - by * b) % prime for a, b in zip(rows[other], rows[pivot], strict=True)]
            values[other] = (values[other] - by * values[pivot]) % prime
    drawn = SeededEntropy(b"own").draw(shamir.DRAWN_BYTES * (threshold - 1))
    pieces = [drawn[at : at + shamir.DRAWN_BYTES] for at in range(0, len(drawn), shamir.DRAWN_BYTES)]
    assert values == [0, *(int.from_bytes(piece, "big") % prime for piece in pieces)]


def test_wrong_uses_are_errors() -> None:
    entropy = SeededEntropy(b"x")
    for secret, holders, threshold in (
        (bytes(31), [1, 2], 2),
        (bytes(32), [1, 1], 2),
        (bytes(32), [0, 1], 2),
        (bytes(32), [1, shamir.MOST], 2),
        (bytes(32), [1, 2], 3),
        (bytes(32), [1, 2], 0),
    ):
        with pytest.raises(InvalidArgument):
            shamir.split(secret, holders, threshold=threshold, entropy=entropy)
    shares = list(zip([1, 2, 3], shamir.split(bytes(32), [1, 2, 3], threshold=2, entropy=entropy), strict=True))
    with pytest.raises(InvalidArgument, match="1 holders of shares, and 2"):
        shamir.recover(shares[:1], threshold=2)
    with pytest.raises(InvalidArgument, match="twice"):
        shamir.recover([shares[0], shares[0]], threshold=2)
    for wrong in (b"", bytes(32), shamir.PRIME.to_bytes(33, "big"), b"\xff" * 33):
        with pytest.raises(ProtocolViolation, match="not one of a secret"):
            shamir.recover([shares[0], (2, wrong)], threshold=2)
    with pytest.raises(
        ProtocolViolation, match="do not fit together"
    ):  # 2 * 0 - (1 << 256 - 1) mod the prime is above 2^256
        shamir.recover([(1, bytes(33)), (2, (shamir.PRIME - (1 << 256)).to_bytes(33, "big"))], threshold=2)

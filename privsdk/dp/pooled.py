"""A release over several parties: their exact vectors are added under encryption, each with its party's share of noise.

Papers: the sum is that of `crypto.sums.encrypted`, whose header has keys, ciphertexts and their costs. Noise that the
parties share in drawing is that of Dwork, Kenthapadi, McSherry, Mironov, Naor, EUROCRYPT 2006; here the shares of
`dp.noise`, which make up the discrete Laplace mechanism itself (Dwork, McSherry, Nissim, Smith, TCC 2006).

    key holder K               contributor P_i              aggregator A (one of the P_i)
    --- PublicKeys ----------->
    --- PublicKeys ---------------------------------------->
                               z_i: noise of shape 1 / (n - t)
                               --- Encrypted: Enc(v_i + z_i) -->
    <-- Encrypted: Enc(sum of v_i + z_i) -------------------
    noisy totals = Dec(...), which the caller gets

n contributors, and the collusion t of the request: the shares of any n - t of them sum to one discrete Laplace of the
scale that is charged. Who knows the shares of t others takes them off and is left with that; what the rest adds only
processes it. So a contributor that asks, or adds up, and knows its own share, still meets all of the charged noise. The
price is in accuracy: the n shares have n / (n - t) times the variance of the charged noise. With t = n - 1 each
contributor draws all of it.

Learns: K and the caller the noisy totals; each contributor its own share of the noise, and of the totals nothing; an
eavesdropper about how many numbers are released.
Assumes: as `crypto.sums.encrypted`, and that contributors draw their shares and no more than t of them tell them. More
of them, with K or the caller, have the totals with less noise; A and K together each v_i + z_i, which is protected by
its own share: by all of the charged noise where t = n - 1, else by a part.

Each contributor's dataset loses the full epsilon: one unit of any of them moves the same noisy totals. The noise alone
protects an owner's rows, so owners' `min_parties`, which is about exact results, does not enter.

Noise has no bound, and whether it fits must not decide whether a run ends. So vectors are added modulo the product M of
the primes of the encoding, without a check of their size. What K decrypts, totals + Z modulo M with Z the sum of the
shares, is a function of totals + Z: pure differential privacy holds whether or not it wraps. M is chosen so that with
less than 2**40 rows in all it wraps with a probability below 2**-64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from ..crypto.seal.schemes import ExactScheme
from ..crypto.sums.base import integers
from ..crypto.sums.encrypted import EncryptedSum
from ..errors import InvalidArgument
from ..protocol.operation import RoleInput
from ..protocol.roles import Role
from .accuracy import reach
from .noise import noisy_vector
from .release import ReleaseParameters
from .vectors import exact_vector

MOST_ROWS = 1 << 40
NAME = "release"  # of the one sum in a run


def shares_of(contributors: int, collusion: int) -> int:
    """How many contributors' shares make up the noise that is charged: all but those who may collude.

    Raises
    ------
    InvalidArgument
        None would be left, or nobody may collude, where each knows its own share.
    """
    if not 1 <= collusion <= max(1, contributors - 1):
        raise InvalidArgument(
            f"a collusion of {collusion} among {contributors} contributors: "
            + ("each knows its own share of the noise" if collusion < 1 else "no noise of others would be left"),
            hint=f"give 1 to {contributors - 1}" if contributors > 2 else "leave collusion out",
        )
    return max(1, contributors - collusion)


def scheme_for(release: ReleaseParameters, scales: Sequence[float], parties: int) -> ExactScheme:
    """The encoding with head-room for rows and noise.

    A total of fewer than 2**40 rows is within 2**40 times a component's sensitivity. The noise of all shares is beyond
    `reach` with less than 2**-64 over the number of entries for each, so with less than 2**-64 for any of them. The
    scheme asks what one party may add at most: that divided by their number.
    """
    shape = Fraction(parties, shares_of(parties, release.collusion))
    tail = -64 * math.log(2) - math.log(release.length)
    largest = max(
        MOST_ROWS * part.sensitivity + math.ceil(reach(scale, tail, shape))
        for part, scale in zip(release.components, scales, strict=True)
    )
    return ExactScheme(parties=parties, length=release.length, max_units=-(-largest // parties), modular=True)


def role(given: RoleInput, release: ReleaseParameters, scales: Sequence[float]) -> Role[list[int]]:
    """A party's part; the key holder's returns the noisy totals, the others' nothing."""
    *contributors, holder = given.request.parties
    scheme = scheme_for(release, scales, len(contributors))
    sum_ = EncryptedSum(me=given.party, clients=tuple(contributors), coordinator=holder, scheme=scheme)
    if given.party == holder:
        yield from sum_.set_up()
        totals = yield from sum_.collect(NAME, contributors, scheme.length, scheme.max_units)
        return list(totals.sums.tolist())
    exact = yield from exact_vector(given.table, release, where=given.party)
    yield from sum_.set_up()
    share = Fraction(1, shares_of(len(contributors), release.collusion))
    vector = yield from noisy_vector(exact, scales, share, given.entropy)
    yield from sum_.contribute(NAME, contributors, integers(vector), scheme.max_units)
    return []

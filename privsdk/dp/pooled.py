"""A release over several parties: their exact vectors are added under encryption with one party's noise among them.

Papers: the sum is that of `crypto.sums.encrypted`, whose header has keys, ciphertexts and their costs. The noise is the
discrete Laplace mechanism of `dp.noise`, drawn once by the aggregator, as in the central model (Dwork, McSherry,
Nissim, Smith, TCC 2006); compare Dwork, Kenthapadi, McSherry, Mironov, Naor, EUROCRYPT 2006, where the parties share in
drawing it.

    key holder K               contributor P_i              aggregator A (one of the P_i)
    --- PublicKeys ----------->
    --- PublicKeys ---------------------------------------->
                               --- Encrypted: Enc(v_i) ---->
                                                            draws Z, v_A := v_A + Z
    <-- Encrypted: Enc(sum of v_i + Z) ---------------------
    noisy totals = Dec(...), which the caller gets

Learns: K and the caller the noisy totals; A the noise it drew, and of the totals nothing; the contributors nothing; an
eavesdropper about how many numbers are released.
Assumes: as `crypto.sums.encrypted`, and that A draws the noise and keeps it to itself. A together with K or the caller
knows the exact totals, A and K together every contribution: the collusion threshold is 1. Against A alone, or K and the
caller together, the totals are protected by encryption and by the noise.

Each contributor's dataset loses the full epsilon: one unit of any of them moves the same noisy totals. The noise alone
protects an owner's rows, at any number of contributors, so owners' `min_parties`, which is about exact results, does
not enter.

Noise has no bound, and whether it fits must not decide whether a run ends. So vectors are added modulo the product M of
the primes of the encoding, without a check of their size. What K decrypts, totals + Z modulo M, is a function of
totals + Z: pure differential privacy holds whether or not it wraps. M is chosen so that with less than 2**40 rows in
all it wraps with a probability below 2**-64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..crypto.seal.schemes import ExactScheme
from ..crypto.sums.base import integers
from ..crypto.sums.encrypted import EncryptedSum
from ..protocol.operation import RoleInput
from ..protocol.roles import Role
from .noise import noisy_vector
from .release import ReleaseParameters
from .vectors import exact_vector

MOST_ROWS = 1 << 40
NAME = "release"  # of the one sum in a run


def scheme_for(release: ReleaseParameters, scales: Sequence[float], parties: int) -> ExactScheme:
    """The encoding with head-room for rows and noise.

    A total of fewer than 2**40 rows is within 2**40 times a component's sensitivity s. P(|Z| > a) <= 2 exp(-a / b) for
    a scale b, which for each of n entries is 2**-64 / n at a = b (ln 2**65 + ln n); together they exceed it with less
    than 2**-64. The scheme asks what one party may add at most: that divided by their number.
    """
    tail = 65 * math.log(2) + math.log(release.length)
    largest = max(
        MOST_ROWS * part.sensitivity + math.ceil(scale * tail)
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
    vector = [int(entry) for part in exact for entry in part]
    if given.party == contributors[-1]:
        vector = yield from noisy_vector(exact, scales)
    yield from sum_.contribute(NAME, contributors, integers(vector), scheme.max_units)
    return []

"""Base oblivious transfers: one party gets pairs of keys, the other gets one of each pair, the one it chose.

Paper: T. Chou, C. Orlandi, "The Simplest Protocol for Oblivious Transfer", LATINCRYPT 2015, figure 1; over ristretto255
(RFC 9496), for keys that are used as keys, against semi-honest parties.

    offering O (secret a, A = aG)                        choosing C (bits c_1..c_w, secrets b_j)
    --- Offer: A -------------------------------------->
    <-- Choices: B_j = b_j G + c_j A ---------------------
    key pair j: H(j, A, B_j, aB_j), H(j, A, B_j, aB_j - aA)       key j: H(j, A, B_j, b_j A)

H is BLAKE2b keyed with the run's salt. Learns: O nothing, B_j is uniform whatever c_j; C one key of each pair.

Assumes: computational Diffie-Hellman in ristretto255, BLAKE2b as a random oracle.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...crypto.aes import KEY_BYTES
from ...errors import ProtocolViolation
from ...protocol.roles import Entropy, Role, ask, checkpoint, hear, tell
from .ristretto import BATCH, Points, checked, libsodium, random_scalar, to_table


class Offer(Points, frozen=True, kw_only=True, tag="psi.baseot.Offer"):
    """O's point A, one row."""

    MAX_BYTES = 1 << 16


class Choices(Points, frozen=True, kw_only=True, tag="psi.baseot.Choices"):
    """C's points B_j, one row each."""

    MAX_BYTES = 1 << 20


class Pairs(NamedTuple):
    """Keys of both choices, `zero[j]` and `one[j]`."""

    zero: list[bytes]
    one: list[bytes]


class ChosenKeys(NamedTuple):
    """The bits, and the key of each one's choice."""

    bits: npt.NDArray[np.bool_]
    keys: list[bytes]


def offer(count: int, *, peer: str, salt: bytes, entropy: Entropy) -> Role[Pairs]:
    """Party O, for `count` transfers."""
    sodium = libsodium()
    secret = random_scalar(entropy)
    point = sodium.crypto_scalarmult_ristretto255_base(secret)
    heard = yield from ask(peer, Offer(table=to_table([point])), Choices)
    if heard.table.num_rows != count:
        raise ProtocolViolation(f"{peer} sent choices for {heard.table.num_rows} transfers of {count}")
    choices = yield from checked(heard.table, peer)
    shift = sodium.crypto_scalarmult_ristretto255(secret, point)
    pairs = Pairs([], [])
    for j, choice in enumerate(choices):
        if j % BATCH == 0:
            yield from checkpoint("base transfers", j, count)
        product = sodium.crypto_scalarmult_ristretto255(secret, choice)
        pairs.zero.append(_key(salt, j, point, choice, product))
        pairs.one.append(_key(salt, j, point, choice, sodium.crypto_core_ristretto255_sub(product, shift)))
    return pairs


def choose(count: int, *, peer: str, salt: bytes, entropy: Entropy) -> Role[ChosenKeys]:
    """Party C, with random bits."""
    sodium = libsodium()
    heard = yield from hear(peer, Offer)
    if heard.table.num_rows != 1:
        raise ProtocolViolation(f"{peer} sent {heard.table.num_rows} points for its offer")
    (point,) = yield from checked(heard.table, peer)
    bits = np.unpackbits(np.frombuffer(entropy.draw(-(-count // 8)), np.uint8), count=count).view(np.bool_)
    choices, keys = [], []
    for j, bit in enumerate(bits.tolist()):
        if j % BATCH == 0:
            yield from checkpoint("base transfers", j, count)
        secret = random_scalar(entropy)
        blind = sodium.crypto_scalarmult_ristretto255_base(secret)
        choices.append(sodium.crypto_core_ristretto255_add(blind, point) if bit else blind)
        keys.append(_key(salt, j, point, choices[-1], sodium.crypto_scalarmult_ristretto255(secret, point)))
    yield from tell(peer, Choices(table=to_table(choices)))
    return ChosenKeys(bits, keys)


def _key(salt: bytes, number: int, offered: bytes, chosen: bytes, product: bytes) -> bytes:
    """The points are 32 bytes each and the number four: no two inputs run together."""
    state = blake2b(number.to_bytes(4, "big"), digest_size=KEY_BYTES, key=salt, person=b"privsdk baseot")
    state.update(offered + chosen + product)
    return state.digest()

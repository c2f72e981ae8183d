"""What every intersection begins with: the parties compare what they bring, and toss a coin that none of them chose.

    each party                                       each other party
    --- Terms: kind of keys, how many, minimum count, commitment to 32 random bytes --->
    --- CoinOpening: the random bytes --->

The salt is a hash of the session and everyone's random bytes. A party commits to its own before it sees another's, and
after it has read its keys: nobody can choose keys by the salt, or the salt by the keys (Blum, 1981; commitments by
BLAKE2b as a random oracle). Everyone finds the same disagreements and stops with the same error.

Learns: each party the kind and number of every other's distinct keys, its minimum count, and the most that it allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

from ...errors import DataError, ProtocolViolation
from ...errors.refusals import TooFewKeys, TooManyKeys
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, gather, tell_all

NONCE_BYTES = 32
KIND = re.compile(r"[a-z0-9,()+ ]{1,1000}")  # what `declarations.declared` writes
MOST_KEYS = 1 << 27  # 134 million: what the parameters of every protocol here are derived for


class Terms(Message, frozen=True, kw_only=True, tag="psi.Terms"):
    """What a party brings: the declared kind of its keys, the number of distinct ones, the fewest and the most that a
    partner may bring.

    `min_count` also is the size from which its owner lets the caller know the intersection's.
    """

    kind: str
    size: int
    min_count: int
    commitment: bytes
    most: int | None = None


class CoinOpening(Message, frozen=True, kw_only=True, tag="psi.Opening"):
    """The random bytes that the commitment was to."""

    nonce: bytes


class SharedTerms(NamedTuple):
    """What all parties know before the protocol proper.

    Attributes
    ----------
    salt : bytes
        32 bytes, fresh and the same at all parties; chosen by none of them.
    sizes : mapping of party to int
        How many distinct keys each brings.
    min_count : int
        The largest of the owners' minimum counts, which holds for all that is computed over the intersection.
    """

    salt: bytes
    sizes: Mapping[str, int]
    min_count: int

    @property
    def enough(self) -> bool:
        """Whether each brings as many keys as the owners ask for."""
        return min(self.sizes.values()) >= self.min_count


def agree(
    me: str,
    peers: Sequence[str],
    *,
    kind: str,
    size: int,
    min_count: int,
    most: int | None = None,
    optional: bool = False,
    session: bytes,
    entropy: Entropy,
) -> Role[SharedTerms]:
    """Exchange terms with all peers. Where what follows is `optional`, too few keys are no error; see `enough`.

    Raises
    ------
    DataError
        The kinds of keys differ, a party brings fewer or more keys than another allows, or this one too many.
    ProtocolViolation
        A peer announced an impossible size, or opened its commitment to something else.
    """
    if size > MOST_KEYS:
        raise DataError(
            f"{size:,} distinct keys are more than the {MOST_KEYS:,} that the parameters were derived for",
            hint="join a part of the table at a time",
        )
    nonce = entropy.draw(NONCE_BYTES)
    mine = Terms(kind=kind, size=size, min_count=min_count, commitment=_commitment(session, me, nonce), most=most)
    yield from tell_all(dict.fromkeys(peers, mine))
    heard = yield from gather(peers, Terms)
    for peer, terms in heard.items():
        if not KIND.fullmatch(terms.kind):  # an error shows it
            raise ProtocolViolation(f"{peer} announced keys of a kind that there is not")
        if not (0 <= terms.size <= MOST_KEYS and 0 <= terms.min_count <= MOST_KEYS):
            raise ProtocolViolation(f"{peer} announced {terms.size} keys and a minimum count of {terms.min_count}")
    everyone = {me: mine, **heard}
    _check(everyone, optional=optional)
    yield from tell_all(dict.fromkeys(peers, CoinOpening(nonce=nonce)))
    openings = yield from gather(peers, CoinOpening)
    for peer, opening in openings.items():
        if len(opening.nonce) != NONCE_BYTES or not compare_digest(
            _commitment(session, peer, opening.nonce), heard[peer].commitment
        ):
            raise ProtocolViolation(f"{peer} opened its commitment to something else")
    nonces = {me: nonce, **{peer: opening.nonce for peer, opening in openings.items()}}
    salt = _hash(b"salt", session, *(part for party in sorted(nonces) for part in (party.encode(), nonces[party])))
    return SharedTerms(
        salt=salt,
        sizes={party: terms.size for party, terms in everyone.items()},
        min_count=max(terms.min_count for terms in everyone.values()),
    )


def _check(everyone: Mapping[str, Terms], *, optional: bool) -> None:
    """Raise the same error at every party where terms do not go together."""
    parties = sorted(everyone)
    if len({terms.kind for terms in everyone.values()}) > 1:
        shown = "; ".join(f"{party}: {everyone[party].kind}" for party in parties)
        raise DataError(
            f"the join keys are declared differently, so they would never match ({shown})",
            hint="have the owners convert their key columns, or declare the same normalisation for all",
        )
    for party in parties:
        for other in parties:
            if other == party:
                continue
            size, asked = everyone[party].size, everyone[other]
            if size < asked.min_count and not optional:
                raise DataError(TooFewKeys(party=party, owner=other, least=asked.min_count))
            if asked.most is not None and size > asked.most:
                raise DataError(TooManyKeys(party=party, owner=other, size=size, most=asked.most))


def _commitment(session: bytes, party: str, nonce: bytes) -> bytes:
    return _hash(b"commitment", session, party.encode(), nonce)


def _hash(*parts: bytes) -> bytes:
    state = blake2b(digest_size=32, person=b"privsdk psi")
    for part in parts:
        state.update(len(part).to_bytes(4, "big") + part)
    return state.digest()

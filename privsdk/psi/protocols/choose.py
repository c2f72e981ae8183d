"""Which protocol an intersection runs: chosen by the caller, or by how many parties and keys there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InvalidArgument
from ...protocol.roles import Entropy, Role
from . import ddh, kkrt, multiparty
from .terms import SharedTerms

Protocol = Literal["auto", "ddh", "kkrt", "multiparty"]
SMALL = 1_000  # keys of both parties together up to which Diffie-Hellman costs less than the base transfers of kkrt

NAMES = {
    "ddh": "Diffie-Hellman over ristretto255",
    "kkrt": "KKRT16, oblivious PRF from oblivious transfer",
    "multiparty": "KMPRT17, programmable oblivious PRFs and shares of zero",
}


def check_protocol(protocol: str, parties: Sequence[str]) -> None:
    """Raise InvalidArgument unless so many parties can run this protocol."""
    known = ("auto", "ddh", "kkrt") if len(parties) == 2 else ("auto", "multiparty")
    if protocol not in known:
        raise InvalidArgument(
            f"{len(parties)} parties cannot intersect by {protocol!r}", hint=f"choose from {', '.join(known)}"
        )
    if len(parties) > multiparty.MOST:
        raise InvalidArgument(
            f"an intersection of {len(parties)} parties",
            hint=f"name at most {multiparty.MOST}; a join of more is not offered, and joins are not joined with others",
        )


def explained(protocol: str, parties: Sequence[str]) -> str:
    """What a plan says of it; raises InvalidArgument unless so many parties can run it."""
    check_protocol(protocol, parties)
    if len(parties) > 2:
        return f"{NAMES['multiparty']}; {parties[0]} leads"
    if protocol != "auto":
        return f"{NAMES[protocol]}, as asked"
    return f"by size: up to {SMALL:,} keys together {NAMES['ddh']}, beyond that {NAMES['kkrt']}"


def chosen(protocol: str, sizes: Mapping[str, int]) -> str:
    """The protocol to run, the same at all parties."""
    if len(sizes) > 2:
        return "multiparty"
    if protocol != "auto":
        return protocol
    return "ddh" if sum(sizes.values()) <= SMALL else "kkrt"


def intersection(
    protocol: str,
    keys: pa.LargeBinaryArray,
    *,
    me: str,
    parties: Sequence[str],
    learner: str | None,
    agreed: SharedTerms,
    entropy: Entropy,
) -> Role[npt.NDArray[np.int64]]:
    """Any party; `keys` are distinct. `learner` is the one who learns, None stands for all.

    Returns
    -------
    int64 array
        Positions of the shared keys in `keys`, ordered as at the others; empty for one that is not to learn them.
    """
    if len(parties) > 2:
        return multiparty.intersection(keys, me=me, parties=parties, agreed=agreed, entropy=entropy)
    (peer,) = (party for party in parties if party != me)
    run = {"ddh": ddh.intersection, "kkrt": kkrt.intersection}[chosen(protocol, agreed.sizes)]
    return run(keys, me=me, peer=peer, learner=learner, agreed=agreed, entropy=entropy)

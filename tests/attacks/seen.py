"""What an attacker has who plays a party of a run by the rules, and keeps all that reaches it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from privsdk.crypto.sums.masks import Masked32
from privsdk.fl.averages import ClientUpdate
from privsdk.protocol.messages import Message

Reals = npt.NDArray[np.float64]
Received = defaultdict[str, list[tuple[str, Message]]]
"""By receiver: who sent it, and the message."""


def single_updates(messages: Sequence[tuple[str, Message]]) -> dict[str, Reals]:
    """Each client's update as a coordinator finds it in its messages: in the clear; or what the words of a masked one
    would be, were there no masks, over the client's weight, which goes with it."""
    found: dict[str, Reals] = {}
    for sender, message in messages:
        if isinstance(message, ClientUpdate):
            found[sender] = message.table.column(0).to_numpy().astype(np.float64)
        elif isinstance(message, Masked32):
            words = message.table.column("word").to_numpy().view(np.int32).astype(np.float64)
            if len(words) > 2:
                found[sender] = words[:-2] / max(abs(words[-2]), 1.0)
    return found

"""A named training that may be killed on its way: embedded with a store, or as the notebook of a federation.

Embedded it writes a client's name to FOLDER/log before each of its updates leaves, and the final model to FOLDER/model.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from troubled import CLIENTS, embedded, goes_wrong, plan

import privsdk as ps
from privsdk.fl.averages import ClientUpdate
from privsdk.protocol.messages import Message


class Patch:
    """What `goes_wrong` needs of pytest's monkeypatch."""

    def setattr(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)


def train(folder: Path, rounds: int) -> None:
    def noted(party: str) -> Any:
        def trouble(number: int, message: Message) -> Message:
            if isinstance(message, ClientUpdate):
                with (folder / "log").open("a") as log:
                    log.write(f"{party}\n")
                    log.flush()
                    os.fsync(log.fileno())
            return message

        return trouble

    goes_wrong(Patch(), {party: noted(party) for party in CLIENTS})  # type: ignore[arg-type]
    with embedded(store=folder / "store") as fed:
        weights = plan(fed, rounds=rounds, name="n", fewest=4).release().value.weights
    (folder / "model").write_bytes(weights.tobytes())


def train_connected(federation: Path, rounds: int) -> None:
    with ps.connect(federation) as fed:
        plan(fed, rounds=rounds, name="n", fewest=len(CLIENTS)).release()

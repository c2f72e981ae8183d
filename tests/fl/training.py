"""Small training problems and the whole averaging protocol over them, with either sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from privsdk.fl.fedavg import GRID, MAX_ROWS, Schedule, Trained, contributor, coordinator, vector_length
from privsdk.fl.models import Rows
from privsdk.he.schemes import Exact
from privsdk.he.sums import EncryptedSum, Summation
from privsdk.protocol import Role
from privsdk.testing import ClearSum, Sent, together

Provider = Callable[..., Summation]


def clear(me: str, names: tuple[str, ...], size: int) -> Summation:
    return ClearSum(contributors=names, key_holder="k")


def encrypted(me: str, names: tuple[str, ...], size: int) -> Summation:
    scheme = Exact(parties=len(names), length=vector_length(size), max_units=max(GRID.max_units, MAX_ROWS))
    return EncryptedSum(scheme, me=me, contributors=names, key_holder="k")


def make_rows(rng: np.random.Generator, count: int, size: int) -> Rows:
    x = np.column_stack([rng.uniform(-1, 1, (count, size - 1)), np.ones(count)])
    labels = rng.random(count) < 1 / (1 + np.exp(-x @ np.linspace(-3, 3, size)))
    return Rows(x=x, y=labels.astype(float))


def train(
    parties: list[Rows], schedule: Schedule, provider: Provider, transcript: list[Sent] | None = None
) -> tuple[Trained, dict[str, Any]]:
    names = tuple(f"p{i}" for i in range(len(parties)))
    size = parties[0].x.shape[1]
    roles: dict[str, Role[Any]] = {
        name: contributor(
            provider(name, names, size),
            party=name,
            coordinator="k",
            training=rows,
            held_out=rows,
            schedule=schedule,
            rng=np.random.default_rng(i),
        )
        for i, (name, rows) in enumerate(zip(names, parties, strict=True))
    }
    roles["k"] = coordinator(provider("k", names, size), size=size, schedule=schedule, contributors=names)
    outputs = together(roles, transcript)
    return outputs.pop("k"), outputs


def problem(sizes: list[int], size: int) -> list[Rows]:
    rng = np.random.default_rng([*sizes, size])
    return [make_rows(rng, count, size) for count in sizes]

"""What the notebooks of these tests say: a federation of three owners and a keeper of keys, and runs of it.

Every row holds canaries, which no page, message or saved notebook may show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CANARY = "kanarie"
NUMBER = 73917391  # with digits that no result has by chance
OWNERS = ("north", "south", "east")

OPEN = """import privsdk as ps
from privsdk import dp, fl, he, psi
owners = {{name: {{"people": f"{folder}/{{name}}.parquet"}} for name in ("north", "south", "east")}}
budget = ps.Budget(epsilon=10, exact=1_000_000)
fed = ps.embedded({{**owners, "keeper": {{}}}}, store={store!r}, budget=budget, quiet=True)"""
COUNT = 'dp.count(fed["north"]["people"], epsilon=0.5).release()'
PLAN = """plan = fl.fit(fl.Logistic(features={{"age": (0, 60)}}), fed.tables("people"), label="late", rounds={rounds},
              aggregation="masked")"""
DRAWN = {  # how many rounds of a run are drawn, by where
    "panel": "() => Number(document.querySelector('#privsdk-panel [role=progressbar]')?.ariaValueNow ?? 0)",
    "view": "() => Number(document.querySelector('.jp-Notebook [data-state] progress')?.value ?? 0)",
}
LONG = 10_000  # rounds: far more than any test waits for


def people(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 60, 80)
    return pa.table(
        {
            "id": [f"{CANARY}-{n}" for n in rng.permutation(120)[:80]],
            "age": age,
            "income": NUMBER + rng.random(80),
            "late": age + rng.normal(0, 9, 80) > 30,
        }
    )


def opening(folder: Path, store: Path | None = None) -> str:
    """The cell that opens the federation; its tables are files in `folder`, so that no cell quotes them."""
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(OWNERS):
        pq.write_table(people(seed), folder / f"{name}.parquet")
    return OPEN.format(folder=folder.as_posix(), store=None if store is None else store.as_posix())


def training(rounds: int = LONG) -> str:
    return PLAN.format(rounds=rounds)


def leaked(texts: list[str] | list[bytes]) -> list[str]:
    """Where a canary is shown: that much around it."""
    found = []
    for text in texts:
        given = text if isinstance(text, bytes) else text.encode()
        for canary in (CANARY.encode(), str(NUMBER).encode()):
            at = given.find(canary)
            if at >= 0:
                found.append(given[max(0, at - 100) : at + 100].decode(errors="replace"))
    return found

"""The party picker: whom to ask, which tables, which columns, and what their owners permit for what one wants to do.

Chooses and explains; asks nothing of the parties that costs anything.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import traitlets
from IPython import get_ipython

from ..client.federation import Federation
from ..client.tables import Table, Tables
from ..display.cards import Card, Grid
from ..errors import InvalidArgument
from .facts import Json
from .follower import IDLE_S
from .uses import BY_NAME, USES
from .view import FederationView, module


def picker(fed: Federation, *, use: str = "") -> Picker:
    """Choose parties, tables and columns by mouse or keyboard, and see what their owners permit.

    Parameters
    ----------
    fed : Federation
    use : str
        What you want to do, to begin with: "join", "overlap", "exact", "extreme", "encrypted", "train" or "release".

    Returns
    -------
    Picker
        Its `tables`, `table`, `columns` and `parties` are what is chosen, for later cells; its `code` is how to write
        the same without it. A choice that is made while a cell runs is known to the cells that are run afterwards.

    Examples
    --------
    >>> chosen = widgets.picker(fed, use="encrypted")
    >>> chosen  # choose; then, in another cell:
    >>> he.mean(chosen.tables, chosen.columns[0]).release()
    """
    if use not in ("", *BY_NAME):
        raise InvalidArgument(f"{use!r} is no use that the picker knows", hint=f"one of {', '.join(BY_NAME)}")
    return Picker(fed, use=use)


class Picker(FederationView):
    """Parties, tables and columns to choose by mouse, keyboard or code.

    What is chosen while a cell runs reaches the kernel when that cell ends: cells that are run afterwards have it.

    Attributes
    ----------
    use : str
        What is wanted: "join", "overlap", "exact", "extreme", "encrypted", "train", "release", or "" to look around.
    chosen : dict of party to table
        "" for a party that brings none, such as one that holds keys.
    columns : list of str
        Names of the chosen columns.
    """

    _esm = module("picker")

    use = traitlets.Enum(["", *BY_NAME], default_value="").tag(sync=True)
    chosen = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Unicode()).tag(sync=True)
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _taken = traitlets.Dict().tag(sync=True)  # the choice as the kernel has it
    _parties: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _uses: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _name = traitlets.Unicode().tag(sync=True)
    _again_s = traitlets.Float().tag(sync=True)

    def __init__(self, fed: Federation, *, use: str = "") -> None:
        super().__init__(
            fed, use=use, _uses=msgspec.to_builtins(USES), _name=_name_of(fed), _again_s=IDLE_S, _taken=_choice(use)
        )
        self.observe(self._take, ["use", "chosen", "columns"])

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of the chosen parties, in the federation's order."""
        return tuple(party for party in self._fed.parties if party in self.chosen)

    @property
    def tables(self) -> Tables:
        """The chosen tables, one of each chosen party that brings one.

        Raises
        ------
        InvalidArgument
            None is chosen.
        """
        return Tables(tuple(self._fed[party][table] for party, table in self._bringing()))

    @property
    def table(self) -> Table:
        """The chosen table, where it is a single one.

        Raises
        ------
        InvalidArgument
            None is chosen, or several are.
        """
        ((party, table), *more) = self._bringing()
        if more:
            raise InvalidArgument(
                f"{len(more) + 1} tables are chosen, where one is wanted", hint="choose one party, or use .tables"
            )
        return self._fed[party][table]

    @property
    def code(self) -> str:
        """The lines of Python that give the same handles without a picker."""
        return "\n".join(_code(self._name, self._parties, self.chosen, self.columns))

    def _bringing(self) -> list[tuple[str, str]]:
        found = [(party, self.chosen[party]) for party in self.parties if self.chosen[party]]
        if not found:
            raise InvalidArgument(
                "no table is chosen in the picker",
                hint="choose a party that has one; a choice made while a cell ran is known to the cells after it",
            )
        return found

    def _take(self, change: Any) -> None:
        self._taken = _choice(self.use, self.chosen, self.columns)

    def _traits_for(self, facts: Json) -> dict[str, Any]:
        kept = ("name", "title", "reachable", "tables", "operations", "min_parties")
        return {
            "_parties": [
                {name: party[name] for name in kept} | {"frozen": _frozen(party), "used_up": _used_up(party)}
                for party in facts["parties"]
            ]
        }

    def _card(self) -> Card:
        rows = []
        for party in self._parties:
            tables = [f"{t['name']}: {', '.join(c['name'] for c in t['columns'])}" for t in party["tables"]]
            state = "answers" if party["reachable"] else "cannot be reached"
            mark = "x" if party["name"] in self.chosen else ""
            rows.append((mark, party["name"], state, "\n".join(tables) or "-"))
        facts = [("to do", BY_NAME[self.use].label)] if self.use else []
        facts += [("columns", ", ".join(self.columns))] if self.columns else []
        facts += [("in code", self.code)] if self.code else []
        grid = Grid(header=("chosen", "party", "state", "tables"), rows=rows)
        ended = ": its federation is closed" if self._ended else ""
        return Card(title=f"party picker{ended}", facts=facts, grids=(("parties", grid),))


def _choice(use: str, chosen: dict[str, str] | None = None, columns: list[str] | None = None) -> dict[str, Any]:
    return {"use": use, "chosen": dict(chosen or {}), "columns": list(columns or [])}


def _frozen(party: dict[str, Any]) -> dict[str, str]:
    """By dataset, why its owner has frozen it."""
    return {balance["dataset"]: balance["frozen"] for balance in party["balances"] if balance["frozen"]}


def _used_up(party: dict[str, Any]) -> dict[str, list[str]]:
    """By dataset, the currencies of which nothing is left."""
    found = {b["dataset"]: [name for name in ("epsilon", "exact") if b[name]["left"] <= 0] for b in party["balances"]}
    return {dataset: names for dataset, names in found.items() if names}


def _code(fed: str, parties: list[dict[str, Any]], chosen: dict[str, str], columns: list[str]) -> list[str]:
    """The same as `code` of picker.js; a test compares them."""
    ours = [party for party in parties if party["name"] in chosen]
    bringing = [(party["name"], chosen[party["name"]]) for party in ours if chosen[party["name"]]]
    handles = [f"{fed}[{_literal(party)}][{_literal(table)}]" for party, table in bringing]
    names = {table for _, table in bringing}
    lines = []
    if len(handles) == 1:
        lines.append(f"table = {handles[0]}")
    elif len(names) == 1 and _everyone(parties, *names) == [party for party, _ in bringing]:
        lines.append(f"tables = {fed}.tables({_literal(*names)})")
    elif handles:
        lines.append(f"tables = [{', '.join(handles)}]")
    if len(bringing) < len(ours):
        lines.append(f"parties = [{', '.join(_literal(party['name']) for party in ours)}]")
    if columns:
        lines.append(f"columns = [{', '.join(map(_literal, columns))}]")
    return lines


def _everyone(parties: list[dict[str, Any]], table: str) -> list[str] | None:
    """Who has this table; None while a party cannot be reached, which may have it."""
    if not all(party["reachable"] for party in parties):
        return None
    return [party["name"] for party in parties if any(held["name"] == table for held in party["tables"])]


def _literal(text: str) -> str:
    """A string of Python's and JavaScript's alike."""
    return json.dumps(text, ensure_ascii=False)


def _name_of(fed: Federation) -> str:
    """What the notebook calls it."""
    shell = get_ipython()
    names = () if shell is None else shell.user_ns.items()
    return next((name for name, value in names if value is fed and not name.startswith("_")), "fed")

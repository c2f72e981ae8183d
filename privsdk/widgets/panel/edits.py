"""What changed between two JSON values, as a few small edits; the page makes the same edits to what it has.

An edit is a list: `["set", path, value]`, `["drop", path]` of a key, or `["cut", path, at, count, items]`, which takes
`count` items of a list out at `at` and puts others there. A path is the keys and indices that lead to the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

Path = tuple[str | int, ...]
Edit = list[Any]


def edits(old: Any, new: Any) -> list[Edit]:
    """The edits that make `new` of `old`, in the order in which they are to be made."""
    return list(_edits(old, new, ()))


def _edits(old: Any, new: Any, path: Path) -> Iterator[Edit]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() - new.keys():
            yield ["drop", [*path, key]]
        for key, value in new.items():
            if key in old:
                yield from _edits(old[key], value, (*path, key))
            else:
                yield ["set", [*path, key], value]
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        yield from _list_edits(list(old), list(new), path)
    elif old != new:
        yield ["set", list(path), new]


def _list_edits(old: list[Any], new: list[Any], path: Path) -> Iterator[Edit]:
    """What both begin and end with stays."""
    head = _alike(old, new)
    tail = min(_alike(old[::-1], new[::-1]), min(len(old), len(new)) - head)
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after, strict=True), head):
            yield from _edits(one, other, (*path, at))
    else:
        yield ["cut", list(path), head, len(before), after]


def _alike(one: list[Any], other: list[Any]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))

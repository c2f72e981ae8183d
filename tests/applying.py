"""What a page makes of the edits that it is sent."""

from __future__ import annotations

import copy
from typing import Any


def applied(value: Any, changes: list[list[Any]]) -> Any:
    """What the page makes of them: the same rules, written once more."""
    root = {"value": copy.deepcopy(value)}
    for kind, path, *rest in changes:
        place: Any = root
        *way, last = ["value", *path]
        for key in way:
            place = place[key]
        if kind == "set":
            place[last] = rest[0]
        elif kind == "drop":
            del place[last]
        else:
            at, count, items = rest
            place[last][at : at + count] = items
    return root["value"]

"""Tells the kernel that runs a notebook, where one does, that JupyterLab's panel may speak with it.

There is one comm for all pages, under a name that they know. It is not announced by a `comm_open`: pages without the
panel would answer by closing it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .widgets.panel import Panel

NAME = "privsdk.panel"  # the comm's target, and its id


def register() -> None:
    """Say to the pages of this kernel that privsdk is here; outside a kernel, or said before, do nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    manager = getattr(getattr(shell, "kernel", None), "comm_manager", None)
    if manager is None or NAME in manager.comms:
        return
    import comm

    line = comm.create_comm(target_name=NAME, comm_id=NAME, primary=False)
    if hasattr(line, "_reply_subshell_for"):
        # ipykernel 7.4 hands a comm's messages to the subshell that the comm last wrote from, which may be gone or
        # busy; a page that has a subshell of its own says so in the message
        line._reply_subshell_for = _as_sent
    panels: list[Panel] = []  # made when a page first speaks: most notebooks are looked at without it

    def told(message: dict[str, Any]) -> None:
        from .widgets.panel import Panel

        if not panels:
            panels.append(Panel(line.send))
        panels[0].take(message["content"]["data"])

    line.on_msg(told)
    manager.register_comm(line)
    line.send({"kind": "here"})


def _as_sent(_: object, subshell: str | None) -> str | None:
    return subshell

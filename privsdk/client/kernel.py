"""The Jupyter kernel that runs a notebook, where one does: its id, and the line that JupyterLab's panel speaks on.

There is one comm for all pages, under a name that they know. It is not announced by a `comm_open`: pages without the
panel would answer by closing it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "privsdk.panel"  # the comm's target, and its id


def kernel_id() -> str:
    """As the server knows it; "" outside a kernel. One that no server started has an id that no server knows."""
    loaded = sys.modules.get("ipykernel.kernelapp")  # a kernel has it; to import it would change comms anywhere else
    if loaded is None or not loaded.IPKernelApp.initialized():
        return ""
    return Path(loaded.IPKernelApp.instance().connection_file).stem.removeprefix("kernel-")


def register(panel: Callable[[Callable[[Any], None]], Any]) -> None:
    """Announce privsdk to the pages of this kernel, once; outside a kernel do nothing.

    `panel` makes the kernel's side of the panel from what sends to the pages; it is called when a page first speaks.
    """
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
    panels: list[Any] = []  # made when a page first speaks: most notebooks are looked at without it

    def on_message(message: dict[str, Any]) -> None:
        if not panels:
            panels.append(panel(line.send))
        panels[0].take(message["content"]["data"])

    line.on_msg(on_message)
    manager.register_comm(line)
    line.send({"kind": "here"})


def _as_sent(_: object, subshell: str | None) -> str | None:
    return subshell

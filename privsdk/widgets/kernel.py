"""Which kernel of its Jupyter server this process is, so that a page can have the server interrupt it."""

from __future__ import annotations

import sys
from pathlib import Path


def kernel_id() -> str:
    """As the server knows it; "" outside a kernel. One that no server started has an id that no server knows."""
    loaded = sys.modules.get("ipykernel.kernelapp")  # a kernel has it; to import it would change comms anywhere else
    if loaded is None or not loaded.IPKernelApp.initialized():
        return ""
    return Path(loaded.IPKernelApp.instance().connection_file).stem.removeprefix("kernel-")

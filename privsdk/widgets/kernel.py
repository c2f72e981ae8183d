"""Which kernel of its Jupyter server this process is, so that a page can have the server interrupt it."""

from __future__ import annotations

from pathlib import Path


def kernel_id() -> str:
    """As the server knows it; "" outside a kernel. One that no server started has an id that no server knows."""
    from ipykernel.kernelapp import IPKernelApp

    if not IPKernelApp.initialized():
        return ""
    return Path(IPKernelApp.instance().connection_file).stem.removeprefix("kernel-")

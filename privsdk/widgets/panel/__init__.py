"""The kernel's side of JupyterLab's panel."""

"""The quickstart in JupyterLab, from the server to its results."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab_page import Lab


def test_all_cells_run(lab: Lab, repository: Path) -> None:
    path = Path(shutil.copy(repository / "notebooks" / "00_quickstart.ipynb", lab.server.folder))
    lab.open(path)
    lab.run_all()
    assert len(lab.outputs()) > 10

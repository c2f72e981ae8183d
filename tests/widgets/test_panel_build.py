"""The built panel belongs to its sources, its lock file names no addresses, and what it inserts into notebooks runs."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

import privsdk

ROOT = Path(__file__).parents[2]
HOME = ROOT / "extensions" / "privsdk-panel"


def script(root: Path) -> dict[str, Any]:
    return runpy.run_path(str(root / "scripts" / "panel.py"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the check looks at, to be changed."""
    for name in ("package.json", "tsconfig.json", "yarn.lock", ".yarnrc.yml", "src", "built"):
        target = tmp_path / "extensions" / "privsdk-panel" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (HOME / name).is_dir() else shutil.copy)(HOME / name, target)
    shutil.copytree(ROOT / "privsdk" / "widgets" / "static", tmp_path / "privsdk" / "widgets" / "static")
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "panel.py", tmp_path / "scripts")
    return tmp_path


def test_the_built_panel_is_that_of_its_sources() -> None:
    assert script(ROOT)["fault"]() == ""


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("extensions/privsdk-panel/src/view.js", "not that of its sources"),
        ("extensions/privsdk-panel/package.json", "not that of its sources"),
        ("extensions/privsdk-panel/yarn.lock", "not that of its sources"),
        ("privsdk/widgets/static/dom.js", "not that of its sources"),
        ("extensions/privsdk-panel/built/package.json", "by hand or in part"),
    ],
)
def test_a_change_is_found(copy: Path, name: str, fault: str) -> None:
    assert script(copy)["fault"]() == ""
    (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    assert fault in script(copy)["fault"]()


def test_a_file_more_or_less_is_found(copy: Path) -> None:
    home = copy / "extensions" / "privsdk-panel"
    more = home / "src" / "more.ts"
    more.write_text("")
    assert "not that of its sources" in script(copy)["fault"]()
    more.unlink()
    next((home / "built" / "static").glob("remoteEntry*")).unlink()
    assert "by hand or in part" in script(copy)["fault"]()
    shutil.rmtree(home / "built")
    assert "is not built" in script(copy)["fault"]()


def test_how_lines_end_does_not_matter(copy: Path) -> None:
    file = copy / "extensions" / "privsdk-panel" / "src" / "view.js"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert script(copy)["fault"]() == ""


def test_what_is_built_is_what_jupyterlab_loads() -> None:
    built = json.loads((HOME / "built" / "package.json").read_text())
    assert (HOME / "built" / built["jupyterlab"]["_build"]["load"]).is_file()
    assert built["version"] == privsdk.__version__
    shared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in shared["shared-data"].items():
        assert (ROOT / source).exists()
        assert target.startswith(f"share/jupyter/labextensions/{built['name']}")


def test_no_addresses() -> None:
    files = [file for file in HOME.iterdir() if file.is_file()]
    for file in [*files, *(HOME / "built").rglob("*.js*")]:
        found = set(re.findall(r"https?://[^\"'`\s)]+", file.read_text()))
        assert found <= {"http://www.w3.org/2000/svg"}, file.name


def test_nothing_is_read_as_html() -> None:
    for file in (HOME / "src").iterdir():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", file.read_text())


def test_snippets_run_one_after_the_other() -> None:
    snippets = json.loads((HOME / "src" / "snippets.json").read_text())
    assert list(snippets) == ["open", "psi", "he", "fl", "dp"]
    namespace: dict[str, Any] = {}
    for name, snippet in snippets.items():
        *lines, last = snippet["code"]
        exec("\n".join(lines), namespace)  # noqa: S102
        shown = eval(last, namespace)  # noqa: S307
        assert isinstance(shown, privsdk.Federation if name == "open" else privsdk.Result)
        assert max(map(len, snippet["code"])) <= 100
    namespace["fed"].close()

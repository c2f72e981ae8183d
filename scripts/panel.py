"""Builds the JupyterLab panel, which needs Node, or says whether the built one belongs to its sources, which does not.

python scripts/panel.py            builds extensions/privsdk-panel/built
python scripts/panel.py --check    fails where sources or built files were changed since
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "extensions" / "privsdk-panel"
BUILT = HOME / "built"
RECORD = BUILT / "sources.json"
SHARED = ROOT / "privsdk" / "widgets" / "static"  # elements and colours are those of the widgets


def digest(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents, however the checkout ends its lines."""
    whole = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes().replace(b"\r\n", b"\n")
        whole.update(f"{file.relative_to(ROOT).as_posix()} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def record() -> dict[str, str]:
    """What the panel is built from, and what was built."""
    own = [HOME / name for name in (".yarnrc.yml", "package.json", "tsconfig.json", "yarn.lock")]
    shared = [SHARED / "dom.js", SHARED / "privsdk.css"]
    built = (file for file in BUILT.rglob("*") if file.is_file() and file != RECORD)
    return {"sources": digest([*own, *(HOME / "src").iterdir(), *shared]), "built": digest(built)}


def fault() -> str:
    """What is wrong with the built panel; "" for nothing."""
    if not RECORD.exists():
        return "the JupyterLab panel is not built: run `make panel`"
    kept, now = json.loads(RECORD.read_text()), record()
    if kept["sources"] != now["sources"]:
        return "the built JupyterLab panel is not that of its sources: run `make panel`"
    if kept["built"] != now["built"]:
        return "the built JupyterLab panel was changed by hand or in part: run `make panel`"
    return ""


def build() -> None:
    """Install what the lock file names, compile, bundle, and record of what."""
    shutil.rmtree(HOME / "lib", ignore_errors=True)
    jlpm = shutil.which("jlpm", path=str(Path(sys.executable).parent)) or "jlpm"
    subprocess.run([jlpm, "install", "--immutable"], cwd=HOME, check=True)
    subprocess.run([jlpm, "tsc"], cwd=HOME, check=True)
    joined("view.js", SHARED / "dom.js", HOME / "src" / "view.js")
    joined("index.css", SHARED / "privsdk.css", HOME / "src" / "panel.css")
    shutil.rmtree(BUILT, ignore_errors=True)
    core = HOME / "node_modules" / "@jupyterlab" / "core-meta" / "core.package.json"
    command = [sys.executable, "-m", "jupyter_builder.main", "build", "--core-package-file", str(core), "."]
    subprocess.run(command, cwd=HOME, check=True)
    RECORD.write_text(json.dumps(record(), indent=2) + "\n")


def joined(name: str, *files: Path) -> None:
    (HOME / "lib" / name).write_text("\n".join(file.read_text() for file in files))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(fault() or 0)
    build()

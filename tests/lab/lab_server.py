"""A JupyterLab server for tests: on a free port of the loopback, with folders of its own, ended with the tests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
STARTED_S, ENDED_S = 120, 20

# A server that ends, and its kernels with it, when whoever started it closes its input or is killed.
TIED = """import os, signal, sys, threading
from jupyterlab.labapp import main
def follow():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=follow, daemon=True).start()
main()"""

# What JupyterLab would ask or fetch when it is opened for the first time.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of view are in the page, too
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where it is reached, the folder whose notebooks it shows, and the seconds until it listened."""

    url: str
    token: str
    folder: Path
    log: Path
    started_s: float

    def end_kernels(self) -> None:
        """End all kernels: those of a test that is over."""
        for kernel in json.loads(self._call("GET", "api/kernels")):
            self._call("DELETE", f"api/kernels/{kernel['id']}")

    def _call(self, method: str, path: str) -> bytes:
        connection = HTTPConnection(urlsplit(self.url).netloc)
        with closing(connection):
            connection.request(method, f"/{path}", headers={"Authorization": f"token {self.token}"})
            answer = connection.getresponse()
            assert answer.status < 300, f"{method} {path}: {answer.status}"
            return answer.read()


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """A server from here to the end of the block; all that it writes is under `home`."""
    folder, log, token = home / "notebooks", home / "server.log", secrets.token_hex(16)
    folder.mkdir()
    _configure(home)
    command = [sys.executable, "-c", TIED, "--no-browser", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url="]
    command += ["--LabApp.extension_manager=readonly", "--ServerApp.allow_root=True"]
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(home, token),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = _url(home / "runtime", process, log)
        yield Server(url=url, token=token, folder=folder, log=log, started_s=time.monotonic() - began)
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(timeout=ENDED_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _configure(home: Path) -> None:
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    for built in ROOT.glob("extensions/*/built"):  # this tree's own panel, whichever is installed
        name = json.loads((built / "package.json").read_text())["name"]
        shutil.copytree(built, home / "data" / "labextensions" / name)


def _environment(home: Path, token: str) -> dict[str, str]:
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    own = {f"JUPYTER_{name}": str(home / folder) for name, folder in folders.items()}
    own |= {f"JUPYTERLAB_{name.upper()}_DIR": str(home / name) for name in ("settings", "workspaces")}
    own |= {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_TOKEN": token, "JUPYTER_PREFER_ENV_PATH": "0"}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
    return {**kept, **own, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _url(runtime: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server says it listens; its own file says it, once it does."""
    deadline = time.monotonic() + STARTED_S
    while time.monotonic() < deadline and process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                return str(json.loads(file.read_text())["url"])
            except ValueError:  # half written
                pass
        time.sleep(0.05)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-4000:]}")

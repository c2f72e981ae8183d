"""JupyterLab in a page, as a person uses it: open, run, wait, interrupt, restart, reload, themes, commands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
from lab_server import Server
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Route, WebSocket, expect

SHOWN_MS, RAN_MS = 60_000, 180_000
expect.set_options(timeout=SHOWN_MS)  # a busy machine is not a failure

# What JupyterLab logs as errors of its own work: its debugger asked a kernel that was restarted in the meantime.
LAB_S_OWN = ("Could not restore the debugger state",)

# Runs under way that were started by `start`: JupyterLab's promise of a run ends when its cells did.
START = """([command, args]) => {
  window.under_way = (window.under_way ?? 0) + 1;
  jupyterapp.commands.execute(command, args ?? {}).finally(() => { window.under_way -= 1; });
}"""
IDLE = """() => {
  const session = jupyterapp.shell.currentWidget?.sessionContext;
  return !(window.under_way ?? 0) && session?.isReady && session.session?.kernel?.status === "idle";
}"""
OUTPUTS = """() => jupyterapp.shell.currentWidget.content.widgets
  .filter((cell) => cell.model.type === "code").map((cell) => cell.model.outputs.toJSON())"""

NOT_RUN = """() => jupyterapp.shell.currentWidget.content.widgets
  .filter(({ model }) => model.type === "code" && !model.executionCount).map(({ model }) => model.sharedModel.source)"""


class Lab:
    """One page. What is logged, fetched from elsewhere and said over the websockets is kept in lists.

    Attributes
    ----------
    console : list of str
        All that the page logged: "error: ...".
    elsewhere : list of str
        Addresses that are not the server's; none is loaded.
    frames : list of bytes
        What went over the websockets to kernels, both ways.
    """

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.server = server
        self.console: list[str] = []
        self.elsewhere: list[str] = []
        self.frames: list[bytes] = []
        self.page = context.new_page()
        self.page.set_default_timeout(SHOWN_MS)
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}\n{error.stack or ''}"))
        self.page.on("websocket", self._listen)
        self.page.route("**/*", self._serve)

    # Notebooks

    def write(self, name: str, cells: Iterable[str]) -> Path:
        """A notebook with these code cells in the server's folder."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = self.server.folder / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    def enter(self) -> None:
        """Open JupyterLab without a notebook."""
        self.page.goto(f"{self.server.url}lab?reset&token={self.server.token}")
        self._restored()

    def open(self, path: Path) -> None:
        """Open JupyterLab on a notebook of the server's folder and wait for its kernel."""
        name = path.relative_to(self.server.folder).as_posix()
        self.page.goto(f"{self.server.url}lab/tree/{name}?reset&token={self.server.token}")
        self._restored()
        self.page.wait_for_function(IDLE)
        self.page.evaluate("() => jupyterapp.shell.collapseLeft()")  # room for the notebook

    def of(self, name: str, *cells: str) -> None:
        """Write and open a notebook of these cells."""
        self.open(self.write(name, cells))

    def start_all(self) -> None:
        """Run all cells; waits for nothing."""
        self.page.evaluate(START, ["notebook:run-all-cells", None])

    def start(self, number: int) -> None:
        """Run the code cell of this number; waits for nothing."""
        self.page.evaluate(
            """(number) => {
              const { content } = jupyterapp.shell.currentWidget;
              const cells = content.widgets.filter((cell) => cell.model.type === "code");
              content.activeCellIndex = content.widgets.indexOf(cells.at(number));
              content.deselectAll();
            }""",
            number,
        )
        self.page.evaluate(START, ["notebook:run-cell", None])

    def run_all(self) -> None:
        """Run all cells to the end; fails if one did, or was left out."""
        self.start_all()
        self.wait()
        assert not errors(self.outputs()), errors(self.outputs())
        skipped = self.page.evaluate(NOT_RUN)
        assert not skipped, f"cells that did not run: {skipped}"

    def run(self, number: int) -> None:
        """Run this code cell to its end; fails if it did."""
        self.start(number)
        self.wait()
        failed = errors([self.outputs()[number]])
        assert not failed, failed

    def wait(self) -> None:
        """Until all that was started has ended and the kernel is idle."""
        self.page.wait_for_function(IDLE, timeout=RAN_MS)

    def busy(self) -> bool:
        """Whether a cell that was started is under way."""
        return bool(self.page.evaluate("() => window.under_way"))

    def until_more(self, figure: str, than: float) -> float:
        """Wait until this function of the page gives more than that; what it gives then."""
        more = f"(than) => {{ const found = ({figure})(); return found > than && found; }}"
        return float(self.page.wait_for_function(more, arg=than).json_value())

    def add(self, source: str) -> int:
        """A new last cell; returns its number among the code cells."""
        return int(
            self.page.evaluate(
                """(source) => {
                  const { model } = jupyterapp.shell.currentWidget.content;
                  model.sharedModel.insertCell(model.cells.length, { cell_type: "code", source, metadata: {} });
                  return [...model.cells].filter((cell) => cell.type === "code").length - 1;
                }""",
                source,
            )
        )

    def ask(self, source: str) -> str:
        """Run this as a new last cell, which must not fail; what it printed."""
        number = self.add(source)
        self.run(number)
        return "".join(_joined(each.get("text", "")) for each in self.outputs()[number]).strip()

    def outputs(self) -> list[list[dict[str, Any]]]:
        """By code cell, its outputs as a notebook file has them."""
        return list(self.page.evaluate(OUTPUTS))

    def shown(self, number: int) -> Locator:
        """The area below a code cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".jp-Cell-outputArea")

    def save(self) -> str:
        """Save the notebook; its file's text."""
        self.command("docmanager:save")
        path = self.page.evaluate("() => jupyterapp.shell.currentWidget.context.path")
        return (self.server.folder / path).read_text()

    # Its surroundings

    def command(self, name: str, args: dict[str, Any] | None = None) -> None:
        """A command of the palette, to its end."""
        self.page.evaluate(
            "([name, args]) => jupyterapp.commands.execute(name, args ?? {}).then(() => {})", [name, args]
        )

    def interrupt(self) -> None:
        """The button in the notebook's toolbar."""
        self.page.get_by_role("button", name="Interrupt the kernel").click()

    def restart(self) -> None:
        """The toolbar's button, and the question whether that is meant."""
        self.page.get_by_role("button", name="Restart the kernel", exact=True).click()
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        self.page.get_by_role("dialog").wait_for(state="detached")
        self.page.wait_for_function(IDLE)

    def reload(self) -> None:
        """The browser's reload: the kernel goes on."""
        self.page.reload()
        self._restored()
        self.page.wait_for_function(IDLE)

    def theme(self, *, dark: bool) -> None:
        self.command("apputils:change-theme", {"theme": f"JupyterLab {'Dark' if dark else 'Light'}"})
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", json.dumps(not dark))

    def close(self) -> None:
        self.page.close()

    def errors(self) -> list[str]:
        said = [line for line in self.console if line.startswith("error:")]
        return [line for line in said if not any(own in line for own in LAB_S_OWN) and not of_splash(line)]

    def _restored(self) -> None:
        self.page.wait_for_function("() => typeof jupyterapp !== 'undefined'")
        self.page.evaluate("() => jupyterapp.restored.then(() => {})")

    def _serve(self, route: Route) -> None:
        url = route.request.url
        if urlsplit(url).netloc == urlsplit(self.server.url).netloc or url.startswith(("data:", "blob:")):
            route.continue_()
        else:
            self.elsewhere.append(url)
            route.abort()

    def _log(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _listen(self, socket: WebSocket) -> None:
        def keep(payload: str | bytes) -> None:
            self.frames.append(payload.encode() if isinstance(payload, str) else payload)

        socket.on("framesent", keep)
        socket.on("framereceived", keep)


def errors(outputs: Iterable[list[dict[str, Any]]]) -> list[str]:
    """What went wrong in these cells."""
    return [f"{o['ename']}: {o['evalue']}" for cell in outputs for o in cell if o["output_type"] == "error"]


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def of_splash(line: str) -> bool:
    """Whether JupyterLab's own code, and no other, took its splash screen away twice."""
    frames = [frame for frame in line.split("\n")[1:] if frame.lstrip().startswith("at ")]
    return "'removeChild'" in line and bool(frames) and all("/static/lab/jlab_core." in frame for frame in frames)

"""Whether a built site loads anything from a network: scripts, styles, fonts, pictures, frames."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

LOADING = {  # attributes by which a page loads something, as opposed to links that a reader may follow
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
REMOTE = re.compile(r"(?:https?:)?//", flags=re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""", flags=re.IGNORECASE)
IN_SCRIPT = re.compile(  # what a script fetches or imports
    r"""(?:import\s*\(?|from|fetch\(|importScripts\(|\.src\s*=)\s*["'`]((?:https?:)?//[^"'`]+)""", flags=re.IGNORECASE
)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            parts = (value or "").split(",") if name == "srcset" else [value or ""]
            if name in LOADING.get(tag, ()):
                self.found += [f"<{tag} {name}={part.strip()}>" for part in parts if REMOTE.match(part.strip())]
            if name == "style":
                self.found += IN_STYLE.findall(value or "")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.found += IN_STYLE.findall(data)
        elif self.cdata_elem == "script":
            self.found += IN_SCRIPT.findall(data)


def loaded_from_network(site: Path) -> list[str]:
    """One line for each thing that some file of the site loads from elsewhere."""
    lines = []
    for file in sorted(site.rglob("*.*")):
        if file.suffix in {".html", ".svg"}:
            page = _Page()
            page.feed(file.read_text(encoding="utf-8"))
            found = page.found
        elif file.suffix in {".css", ".js"}:
            found = (IN_STYLE if file.suffix == ".css" else IN_SCRIPT).findall(file.read_text(encoding="utf-8"))
        else:
            continue
        lines += [f"{file.relative_to(site).as_posix()}: {what}" for what in found]
    return lines

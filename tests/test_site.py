"""The check that `make docs` makes of the built site: that no page would load anything from a network."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

loaded = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "offline.py"))["loaded_from_network"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<script src="//cdn.example/x.js"></script>'),
        ("a.html", '<script type="module">import x from "https://cdn.example/x.js"</script>'),
        ("a.html", '<link rel="stylesheet" href="https://fonts.example/css">'),
        ("a.html", '<img alt="" src="HTTP://host.example/x.png">'),
        ("a.html", '<img alt="" src="x.png" srcset="x.png, https://host.example/y.png 2x">'),
        ("a.html", '<iframe src="https://host.example/"></iframe>'),
        ("a.html", '<p style="background: url(https://host.example/x.png)">'),
        ("a.html", "<style>@font-face { src: url('https://fonts.example/x.woff2') }</style>"),
        ("a.css", '@import "//fonts.example/css";'),
        ("a.css", "a { background: url(https://host.example/x.png) }"),
        ("a.js", 'fetch("https://host.example/x.json")'),
        ("a.js", 'import("https://host.example/x.js")'),
        ("a.svg", '<svg><image xlink:href="https://host.example/x.png"/></svg>'),
    ],
)
def test_what_loads_from_a_network_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_text(text)
    (found,) = loaded(tmp_path)
    assert found.startswith(f"deep/{name}: ")


def test_links_and_local_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="../site.css"><script src="x.js"></script><a href="https://host.example">there</a>'
        '<img alt="" src="data:image/png;base64,AAAA"><code>fetch("https://host.example")</code>'
    )
    (tmp_path / "a.css").write_text("/* https://host.example */ a { background: url(x.png) }")
    (tmp_path / "a.js").write_text("// https://host.example\nimport x from './x.js'")
    assert loaded(tmp_path) == []

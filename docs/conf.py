"""The documentation site: Sphinx reads the whole repository, so that links are the same here and on a file browser.

Everything a page needs is in the site itself; `offline.py` fails the build where a page would load from a network.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import sys
from pathlib import Path
from textwrap import indent

from docutils import nodes
from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import privsdk

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, os.fspath(HERE))

from offline import loaded_from_network  # noqa: E402

project = "privsdk"
author = "The privsdk maintainers"
copyright = "the privsdk maintainers, Apache License 2.0"
version = release = privsdk.__version__

root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/*.md"]
exclude_patterns = [".*", "build", "site", "shared", "extensions", "benchmarks/.peers", "**/.ipynb_checkpoints"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 3

# Tutorials are executed by `make test`; pages show what it left in build/notebooks, or the code alone.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # would come from a CDN; cards are shown in their place
nb_merge_streams = True
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("html", "text/html", 0),
    ("html", "image/png", 10),
    ("html", "text/plain", 20),
]

# The reference is of public names, read from the package: `__all__` decides what is in it.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
napoleon_google_docstring = False
napoleon_custom_sections = [("Learns", "notes_style")]
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "privsdk"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = ">>> "
copybutton_exclude = ".linenos, .gp, .go"

logger = logging.getLogger(__name__)

PUBLIC = ("privsdk", "privsdk.psi", "privsdk.he", "privsdk.fl", "privsdk.dp", "privsdk.widgets", "privsdk.testing")
SEVERAL = re.compile(r"^(?P<names>\w+(?:, \w+)+) : (?P<type>.+)\n(?P<text>(?:    .*\n)+)", flags=re.MULTILINE)
PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r'<img src="(?P<light>[^"]+)" alt="(?P<alt>[^"]*)">\s*</picture>'
)


def public_names() -> dict[str, str]:
    """From where an object is defined to the name that a notebook uses for it."""
    found = {}
    for module in map(importlib.import_module, PUBLIC):
        for name in module.__all__:
            shown = getattr(module, name)
            if hasattr(shown, "__qualname__"):
                found.setdefault(f"{shown.__module__}.{shown.__qualname__}", f"{module.__name__}.{name}")
    return found


def link_public_name(
    app: Sphinx, env: BuildEnvironment, reference: pending_xref, content: Element
) -> nodes.reference | None:
    """Find `psi.join` and the place of definition of a public object, as docstrings and annotations name them."""
    if reference.get("refdomain") != "py":
        return None
    target = reference["reftarget"]
    objects = env.domains["py"].objects
    for candidate in (app.public_names.get(target, ""), f"privsdk.{target}"):
        if candidate in objects:
            found = objects[candidate]
            uri = app.builder.get_relative_uri(reference["refdoc"], found.docname) + "#" + found.node_id
            return nodes.reference("", "", content, internal=True, refuri=uri, reftitle=candidate)
    if target.startswith("privsdk."):
        try:
            pkgutil.resolve_name(target)
        except (ImportError, AttributeError):
            logger.warning("%s does not exist", target, location=reference)
    return None


def prepare_source(app: Sphinx, document: str, source: list[str]) -> None:
    """Let pictures follow the page's colours, and take the outputs of notebooks that have been executed as they are."""
    if document.startswith("notebooks/"):
        notebook = json.loads(source[0])
        notebook["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        file = ROOT / "build" / f"{document}.ipynb"
        executed = json.loads(file.read_text(encoding="utf-8"))["cells"] if file.exists() else []
        if [cell["source"] for cell in executed] == [cell["source"] for cell in notebook["cells"]]:
            notebook["cells"] = executed
        source[0] = json.dumps(notebook)
    else:
        text = PICTURE.sub(r"![\g<alt>](\g<light>){.only-light}\n![\g<alt>](\g<dark>){.only-dark}", source[0])
        source[0] = text.replace("](README.md)", f"]({root_doc}.md)")


def prepare_docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Give each of several names described together an entry, and show a tree as it is drawn."""
    text = SEVERAL.sub(
        lambda found: "".join(f"{each} : {found['type']}\n{found['text']}" for each in found["names"].split(", ")),
        "\n".join(lines) + "\n",
    )
    paragraphs = text.split("\n\n")
    lines[:] = "\n\n".join("::\n\n" + indent(p, "    ") if "├──" in p else p for p in paragraphs).splitlines()


def prepare_signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Show what users receive and do not make, such as results and exceptions, by its name alone."""
    if what == "exception" or (what == "class" and "Parameters\n" not in (thing.__doc__ or "")):
        return "", None
    if signature is None:  # of a module
        return None
    arrow = "~pyarrow.lib.", "pyarrow."  # whose Table is not ours
    return signature.replace(*arrow), returned and returned.replace(*arrow)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Let the site open at its top folder; refuse one that lacks a public name or needs a network."""
    if error or app.builder.name != "html":
        return
    start = f"{root_doc}.html"
    page = (
        f'<!doctype html><meta charset="utf-8"><title>{project}</title><meta http-equiv="refresh" content="0; {start}">'
    )
    (Path(app.outdir) / "index.html").write_text(f'{page}<a href="{start}">{project}</a>\n', encoding="utf-8")
    described = app.env.domains["py"].objects
    names = app.public_names.items()
    wrong = [f"not in the reference: {name}" for home, name in names if not {home, name} & described.keys()]
    wrong += [f"would load from a network: {found}" for found in loaded_from_network(Path(app.outdir))]
    for line in wrong:
        logger.warning(line)


def setup(app: Sphinx) -> None:
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.public_names = public_names()
    app.connect("missing-reference", link_public_name)
    app.connect("source-read", prepare_source)
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", prepare_signature)
    app.connect("build-finished", finish)

"""The documents say what the code does: examples run, tables and lists agree, links lead somewhere."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import privsdk
from privsdk.__main__ import main
from privsdk.deploy.config import FederationConfig, PartyConfig, read_federation, read_party
from privsdk.governance.policy import Disclosure
from privsdk.workshop.demo import demo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md")


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language, without the indentation of the list they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def between(text: str, name: str) -> str:
    """What stands between the markers of this name."""
    return text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0].strip()


def toml_block(title: str) -> str:
    """The README's TOML block whose first line begins with this title."""
    (found,) = [block for block in blocks("toml") if block.startswith(f"# {title}")]
    return found


def test_learns_table_is_the_scripts() -> None:
    printed = runpy.run_path(str(ROOT / "scripts" / "learns_table.py"))["table"]()
    assert between(README, "learns") == printed, "put the output of scripts/learns_table.py between the markers"


def test_layers_are_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert between(ARCHITECTURE, "layers").splitlines() == ["```text", *layers, "```"]


def test_every_module_is_described_and_exists() -> None:
    package = ROOT / "privsdk"
    modules = {str(file.relative_to(package).as_posix()) for file in package.rglob("*.py")}
    rows = re.findall(r"^\| `([\w/]+\.py)` \| (.+) \|$", between(ARCHITECTURE, "modules"), flags=re.MULTILINE)
    described = [name for name, _ in rows]
    assert len(described) == len(set(described))
    assert set(described) == {name for name in modules if not name.endswith("__init__.py")}
    mentioned = set(re.findall(r"`([\w/]+\.py)`", ARCHITECTURE))
    assert not {name for name in mentioned if name not in modules and not (ROOT / name).exists()}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_local_links_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text())
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in local if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("module", ["privsdk", "privsdk.psi", "privsdk.he", "privsdk.fl", "privsdk.dp"])
def test_public_names_have_docstrings(module: str) -> None:
    package = importlib.import_module(module)
    for name in package.__all__:
        text = getattr(package, name).__doc__ or ""
        assert text, f"{module}.{name} has no docstring"
        assert not text.startswith(f"{name}("), f"{module}.{name} has only a generated docstring"


def test_demo_prints_what_the_readme_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    demo(tmp_path)
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    shown = next(block for block in blocks("text") if block.startswith("1. EWR"))
    assert [line for line in shown.splitlines() if " ".join(line.split()) not in printed] == []


def test_configuration_examples_are_valid(tmp_path: Path) -> None:
    for title, name in (("party.toml of north", "north"), ("party.toml of notary", "notary")):
        file = tmp_path / "party.toml"
        file.write_text(toml_block(title))
        assert read_party(file).name == name
    file.write_text(toml_block("federation.toml"))
    assert set(read_federation(file).parties) == {"north", "south", "notary"}


def test_party_example_names_every_field_and_disclosure() -> None:
    text = toml_block("party.toml of north")
    config = msgspec.toml.decode(text, type=PartyConfig)
    grants, (budget,) = config.policy.grants, config.budgets.values()
    for struct in (config, config.tls, *config.tables.values(), config.policy, *grants, budget):
        for field in msgspec.structs.fields(struct):
            assert re.search(rf"\b{field.encode_name}\b", text), f"party.toml does not show {field.encode_name}"
    assert [d.value for d in Disclosure if f'"{d.value}"' not in text] == []


@pytest.mark.usefixtures("tidy")
def test_python_examples_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one namespace, beside the federation that the README's own configuration and commands make."""
    with _federation(tmp_path):
        monkeypatch.chdir(tmp_path / "analyst")
        namespace: dict[str, object] = {}
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), namespace)  # noqa: S102
        federation = namespace["fed"]
        assert isinstance(federation, privsdk.Federation)
        assert all(report.first_bad == -1 for report in federation.verify_audit().values())
        federation.close()
    assert next(block for block in blocks("text") if block.startswith("preview of ")) in capsys.readouterr().out
    assert main(["audit", "verify", str(tmp_path / "north" / "north.sqlite")]) == 0


@contextmanager
def _federation(folder: Path) -> Iterator[None]:
    """The README's three parties as processes on loopback, each in a folder with its own files."""
    command = next(block for block in blocks("sh") if "certificates" in block).split()
    assert command[:3] == ["python", "-m", "privsdk"]
    certificates, members = folder / command[4], command[5:]
    assert main(["certificates", str(certificates), *members]) == 0
    north = toml_block("party.toml of north")
    parties = {
        "north": north,
        "south": north.replace("north", "south"),
        "notary": toml_block("party.toml of notary"),
    }
    assert {*parties, "analyst"} == set(members)
    for member in members:
        (folder / member / "certs").mkdir(parents=True)
        for file in ("ca.pem", f"{member}.pem", f"{member}.key"):
            shutil.copy(certificates / file, folder / member / "certs")
        sales = {"company": [f"c{i}" for i in range(60)], "turnover": [0.5 * i for i in range(60)]}
        pq.write_table(pa.table(sales), folder / member / "sales.parquet")
    addresses, processes = {}, []
    try:
        for name, text in parties.items():
            local = text.replace("grpc+tls://0.0.0.0:4711", "grpc+tls://127.0.0.1:0")
            (folder / name / "party.toml").write_text(local)
            command = [sys.executable, "-m", "privsdk", "serve", os.fspath(folder / name / "party.toml")]
            with (folder / name / "log").open("w") as log:
                processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True))
        for name, process in zip(parties, processes, strict=True):
            assert process.stdout is not None
            line = process.stdout.readline()
            assert " listens on " in line, (folder / name / "log").read_text()
            addresses[name] = line.split()[-1]
        config = msgspec.toml.decode(toml_block("federation.toml"), type=FederationConfig)
        config = msgspec.structs.replace(config, parties=addresses)
        for member in members:
            (folder / member / "federation.toml").write_bytes(msgspec.toml.encode(config))
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=20)

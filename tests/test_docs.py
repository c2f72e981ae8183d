"""The documents say what the code does: examples run, tables and lists agree, links lead somewhere."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import runpy
import shutil
import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from claims import Cases
from forked import Forked

import privsdk.__main__
from privsdk.__main__ import main
from privsdk.deploy.config import FederationConfig, PartyConfig, read_config
from privsdk.governance.policy import Disclosure
from privsdk.workshop.demo import demo

ROOT = Path(__file__).parent.parent
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
PAGES = sorted(
    file.relative_to(ROOT).as_posix() for folder in ("guide", "reference") for file in ROOT.glob(f"docs/{folder}/*.md")
)
DOCUMENTS = [
    *("README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md", "docs/index.md"),
    *PAGES,
]
REAL_MACHINES = "docs/guide/real-machines.md"


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    """A document's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(document), flags=re.MULTILINE | re.DOTALL)


WITH_EXAMPLES = [document for document in DOCUMENTS if blocks(document, "python")]


def between(text: str, name: str) -> str:
    """What stands between the markers of this name."""
    return text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0].strip()


def toml_block(title: str) -> str:
    """The configuration example whose first line begins with this title."""
    (found,) = [block for block in blocks(REAL_MACHINES, "toml") if block.startswith(f"# {title}")]
    return found


def test_learns_table_is_the_scripts() -> None:
    printed = runpy.run_path(str(ROOT / "scripts" / "learns_table.py"))["tables"]()
    page = read("docs/reference/who-learns-what.md")
    assert (between(page, "learns"), between(page, "roles")) == printed, (
        "put the output of scripts/learns_table.py between the markers"
    )


@pytest.mark.claim("types: a column of any Arrow type is used, or refused by name with what to do, in every place")
def test_types_table_is_the_scripts(cases: Cases) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "types_table.py"))
    cases(len(list(script["kinds"]())) * sum(map(len, script["PLACES"].values())))
    assert between(read("docs/reference/types.md"), "types") == script["table"](), (
        "put the output of scripts/types_table.py between the markers"
    )


def test_every_promise_names_a_claim_that_is_kept() -> None:
    claims = json.loads((ROOT / "tests" / "kept_claims.json").read_text())
    rows = between(read("SECURITY.md"), "promises").splitlines()[2:]
    named = [row.rstrip(" |").rpartition(" | ")[2] for row in rows]
    assert len(named) >= 16
    assert [name for name in named if name not in claims] == []


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


def test_checks_that_the_architecture_names_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", ARCHITECTURE)
    assert named
    assert [name for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()] == []


def test_commands_of_the_program_are_those_that_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        privsdk.__main__.main(["--help"])
    commands = re.findall(r"\{([\w,]+)\}", capsys.readouterr().out)[0].split(",")
    assert f"`python -m privsdk {' | '.join(commands)}`" in (privsdk.__main__.__doc__ or "")
    named = {name for document in DOCUMENTS for name in re.findall(r"python -m privsdk (\w+)", read(document))}
    assert {"serve", "audit"} <= named <= set(commands)


@pytest.mark.parametrize("name", ["he.mean", "psi.join@flight"])
def test_a_walk_passes_the_stations(name: str) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "walk.py"))
    ask, opened = script["WALKS"][name]
    with opened() as fed:
        passed = script["walk"](ask, fed)
    link = "transport/flight.py" if name.endswith("@flight") else "transport/local.py"
    assert {"client/federation.py", link, "party/gate.py", "protocol/roles.py"} <= set(passed)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_local_links_lead_somewhere(document: str) -> None:
    text = read(document)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r' (?:src|srcset)="([^"]+)"', text)
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in local if not ((ROOT / document).parent / link).exists()] == []


def test_readme_is_short_and_leads_to_every_page() -> None:
    readme = read("README.md")
    assert len(readme.splitlines()) <= 200
    assert [page for page in PAGES if f"]({page})" not in readme] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    inline = re.findall(r"`make ([a-z-]+)", read(document))
    named = {*inline, *re.findall(r"^make ([a-z-]+)", "\n".join(blocks(document, "sh")), flags=re.MULTILINE)}
    assert named <= targets


@pytest.mark.parametrize("module", ["privsdk", "privsdk.psi", "privsdk.he", "privsdk.fl", "privsdk.dp"])
def test_public_names_have_docstrings(module: str) -> None:
    package = importlib.import_module(module)
    for name in package.__all__:
        text = getattr(package, name).__doc__ or ""
        assert text, f"{module}.{name} has no docstring"
        assert not text.startswith(f"{name}("), f"{module}.{name} has only a generated docstring"


def test_names_of_the_reference_exist() -> None:
    """Also without a build of the site, so that whoever moves a class finds it here."""
    for page in sorted(ROOT.glob("docs/reference/api/*.rst")):
        text = page.read_text(encoding="utf-8")
        module = re.search(r"^.. automodule:: (\S+)$", text, flags=re.MULTILINE)
        names = re.findall(r"^.. auto(?:class|exception|function):: (\S+)$", text, flags=re.MULTILINE)
        assert module or names
        for name in names:
            assert pkgutil.resolve_name(f"{module[1]}.{name}" if module else name).__doc__, name


def test_modules_that_docstrings_name_exist() -> None:
    known = {"privsdk.fl.model"}  # a key of a model file
    for file in sorted(ROOT.glob("privsdk/**/*.py")):
        for name in set(re.findall(r"`(privsdk\.[\w.]+)`", file.read_text(encoding="utf-8"))) - known:
            assert pkgutil.resolve_name(name), file


def test_demo_prints_what_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    demo(tmp_path)
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    shown = next(block for block in blocks("docs/guide/installation.md", "text") if block.startswith("1. EWR"))
    assert [line for line in shown.splitlines() if " ".join(line.split()) not in printed] == []


def test_configuration_examples_are_valid(tmp_path: Path) -> None:
    for title, name in (("party.toml of north", "north"), ("party.toml of notary", "notary")):
        file = tmp_path / "party.toml"
        file.write_text(toml_block(title))
        assert read_config(file, PartyConfig).name == name
    file.write_text(toml_block("federation.toml"))
    assert set(read_config(file, FederationConfig).parties) == {"north", "south", "notary"}


def test_party_example_names_every_field_and_disclosure() -> None:
    text = toml_block("party.toml of north")
    config = msgspec.toml.decode(text, type=PartyConfig)
    grants, (budget,) = config.policy.grants, config.budgets.values()
    waits = (config.timeouts, config.limits)
    for struct in (config, config.tls, *config.tables.values(), config.policy, *grants, budget, *waits):
        for field in msgspec.structs.fields(struct):
            assert re.search(rf"\b{field.encode_name}\b", text), f"party.toml does not show {field.encode_name}"
    assert [d.value for d in Disclosure if f'"{d.value}"' not in text] == []


def run_examples(document: str) -> dict[str, object]:
    """A document's examples, one after the other in one namespace."""
    namespace: dict[str, object] = {}
    for block in blocks(document, "python"):
        exec(compile(block, document, "exec"), namespace)  # noqa: S102
    return namespace


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("document", [document for document in WITH_EXAMPLES if document != REAL_MACHINES])
def test_python_examples_run(
    document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each document by itself, as a reader would who begins with it; a preview that it shows is what is printed."""
    monkeypatch.chdir(tmp_path)
    for value in run_examples(document).values():
        if isinstance(value, privsdk.Federation):
            assert all(report.first_bad == -1 for report in value.verify_audit().values())
            value.close()
    printed = capsys.readouterr().out
    assert [text for text in blocks(document, "text") if text.startswith("preview of ") and text not in printed] == []


@pytest.mark.usefixtures("tidy")
def test_real_machines_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's configuration and commands make a federation of processes, and its example connects to it."""
    with _federation(tmp_path):
        monkeypatch.chdir(tmp_path / "analyst")
        federation = run_examples(REAL_MACHINES)["fed"]
        assert isinstance(federation, privsdk.Federation)
        assert all(report.first_bad == -1 for report in federation.verify_audit().values())
        federation.close()
    assert main(["audit", "verify", str(tmp_path / "north" / "north.sqlite")]) == 0


@contextmanager
def _federation(folder: Path) -> Iterator[None]:
    """The page's three parties as processes on loopback, each in a folder with its own files."""
    command = next(block for block in blocks(REAL_MACHINES, "sh") if "certificates" in block).split()
    assert command[:3] == ["python", "-m", "privsdk"]
    certificates, members = folder / command[4], command[5:]
    assert main(["certificates", str(certificates), *members]) == 0
    north = toml_block("party.toml of north")
    parties = {
        "north": north,
        "south": re.sub("north|south", lambda name: "south" if name[0] == "north" else "north", north),  # its partner
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
            command = ["serve", os.fspath(folder / name / "party.toml")]
            processes.append(Forked(main, command, log=folder / name / "log"))
        for name, process in zip(parties, processes, strict=True):
            line = process.readline()
            assert " listens on " in line, (folder / name / "log").read_text()
            addresses[name] = line.split()[-1]
        config = msgspec.toml.decode(toml_block("federation.toml"), type=FederationConfig)
        config = msgspec.structs.replace(config, parties=addresses)
        for member in members:
            (folder / member / "federation.toml").write_bytes(msgspec.toml.encode(config))
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(timeout=120)

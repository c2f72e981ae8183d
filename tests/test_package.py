"""The package as a whole: what importing it loads, its public names, and rules that keep its structure."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from claims import Cases

import privsdk
from privsdk import widgets

HEAVY = (
    "tenseal",
    "opendp",
    "dp_accounting",
    "duckdb",
    "ipywidgets",
    "pandas",
    "polars",
    "grpc",
    "rbcl",
    "comm",
    "IPython",
    "anywidget",
)
# files that would swallow the project
GUARDED = (
    "party/gate.py",
    "party/runs.py",
    "client/plan.py",
    "client/federation.py",
)
SECRET_KEEPERS = ("crypto", "he", "psi", "party", "transport", "dp")
SECURE_SUMS = (
    "shamir.py",
    "masks.py",
    "masker.py",
    "masked.py",
    "all_to_all.py",
    "base.py",
)


@pytest.mark.claim("import privsdk loads none of tenseal, opendp, dp_accounting, duckdb, ipywidgets")
def test_import_is_light(cases: Cases) -> None:
    code = """
import sys, privsdk
print(*sys.modules)
from privsdk.client.kernel import kernel_id
from privsdk.fl.privacy import charges
print([kernel_id(), *({"ipykernel", "dp_accounting"} & set(sys.modules))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, later = done.stdout.splitlines()
    assert "privsdk" in loaded.split()
    for module in HEAVY:
        assert module not in loaded.split()
        cases()
    assert later == "['']"  # asking for the kernel would replace what makes comms; forecasts need no accountant


def test_public_names() -> None:
    assert sorted(privsdk.__all__) == privsdk.__all__
    assert privsdk.__all__ == [
        "Budget", "Disclosure", "Federation", "Grant", "Limit", "Owner", "Plan", "Policy", "PrivsdkError", "Result",
        "Run", "Unit", "connect", "csv", "dp", "duckdb", "embedded", "errors", "files", "fl", "he", "postgres", "psi",
        "view",
    ]  # fmt: skip
    assert all(hasattr(privsdk, name) for name in privsdk.__all__)
    assert (sorted(privsdk.psi.__all__), sorted(privsdk.he.__all__)) == (
        [
            "Cardinality", "Difference", "Joint", "JointSide", "Key", "cardinality", "difference", "intersect", "join",
            "key", "load",
        ],
        [
            "Column", "Preset", "PublicContext", "Range", "Revealed", "Scores", "SecretContext", "choose", "columns",
            "correlation", "count", "covariance", "dot", "encrypt", "histogram", "matmul", "mean", "restored", "reveal",
            "score", "sum", "variance", "weighted_sum",
        ],
    )  # fmt: skip
    assert (sorted(privsdk.fl.__all__), sorted(privsdk.dp.__all__)) == (
        [
            "FedAdam",
            "FedAvg",
            "FedBuff",
            "FedProx",
            "FedYogi",
            "Fitted",
            "Linear",
            "Logistic",
            "MLP",
            "Median",
            "PartyLevel",
            "Quantised",
            "RecordLevel",
            "Scaffold",
            "Softmax",
            "Standardised",
            "TopK",
            "TrimmedMean",
            "Validation",
            "Vector",
            "cross_validate",
            "fit",
            "load",
            "simulate",
        ],
        ["count", "histogram", "mean", "median", "quantile", "sum", "variance"],
    )


def test_tab_shows_public_names_only() -> None:
    """By `dir` and by both of IPython's completers, the one that runs code and the one that reads it."""
    from IPython.core.completer import JEDI_INSTALLED, IPCompleter, provisionalcompleter

    for face in (privsdk, privsdk.psi, privsdk.he, privsdk.fl, privsdk.dp, widgets):
        public = set(face.__all__)
        assert {name for name in dir(face) if not name.startswith("_")} == public
        for use_jedi in (JEDI_INSTALLED, False):
            completer = IPCompleter(shell=None, namespace={"face": face}, use_jedi=use_jedi)
            completer.jedi_compute_type_timeout = 0
            with provisionalcompleter():
                shown = {found.text.removeprefix(".") for found in completer.completions("face.", 5)}
            assert {name for name in shown if not name.startswith("_")} == public


def test_one_class_name_is_one_class(repository: Path) -> None:
    classes = Counter(
        node.name
        for file in (repository / "privsdk").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in classes.items() if times > 1] == []


def test_test_modules_have_names_of_their_own(repository: Path) -> None:
    """Two of one name stop the collection of the whole suite, and of neither file alone."""
    names = Counter(file.name for file in (repository / "tests").rglob("test_*.py"))
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("name", GUARDED)
def test_guarded_files_stay_small(repository: Path, name: str) -> None:
    assert len((repository / "privsdk" / name).read_text().splitlines()) <= 300


def imports(file: Path) -> set[str]:
    """Names of modules and attributes that a file uses by import or by dotted access."""
    used = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            used |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            used.add(ast.unparse(node))
    return used


def test_no_pickle_anywhere(repository: Path) -> None:
    for file in (repository / "privsdk").rglob("*.py"):
        assert not imports(file) & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}, file.name


def test_no_weak_randomness_where_secrets_are(repository: Path) -> None:
    weak = ("random", "np.random", "numpy.random")
    for folder in SECRET_KEEPERS:
        for file in (repository / "privsdk" / folder).rglob("*.py"):
            assert not [name for name in imports(file) if name.startswith(weak)], file.name


@pytest.mark.claim("fl: masked sums draw from their entropy alone: no other random source is used")
@pytest.mark.parametrize("name", SECURE_SUMS)
def test_masked_sums_draw_from_their_entropy_alone(repository: Path, name: str, cases: Cases) -> None:
    assert not other_sources(repository / "privsdk" / "crypto" / "sums" / name)
    cases()


def other_sources(file: Path) -> set[str]:
    """What a file uses that draws from elsewhere than the entropy that it is given."""
    modules = ("random", "np.random", "numpy.random", "secrets", "os", "uuid", "time")
    return {
        name
        for name in imports(file)
        if name.startswith(tuple(f"{module}." for module in modules))
        or name in modules
        or name.rpartition(".")[2] in ("generate", "generate_key", "SystemEntropy", "default_rng")
    }


@pytest.mark.parametrize(
    "line",
    [
        "import secrets",
        "from os import urandom",
        "import numpy as np; np.random.default_rng()",
        "from numpy.random import default_rng",
        "import uuid",
        "from random import Random",
        "key = X25519PrivateKey.generate()",
        "key = AESGCM.generate_key(256)",
        "from ..protocol import SystemEntropy",
        "from time import time_ns",
    ],
)
def test_the_rule_finds_other_sources(tmp_path: Path, line: str) -> None:
    file = tmp_path / "weak.py"
    file.write_text(f"{line}\n")
    assert other_sources(file)


def test_the_rule_finds_weak_randomness(tmp_path: Path) -> None:
    file = tmp_path / "weak.py"
    file.write_text("import numpy as np\nnoise = np.random.default_rng().normal()\n")
    assert "np.random.default_rng" in imports(file)

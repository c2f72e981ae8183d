"""A disclosure that is added says what holds for it, and is refused everywhere until an owner grants it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import privsdk
from privsdk.governance import policy
from privsdk.governance.policy import Disclosure, Grant

SOURCE = Path(policy.__file__)
ATTRIBUTES = ("counted", "pooled", "noisy", "in_workshop", "implies")
GIVEN = {"counted": "True", "pooled": "False", "noisy": "False", "in_workshop": "False", "implies": "()"}

REFUSED_UNTIL_GRANTED = """
import importlib.util, sys

class Added:  # serves the changed module in place of the installed one
    def find_spec(self, name, path=None, target=None):
        if name == "privsdk.governance.policy":
            return importlib.util.spec_from_file_location(name, sys.argv[1])

sys.meta_path.insert(0, Added())

import pyarrow as pa
import privsdk as ps
from privsdk.errors import PolicyRefused
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.governance.policy import Disclosure, Grant, Need, Policy
from privsdk.party.policy import decide, permits
from privsdk.protocol.operation import Request

survey = Disclosure("survey")
need = Need(table="people", column="age", disclosure=survey)
request = Request(run_id="r", operation="x", caller="ann", purpose="p", parties=("north",), operands={}, parameters={})

def granting(*ways, **limits):
    grants = tuple(Grant(table="*", columns={"*": way}, max_epsilon=1.0, **limits) for way in ways)
    return Policy(operations=("*",), grants=grants, min_parties=1)

def refused(by):
    try:
        decide(by, request, [need], party="north")
    except ps.PrivsdkError as error:
        return isinstance(error, PolicyRefused) and survey not in permits(by, "people", "age", "ann")
    return False

assert refused(WORKSHOP_POLICY), "the workshop's policy grants it"
assert refused(granting(*(other for other in Disclosure if other is not survey))), "another disclosure implies it"
assert survey.implied == {survey}, "it implies others"
assert decide(granting(survey, min_count=7), request, [need], party="north").min_count == 7, "it is not counted"
with ps.embedded(north=pa.table({"age": [1, 2]}), store=None, quiet=True) as fed:
    assert "survey" not in repr(fed.describe()), "a party says that it permits it"
    assert "aggregate" in repr(fed.describe())
"""


def added(folder: Path, line: str) -> Path:
    """The module of disclosures with one more member."""
    source, times = re.subn(r"^    _value_: str$", f"    {line}\n\n    _value_: str", SOURCE.read_text(), flags=re.M)
    assert times == 1
    changed = folder / "policy.py"
    changed.write_text(source)
    return changed


def defined(attributes: dict[str, str]) -> str:
    return f"SURVEY = _Attributes('survey', {', '.join(f'{name}={value}' for name, value in attributes.items())})"


@pytest.mark.claim("a disclosure that is added is refused by every policy until an owner grants it")
def test_a_disclosure_that_is_added_is_refused_until_it_is_granted(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(REFUSED_UNTIL_GRANTED)
    command = [sys.executable, str(script), str(added(tmp_path, defined(GIVEN)))]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line",
    ["SURVEY = 'survey'", *(defined({n: v for n, v in GIVEN.items() if n != missing}) for missing in ATTRIBUTES)],
    ids=["none", *ATTRIBUTES],
)
def test_a_disclosure_without_its_attributes_cannot_be_defined(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("privsdk.governance.added", added(tmp_path, line))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    with pytest.raises((TypeError, RuntimeError)) as failed:  # before Python 3.12 the class wraps it
        spec.loader.exec_module(module)
    assert re.search("has no attributes|missing 1 required keyword-only argument", str(failed.value))


def test_nor_does_it_type_check(tmp_path: Path) -> None:
    changed = added(tmp_path, "SURVEY = _Attributes('survey')")
    root = Path(privsdk.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--follow-imports", "skip", "--cache-dir", str(tmp_path / "cache")]
    command += ["--shadow-file", str(SOURCE), str(changed), str(SOURCE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=root)
    assert re.findall(r'Missing named argument "(\w+)"', done.stdout) == list(ATTRIBUTES), done.stdout + done.stderr


@pytest.mark.parametrize("disclosure", Disclosure)
def test_a_disclosure_is_its_text(disclosure: Disclosure) -> None:
    """In JSON, MessagePack, party.toml and a notebook; the texts are those of the version before (test_kept_names)."""
    text = disclosure.value
    assert type(text) is str
    assert disclosure == text == str(disclosure) == f"{disclosure}"
    assert hash(disclosure) == hash(text)
    assert Disclosure(text) is disclosure
    assert msgspec.json.decode(msgspec.json.encode(disclosure), type=Disclosure) is disclosure
    assert msgspec.json.encode(disclosure) == msgspec.json.encode(text)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(text), type=Disclosure) is disclosure
    limits = {"max_epsilon": 1.0} if disclosure.noisy else {}
    assert Grant(table="t", columns={"c": text}, **limits).columns == {"c": (disclosure,)}

"""Who learns what is data: texts are made of it for people, and nothing in the package decides by a text."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

import privsdk.deploy.open  # noqa: F401  registers every operation, and so imports every kind
from privsdk import dp, fl, he, psi  # noqa: F401
from privsdk.governance.learns import (
    CiphertextsOnly,
    Coalition,
    Eavesdropper,
    Knowledge,
    Learns,
    LengthsShow,
    MinimumCounts,
    Parties,
    Quantity,
    ThatItRan,
)

ABC = ("a", "b", "c")


def test_texts() -> None:
    assert str(Learns.of(Parties(("a", "b")))) == "a, b: nothing"
    found = Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.ROWS, Quantity.FEATURES)), MinimumCounts(of=ABC[:2]))
    assert str(found) == (
        "eavesdropper: roughly the number of rows and features, from the length of the encrypted streams; "
        "each one's minimum count"
    )


@pytest.mark.parametrize(
    ("coalition", "text"),
    [
        (Coalition(("a", "k")), "coalition of a and k"),
        (Coalition(("k",)), "k alone"),
        (Coalition(("k",), 1, ABC), "coalition of k and any one of a, b and c"),
        (Coalition(("k",), 2, ABC), "coalition of k and any 2 of a, b and c"),
        (Coalition(("k",), 3, ABC), "coalition of k, a, b and c"),
        (Coalition((), 1, ABC), "any one of a, b and c alone"),
        (Coalition((), 2, ABC), "coalition of any 2 of a, b and c"),
        (Coalition(("k",), 4, tuple("abcdefghij")), "coalition of k and any 4 of 10 others"),
    ],
)
def test_texts_of_coalitions(coalition: Coalition, text: str) -> None:
    assert str(coalition) == text


def test_nothing_is_what_tells_nothing() -> None:
    assert not Learns.of(Parties(ABC)).tells
    assert not Learns.of(Parties(ABC), CiphertextsOnly()).tells
    assert not Learns.of(Eavesdropper(), ThatItRan()).tells
    assert Learns.of(Parties(ABC), CiphertextsOnly(), MinimumCounts(of=("a",))).tells


def kinds(of: type[Knowledge] = Knowledge) -> list[type[Knowledge]]:
    return [each for kind in of.__subclasses__() for each in (kind, *kinds(kind))]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_has_one_text_of_all_its_fields(kind: type[Knowledge]) -> None:
    own = "__str__" in vars(kind)
    assert own != hasattr(kind, "template")
    if not own:
        fields = {field.name for field in msgspec.structs.fields(kind)}
        assert {name for name in fields if f"{{{name}" in kind.template} == fields


def english(tree: ast.AST) -> list[int]:
    """The lines that look into a text of who or what."""

    def told(node: ast.AST) -> bool:
        while isinstance(node, ast.Call) and ast.unparse(node.func) == "str":
            node = node.args[0]
        return isinstance(node, ast.Attribute) and node.attr in ("who", "what", "text")

    def sentence(node: ast.AST) -> bool:
        return isinstance(node, ast.Constant) and isinstance(node.value, str)

    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and told(node.func.value):
            found.append(node.lineno)
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if any(map(told, sides)) and any(map(sentence, sides)):
            found.append(node.lineno)
    return found


@pytest.mark.claim("nothing in the package decides by the English of who learns what")
def test_no_logic_reads_english(repository: Path) -> None:
    looked = 0
    for file in sorted((repository / "privsdk").rglob("*.py")):
        source = file.read_text()
        if "learns" in source or "learned" in source:
            looked += 1
            assert english(ast.parse(source)) == [], file
    assert looked > 15
    for wrong in ('item.who.endswith(" together")', 'str(item.who) == "onlooker"', '"nothing" in item.text'):
        assert english(ast.parse(wrong)) == [1]

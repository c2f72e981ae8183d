"""The tutorials are of one standard, and what the contents page, the trainer's guide and they say agrees."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from tutorials import NAMES, NOTEBOOKS, ROOT, UNANSWERED, exercise_of, read, solutions

from privsdk.workshop.answers import ANSWERS

GUIDE = (ROOT / "docs" / "workshop" / "trainers-guide.md").read_text(encoding="utf-8")
CONTENTS = NOTEBOOKS / "index.ipynb"


def opening(name: str) -> str:
    return read(name).cells[0].source


def minutes(name: str) -> int:
    """All that a tutorial says it takes, the exercises included."""
    (said,) = re.findall(r"\*\*Time:\*\* ([^*]+?)\. \*\*You need", opening(name))
    return sum(map(int, re.findall(r"\d+", said)))


def sections(name: str) -> list[tuple[str, list[nbformat.NotebookNode]]]:
    """Headings of the second level, each with the cells up to the next; a cell may hold the end of one and the next."""
    found: list[tuple[str, list[nbformat.NotebookNode]]] = [("", [])]
    for cell in read(name).cells:
        if cell.cell_type == "code":
            found[-1][1].append(cell)
            continue
        for at, part in enumerate(re.split(r"^## ", cell.source, flags=re.MULTILINE)):
            if at:
                found.append((part.splitlines()[0], []))
            found[-1][1].append(nbformat.v4.new_markdown_cell(part))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_opening(name: str) -> None:
    first = opening(name)
    assert first.startswith("# ")
    goals = first.partition("**You will learn to**")[2].partition("**Time:**")[0]
    assert 3 <= len(re.findall(r"^- ", goals, flags=re.MULTILINE)) <= 5
    assert re.search(r"\*\*Time:\*\* \d+ minutes.*\*\*You need.*\*\*Data:\*\* (real|invented)", first, flags=re.DOTALL)
    assert "without a network" in first
    assert minutes(name) <= 40
    assert minutes(name) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_ends_with_limits_exercises_and_where_next(name: str) -> None:
    headings = [heading for heading, _ in sections(name)]
    assert headings[-3:] == ["When not to use this", "Exercises", "Where next"]
    steps = [heading for heading in headings if re.match(r"\d+\. ", heading)]
    assert [int(heading.split(".")[0]) for heading in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= 6
    limits = "".join(cell.source for cell in sections(name)[-3][1])
    assert len(re.findall(r"^- \*\*|^\| ", limits, flags=re.MULTILINE)) >= 4
    links = "".join(cell.source for cell in sections(name)[-1][1])
    assert "(index.ipynb)" in links


@pytest.mark.parametrize("name", NAMES)
def test_who_learned_what_is_said_wherever_something_is_released(name: str) -> None:
    for heading, cells in sections(name):
        released = any(".release()" in c.source or ".result()" in c.source for c in cells if c.cell_type == "code")
        if released and heading != "Exercises":
            said = [cell for cell in cells if cell.cell_type == "markdown" and "**Who learned what:**" in cell.source]
            assert said, f"{name}: {heading}"


@pytest.mark.parametrize("name", NAMES)
def test_exercises_are_unanswered_and_have_a_check_and_a_solution(name: str) -> None:
    cells = read(name).cells
    numbers = [number for cell in cells if (number := exercise_of(cell))]
    assert numbers == [f"{name[:2]}.{at}" for at in range(1, len(numbers) + 1)]
    assert 2 <= len(numbers) <= 4
    for at, cell in enumerate(cells):
        if number := exercise_of(cell):
            assert cell.source == f'{UNANSWERED}exercises.check("{number}", answer)'
            assert f"### Exercise {number}\n" in cells[at - 1].source
            assert number in solutions()
    assert {number for number in ANSWERS if number[:2] == name[:2]} == set(numbers)
    assert {number for number in solutions() if number[:2] == name[:2]} == set(numbers)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_notebook_says_what_is_right(name: str) -> None:
    code = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "code")
    assert not re.search(r"\bdef check\b|\banswers import|import answers|\.answers\b|ANSWERS", code)
    for number, solution in solutions().items():
        if number[:2] == name[:2] and len(solution.strip()) > len("answer = 100"):
            assert solution.strip() not in code


def test_contents_and_guide_name_each_tutorial_with_its_title_and_its_minutes() -> None:
    contents = nbformat.read(CONTENTS, as_version=4).cells
    page = "".join(cell.source for cell in contents if cell.cell_type == "markdown")
    for name in NAMES:
        title = opening(name).splitlines()[0].removeprefix("# ")
        assert re.search(rf"\| \[{re.escape(title)}\]\({name}\.ipynb\) \|.*\| {minutes(name)} \|", page), name
        assert re.search(rf"^\| {name[:2]} \|.*\| {minutes(name)} min \|", GUIDE, flags=re.MULTILINE), name


@pytest.mark.parametrize("file", ["trainers-guide.md", "solutions.md"])
def test_links_of_the_trainers_pages_lead_somewhere(file: str) -> None:
    links = re.findall(r"\]\(([^)\s#]+)\)", (ROOT / "docs" / "workshop" / file).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / "docs" / "workshop" / link).exists()] == []


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_links_of_notebooks_lead_somewhere(file: Path) -> None:
    cells = nbformat.read(file, as_version=4).cells
    text = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)\s#]+)\)", text) if ":" not in link]
    assert [link for link in links if not (NOTEBOOKS / link).exists()] == []


def test_day_plan_adds_up() -> None:
    """Each line of the guide's day begins when the one before ends."""
    rows = re.findall(r"^\| (\d\d):(\d\d) \| (\d+) min \|", GUIDE, flags=re.MULTILINE)
    assert len(rows) > 8
    for (hour, minute, lasts), (then, after, _) in pairwise(rows):
        assert int(hour) * 60 + int(minute) + int(lasts) == int(then) * 60 + int(after)

"""Every tutorial in a kernel, with its exercises solved and a canary in its data: right answers, and no row shown."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pyarrow as pa
import pytest
from claims import Cases
from leaks import CANARY, leaks, rare, rows_of
from tutorials import NAMES, execute, exercise_of, read, said, solved

MARKED = "tailnum", "manufacturer", "model", "name", "document", "phone", "state"  # in no group key of a tutorial

# Runs before the notebook: every table that it is going to read has the canary in each row.
PLANT = f"""
import pyarrow as pa
import pyarrow.compute as pc
from privsdk import workshop
from privsdk.workshop import answers


def marked(table):
    for at, field in enumerate(table.schema):
        if field.name in {MARKED!r}:
            column = pc.binary_join_element_wise(table[field.name], "{CANARY}", " ")
            table = table.set_column(at, field.name, column)
        elif field.name in ("fare", "price"):
            table = table.set_column(at, field.name, pa.array([7391.25] * table.num_rows))
    return table


def planting(load):
    def planted():
        return {{party: {{name: marked(t) for name, t in held.items()}} for party, held in load().items()}}

    return planted


for load in ("nyc_flights", "tourism", "lending_club"):
    setattr(workshop, load, planting(getattr(workshop, load)))
answers.tourism = workshop.tourism
"""


@pytest.mark.lengthy
@pytest.mark.claim("canary: no row value in any output of the executed tutorials, in whichever form")
@pytest.mark.parametrize("name", NAMES)
def test_solved_and_silent(name: str, tmp_path: Path, cases: Cases) -> None:
    notebook = solved(name)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(PLANT))
    executed = execute(notebook, tmp_path)
    verdicts = {
        exercise: output["data"]["text/plain"]
        for cell in executed.cells
        if (exercise := exercise_of(cell))
        for output in cell.outputs
        if "data" in output
    }
    assert verdicts == {exercise: f"exercise {exercise}: ✓ right" for exercise in verdicts}
    assert len(verdicts) == sum(bool(exercise_of(cell)) for cell in read(name).cells)

    values = set().union(*map(rare, rows_of(name)))
    assert len(values) > 20 or name.startswith(("01", "03"))
    executed.cells.pop(0)  # which says what is planted
    assert CANARY not in nbformat.writes(executed).lower(), "also not in what widgets leave of their state"
    for cell in executed.cells:
        for text in said(cell):
            assert not leaks(text, values), f"{name} shows {leaks(text, values)} after {cell.source[:60]!r}"
            cases()


def test_pictures_of_digits_are_of_those_that_no_party_holds(tmp_path: Path) -> None:
    """No raster but the ten of the test table: heat maps and curves are drawn as lines and areas."""
    notebook = read("03_fedavg_non_iid")
    (shown,) = [at for at, cell in enumerate(notebook.cells) if "imshow(" in cell.source]
    assert 'test.filter(pc.equal(test["digit"], digit))' in notebook.cells[shown].source
    assert "parties[" not in notebook.cells[shown].source
    sources = [cell for cell in notebook.cells[: shown + 1] if cell.cell_type == "code" and "fl." not in cell.source]
    executed = execute(nbformat.v4.new_notebook(cells=sources), tmp_path)
    text = "".join(text for cell in executed.cells for text in said(cell))
    assert text.count("<image ") == 10
    outputs = [output for cell in executed.cells for output in cell.outputs]
    assert not any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize(
    "text", ["Zoë kanarie", "<td>N123 Kanarie</td>", "7391.25", "income 66,904", "wind 12.65858", '{"x": 12.65858}']
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert leaks(text, {"66904", "12.65858"})


def test_the_search_leaves_the_rest_alone() -> None:
    assert not leaks("66,905 rows, mean 12.7, #66904, 166904, 0.66904", {"66904", "12.65858"})
    assert rare(pa.table({"x": [1.0, 12.65858, 70_000.0, 66_904.0, 66_904.5, 20_001.0, 20_001.0]})) == {
        "12.65858", "66904", "66904.5"
    }  # fmt: skip

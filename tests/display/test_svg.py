"""Pictures of cards: everything lies inside its box, axes rise, and nothing is said by colour alone."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from privsdk.display.curves import BOTTOM, LEFT, RIGHT, TOP, Axis, axis_over, course, curves
from privsdk.display.svg import FlowEnd, Gauge, Picture, flow

REALS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))
POSITIVE = st.floats(1e-6, 1e6, allow_nan=False)
SOME = st.none() | REALS | st.just(math.nan) | st.just(math.inf)
Node = ElementTree.Element


def drawing(svg: str) -> Node:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


def places(root: Node) -> list[list[tuple[float, float]]]:
    """The points of each line."""
    return [
        [(float(x), float(y)) for x, _, y in (pair.partition(",") for pair in line.attrib["points"].split())]
        for line in root.iter("polyline")
    ]


def drawn(picture: Picture | None) -> Node:
    assert picture is not None
    return drawing(picture.svg)


@given(st.lists(st.lists(SOME, min_size=2, max_size=30), min_size=1, max_size=6))
def test_points_are_inside_the_box_and_in_order(values: list[list[float | None]]) -> None:
    lines = {f"line {n}": list(enumerate(line)) for n, line in enumerate(values)}
    picture = course("figures", lines, step="step", y="figure")
    known = {x for line in lines.values() for x, y in line if y is not None and math.isfinite(y)}
    if picture is None:
        assert len(known) < 2
        return
    for line in places(drawn(picture)):
        assert all(LEFT - 0.06 <= x <= RIGHT + 0.06 and TOP - 0.06 <= y <= BOTTOM + 0.06 for x, y in line)
        assert all(one < two for (one, _), (two, _) in pairwise(line))
    for dot in drawn(picture).iter("circle"):
        assert LEFT - 0.06 <= float(dot.attrib["cx"]) <= RIGHT + 0.06
        assert TOP - 0.06 <= float(dot.attrib["cy"]) <= BOTTOM + 0.06


@given(REALS, REALS)
def test_an_axis_rises_and_its_ticks_lie_on_it(one: float, two: float) -> None:
    assume(one == two or abs(one - two) > 1e-4)
    axis = axis_over([one, two], LEFT, RIGHT)
    ticks = axis.ticks()
    assert len(ticks) >= 2
    found = [axis.at(tick) for tick in ticks]
    assert all(a < b for a, b in pairwise(ticks))
    assert all(a < b for a, b in pairwise(found))
    assert LEFT - 0.01 <= found[0] <= found[-1] <= RIGHT + 0.01
    assert LEFT - 0.01 <= axis.at(min(one, two)) <= axis.at(max(one, two)) <= RIGHT + 0.01


@given(POSITIVE, st.floats(1.5, 1e6))
def test_a_logarithmic_axis_rises_by_factors(low: float, factor: float) -> None:
    axis = axis_over([low, low * factor], LEFT, RIGHT, log=True)
    ticks = axis.ticks()
    assert all(a < b and LEFT - 0.5 <= axis.at(a) < axis.at(b) <= RIGHT + 0.5 for a, b in pairwise(ticks))
    assert axis.at(low * math.sqrt(factor)) == pytest.approx((LEFT + RIGHT) / 2)


@given(st.integers(1, 50), st.integers(1, 5000))
def test_between_rounds_there_is_nothing(first: int, more: int) -> None:
    ticks = axis_over([first, first + more], LEFT, RIGHT, whole=True).ticks()
    assert all(tick == int(tick) for tick in ticks)
    assert len(ticks) >= 2
    picture = course("loss", {"loss": [(1, 0.7), (4, 0.6), (10, 0.5)]}, step="round", y="loss")
    named = [text.text or "" for text in drawn(picture).iter("text") if text.get("text-anchor") == "middle"]
    assert [each for each in named if "." in each] == []


def test_an_upright_axis_points_up() -> None:
    up = Axis(0, 10, BOTTOM, TOP)
    assert up.at(0) == BOTTOM
    assert up.at(10) == TOP
    (line,) = places(drawn(course("loss", {"loss": [(1, 0.9), (2, 0.1)]}, step="round", y="loss")))
    assert line[0][1] < line[1][1]  # what falls is drawn falling: y grows downwards


def test_a_gap_is_left_where_nothing_is_known() -> None:
    points = [(1, 3.0), (2, 2.0), (3, None), (4, math.nan), (5, 1.5), (6, 1.0), (7, None), (8, 0.5)]
    root = drawn(course("loss", {"loss": points}, step="round", y="loss"))
    assert [len(line) for line in places(root)] == [2, 2]
    assert len(list(root.iter("circle"))) == 1  # the last stands alone


@pytest.mark.parametrize("points", [[], [(1, 2.0)], [(1, None), (2, None)], [(1, 2.0), (2, math.inf)]])
def test_nothing_is_drawn_of_less_than_two_points(points: list[tuple[float, float | None]]) -> None:
    assert course("loss", {"loss": points}, step="round", y="loss") is None


def test_a_course_is_told_in_words() -> None:
    points = [(1, 0.7), (2, 0.2), (3, 0.9), (4, 0.4)]
    picture = course("loss", {"loss": points}, step="round", y="loss")
    assert picture is not None
    assert picture.description == "loss: 0.7 at round 1, 0.4 at 4; least 0.2 at 2; most 0.9 at 3"
    assert [line.count("*") for line in picture.letters].count(0) == len(picture.letters) - 4
    assert picture.letters[0].startswith("0.9 |")
    assert picture.letters[-2].startswith("0.2 |")
    assert picture.letters[-1].split() == ["1", "4"]


@given(st.lists(st.floats(0.001, 1000), min_size=2, max_size=8), st.integers(1, 12))
def test_names_at_the_ends_of_lines_do_not_meet(ends: list[float], many: int) -> None:
    lines = {f"party {n}": [(1, 1.0), (2, end)] for n, end in enumerate(ends)}
    root = drawn(course("scores", lines, step="round", y="score"))
    named = sorted(float(t.attrib["y"]) for t in root.iter("text") if (t.text or "").startswith("party "))
    assert len(named) == len(lines)
    assert all(b - a >= 11.8 for a, b in pairwise(named))
    assert named[-1] <= BOTTOM + 5
    width = float(root.attrib["viewBox"].split()[2])
    assert width >= RIGHT + 6 + 6 * len("party 0")


def test_lines_are_told_apart_without_colour() -> None:
    lines = {name: [(1, n + 1.0), (2, n + 2.0)] for n, name in enumerate("abcde")}
    root = drawn(course("scores", lines, step="round", y="score"))
    assert len({line.get("stroke-dasharray") for line in root.iter("polyline")}) == len(lines)
    assert {line.attrib["stroke"] for line in root.iter("polyline")} == {"currentColor"}


def test_where_a_question_stands_and_what_is_beyond_reach() -> None:
    halves = [(0.1, 60.0), (0.5, 12.0), (1.0, 6.0)]
    picture = curves(
        "error",
        {"half": halves},
        description="",
        x="epsilon",
        y="half",
        log=True,
        here=0.5,
        end=(0.7, "more than is left"),
    )
    root = drawn(picture)
    (line,) = places(root)
    (here,) = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter("circle")]
    assert here == line[1]
    (beyond,) = root.iter("rect")
    assert line[1][0] < float(beyond.attrib["x"]) < line[2][0]
    assert float(beyond.attrib["x"]) + float(beyond.attrib["width"]) == pytest.approx(line[2][0], abs=0.2)
    without = curves(
        "error", {"half": halves}, description="", x="epsilon", y="half", log=True, here=0.5, end=(3.0, "x")
    )
    assert list(drawn(without).iter("rect")) == []  # all of it is within reach


@given(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_a_gauge_holds_what_is_left_and_what_is_taken(left: float, taken: float) -> None:
    gauge = Gauge("0.3 of 1", left=left, taken=taken)
    assert gauge == "0.3 of 1"
    letters = gauge.letters.strip("[]")
    assert len(letters) == 10
    assert list(letters) == sorted(letters, key="#=.".index)
    assert (letters.count("#") > 0) == (gauge.left > 0)
    assert (letters.count("#") == 10) == (gauge.left == 1)
    assert (letters.count("=") > 0) == (gauge.taken > 0)
    bars = list(drawing(gauge.svg).iter("rect"))[1:]
    assert sum(float(bar.attrib["width"]) for bar in bars) == pytest.approx(80 * (gauge.left + gauge.taken), abs=0.11)
    assert drawing(gauge.svg).get("aria-hidden") == "true"  # its text stands beside it


def test_arrows_go_to_those_who_learn_something() -> None:
    givers = [
        FlowEnd(who="north", what="people: age", solid=True),
        FlowEnd(who="keeper", what="brings no data", solid=False),
    ]
    learners = [FlowEnd(who="analyst", what="a" * 200, solid=True), FlowEnd(who="north", what="nothing", solid=False)]
    root = drawing(flow("who", givers, "he.mean", learners, description="").svg)
    paths = list(root.iter("path"))
    heads = [path for path in paths if "z" in path.attrib["d"]]
    dotted = [path for path in paths if "stroke-dasharray" in path.attrib]
    assert (len(paths), len(heads), len(dotted)) == (6, 2, 2)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for box in root.iter("rect"):
        x, y, w, h = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 <= y
        assert x + w <= width
        assert y + h <= height
    assert all(len(text.text or "") < 50 for text in root.iter("text"))
    words = [text.text for text in root.iter("text")]
    assert {"north", "keeper", "analyst", "he.mean", "people: age", "nothing"} <= set(words)


def test_a_picture_is_named_and_described() -> None:
    hostile = "</desc><script>alert(1)</script>&\"'"
    ends = [FlowEnd(who=hostile, what=hostile, solid=True)]
    for picture in (
        flow(hostile, ends, hostile, ends, description=hostile),
        curves(hostile, {hostile: [(1, 1), (2, 2)], "b": [(1, 2)]}, description=hostile, x=hostile, y=hostile),
    ):
        root = drawn(picture)
        assert root.attrib["role"] == "img"
        assert [child.tag for child in root][:2] == ["title", "desc"]
        assert root[0].text == root[1].text == hostile
        assert {node.tag for node in root.iter()} <= {
            "svg", "title", "desc", "rect", "line", "polyline", "text", "path", "circle",
        }  # fmt: skip

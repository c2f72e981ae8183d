"""Expressions over ciphertexts: their steps with the figures of each, brought to one level, compiled and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...crypto.seal.circuit import Circuit, Step, Values
from ...crypto.seal.keys import PublicContext
from ...crypto.seal.noise import Track, Tracker
from ...crypto.seal.parallel import compute
from ...crypto.seal.serial import Buffer


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A step of an expression: what it does, of what, and the figures of its result."""

    op: str
    track: Track
    args: tuple[Node, ...] = ()
    operand: float | int | Values | None = None
    rows: Sequence[Buffer] = field(default=(), repr=False)


def aligned(one: Node, two: Node, tracker: Tracker) -> tuple[Node, Node]:
    """Both at one level and scale, so that they can be added."""
    if tracker.exact:
        return one, two
    behind = tracker.products_of(one.track) - tracker.products_of(two.track)
    if behind > 0:
        two = raised(two, one.track, tracker)
    elif behind < 0:
        one = raised(one, two.track, tracker)
    elif one.track.pending != two.track.pending:
        one, two = settled(one, tracker), settled(two, tracker)
    return one, two


def raised(node: Node, goal: Track, tracker: Tracker) -> Node:
    """A ciphertext brought down to a goal's level and scale, by products with one."""
    while (node.track.level, node.track.pending) != (goal.level, goal.pending):
        node = settled(node, tracker) if node.track.pending else times_plain(node, 1.0, 1.0, tracker)
    return node


def times_plain(node: Node, value: float | int | Values, bound: float, tracker: Tracker) -> Node:
    """A product with plain numbers within the bound: one for all rows, or one for each."""
    track = tracker.times_plain(node.track, bound, constant=not isinstance(value, np.ndarray))
    return Node("times_plain", track, (node,), value)


def settled(node: Node, tracker: Tracker) -> Node:
    track = tracker.settled(node.track) if not tracker.exact else node.track
    return node if track is node.track else Node("settle", track, (node,))


def run(nodes: Sequence[Node], public: PublicContext | None, chunks: int, *, fold: bool = False) -> list[list[bytes]]:
    """Compile expressions into one circuit and run it."""
    if public is None:  # he.choose looks at figures only
        return [[] for _ in nodes]
    tracker = Tracker(public.preset)
    steps: list[Step] = []
    inputs: list[Sequence[Buffer]] = []
    operands: list[float | Values] = []
    numbers: dict[int, int] = {}

    def add(node: Node) -> None:
        track = node.args[0].track if node.args else node.track
        args = tuple(numbers[id(arg)] for arg in node.args)
        scale, operand = 1.0, -1
        if not tracker.exact:
            scale = public.preset.scale(track.level) if node.op == "times_plain" else tracker.scale_of(track)
        if node.op == "load":
            args = (len(inputs),)
            inputs.append(node.rows)
        if node.operand is not None:
            operand = len(operands)
            operands.append(node.operand)
        numbers[id(node)] = len(steps)
        steps.append(Step(node.op, args, track.level, scale, operand))

    waiting = list(nodes)
    while waiting:  # not by recursion: a sum of thousands of columns is a deep expression
        missing = [arg for arg in waiting[-1].args if id(arg) not in numbers]
        if missing:
            waiting += missing
        elif id(node := waiting.pop()) not in numbers:
            add(node)
    outputs = tuple(numbers[id(node)] for node in nodes)
    levels = tuple(node.track.level for node in nodes)
    return compute(public, Circuit(tuple(steps), outputs, levels, fold), inputs, operands, chunks)

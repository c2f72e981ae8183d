"""Expressions over ciphertexts: their steps with the figures of each, brought to one level, compiled and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...crypto.seal.circuit import Circuit, CircuitStep, Values
from ...crypto.seal.keys import PublicContext
from ...crypto.seal.noise import NoiseEstimate, NoiseEstimator
from ...crypto.seal.parallel import compute
from ...crypto.seal.serial import Buffer


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A step of an expression: what it does, of what, and the figures of its result."""

    op: str
    estimate: NoiseEstimate
    args: tuple[Node, ...] = ()
    operand: float | int | Values | None = None
    rows: Sequence[Buffer] = field(default=(), repr=False)


def at_one_level(one: Node, two: Node, estimator: NoiseEstimator) -> tuple[Node, Node]:
    """Both at one level and scale, so that they can be added."""
    if estimator.exact:
        return one, two
    behind = estimator.products_of(one.estimate) - estimator.products_of(two.estimate)
    if behind > 0:
        two = at_level(two, one.estimate, estimator)
    elif behind < 0:
        one = at_level(one, two.estimate, estimator)
    elif one.estimate.pending != two.estimate.pending:
        one, two = rescaled(one, estimator), rescaled(two, estimator)
    return one, two


def at_level(node: Node, goal: NoiseEstimate, estimator: NoiseEstimator) -> Node:
    """A ciphertext brought down to a goal's level and scale, by products with one."""
    while (node.estimate.level, node.estimate.pending) != (goal.level, goal.pending):
        node = rescaled(node, estimator) if node.estimate.pending else times_plain(node, 1.0, 1.0, estimator)
    return node


def times_plain(node: Node, value: float | int | Values, bound: float, estimator: NoiseEstimator) -> Node:
    """A product with plain numbers within the bound: one for all rows, or one for each."""
    estimate = estimator.times_plain(node.estimate, bound, constant=not isinstance(value, np.ndarray))
    return Node("times_plain", estimate, (node,), value)


def rescaled(node: Node, estimator: NoiseEstimator) -> Node:
    estimate = estimator.rescaled(node.estimate) if not estimator.exact else node.estimate
    return node if estimate is node.estimate else Node("rescale", estimate, (node,))


def run(nodes: Sequence[Node], public: PublicContext | None, chunks: int, *, fold: bool = False) -> list[list[bytes]]:
    """Compile expressions into one circuit and run it."""
    if public is None:  # he.choose looks at figures only
        return [[] for _ in nodes]
    estimator = NoiseEstimator(public.preset)
    steps: list[CircuitStep] = []
    inputs: list[Sequence[Buffer]] = []
    operands: list[float | Values] = []
    numbers: dict[int, int] = {}

    def add(node: Node) -> None:
        estimate = node.args[0].estimate if node.args else node.estimate
        args = tuple(numbers[id(arg)] for arg in node.args)
        scale, operand = 1.0, -1
        if not estimator.exact:
            scale = public.preset.scale(estimate.level) if node.op == "times_plain" else estimator.scale_of(estimate)
        if node.op == "load":
            args = (len(inputs),)
            inputs.append(node.rows)
        if node.operand is not None:
            operand = len(operands)
            operands.append(node.operand)
        numbers[id(node)] = len(steps)
        steps.append(CircuitStep(node.op, args, estimate.level, scale, operand))

    waiting = list(nodes)
    while waiting:  # not by recursion: a sum of thousands of columns is a deep expression
        missing = [arg for arg in waiting[-1].args if id(arg) not in numbers]
        if missing:
            waiting += missing
        elif id(node := waiting.pop()) not in numbers:
            add(node)
    outputs = tuple(numbers[id(node)] for node in nodes)
    levels = tuple(node.estimate.level for node in nodes)
    return compute(public, Circuit(tuple(steps), outputs, levels, fold), inputs, operands, chunks)

"""Models by name and parameters. Parties never run code that a notebook sends; they run these.

A model is a value: how its inputs come from columns (`features`), how its label becomes targets of the network and its
outputs become predictions, and the layers between them (`network`). Its weights travel apart from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.calls import Declarative
from ...protocol.columns.keys import Key, check_keys, plain_keys
from ...protocol.columns.kinds import TypeCheck
from ...protocol.columns.values import DecimalText
from .features import Feature, Missing, Standardised, checked_range, features_of
from .network import Network, Output
from .targets import Binary, Classes, Labels, Number, Target

WIDEST = 1 << 16
MOST_LAYERS = 16
MOST_WEIGHTS = 1 << 26  # 256 MB as float32


_CURVATURE = {Output.SIGMOID: 1 / 4, Output.SOFTMAX: 1 / 2, Output.IDENTITY: 1.0}


class Declared(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all models have in common."""

    features: Mapping[str, Feature | Sequence[Any]]
    missing: Missing = "drop"

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "features", features_of(self.features))
        if self.missing not in ("drop", "fill"):
            raise InvalidArgument(f"missing is {self.missing!r}", hint='give "drop" or "fill"')
        self._check()
        if self.network.size > MOST_WEIGHTS:
            raise InvalidArgument(
                f"a model of {self.network.size:,} weights", hint=f"use fewer features or units: up to {MOST_WEIGHTS:,}"
            )

    def _check(self) -> None:
        """Raise InvalidArgument where a model's own parameters do not fit."""

    @property
    def declared(self) -> dict[str, Feature]:
        """The features, each by its class."""
        return cast(dict[str, Feature], self.features)

    @property
    def target(self) -> Target:
        """What it predicts."""
        return Binary()

    @property
    def widths(self) -> tuple[int, ...]:
        """Of its hidden layers."""
        return ()

    @property
    def network(self) -> Network:
        """Its layers, from all inputs to all outputs."""
        width = sum(feature.width for feature in self.declared.values())
        return Network((width, *self.widths, self.target.outputs), self.target.output)

    @property
    def learning_rate(self) -> float:
        """A step size, at most 1, with which a model of one layer is sure to lower its loss by gradients of all rows:
        below 2 / L, where L bounds the loss's curvature (Nesterov, Introductory Lectures on Convex Optimization, 2004,
        section 2.1.5), here the mean square of the inputs, 1 for the intercept included, times the output's own."""
        if self.widths:
            return 1.0
        squares = 1 + sum(feature.square for feature in self.declared.values())
        return min(1.0, 1.8 / (_CURVATURE[self.network.output] * squares))

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the inputs are called, in their order."""
        return tuple(name for column, feature in self.declared.items() for name in feature.names(column))

    @property
    def standardised(self) -> dict[str, Standardised]:
        """Those features whose mean and standard deviation everyone learns."""
        return {name: each for name, each in self.declared.items() if isinstance(each, Standardised)}

    def kinds(self, label: str) -> dict[str, TypeCheck]:
        """What each column must hold."""
        return {name: feature.kind for name, feature in self.declared.items()} | {label: self.target.kind}

    def targets(self, column: pa.ChunkedArray, *, party: str, name: str, strict: bool = True) -> Labels:
        """The targets of a label column. Raises DataError, which names party and column and no value."""
        return self.target.encode(column, party=party, name=name, strict=strict)


class Logistic(Declared, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="Logistic"):
    """Logistic regression: P(label) = sigmoid(w . x + b). The label is boolean, or 0 and 1, or has a `positive` value.

    Parameters
    ----------
    features : mapping of column to feature
        (low, high): a numeric or boolean column, clipped to this publicly known range and scaled from it to [-1, 1].
        `fl.Standardised(low, high)`: less its mean over all parties, over its standard deviation; everyone learns both.
        A list: the public categories of a text or integer column, an input of 0 or 1 for each; others have 0 in all.
        `fl.Vector(length, low, high)`: a column of lists.
        Ranges and categories that were measured on the data would themselves be a disclosure.
    missing : str
        "drop": rows in which a feature is null or NaN take no part. "fill": a missing value counts as the middle of its
        range, the mean of a standardised feature, none of the categories, and of a vector its lowest number.
    positive : str or other key, optional
        The value of the label whose probability is predicted, such as "yes": any other one counts as not so.
    """

    positive: Key | None = None

    def _check(self) -> None:
        msgspec.structs.force_setattr(self, "positive", _checked_positive(self.positive))

    @property
    def target(self) -> Target:
        return Binary(self.positive)


class Linear(Declared, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="Linear"):
    """Linear regression by least squares: label = w . x + b.

    Parameters
    ----------
    features, missing
        As in `fl.Logistic`.
    label_range : (low, high)
        Of the label, publicly known. Labels are clipped to it and scaled from it to [-1, 1] in training; predictions
        and errors are in the label's own unit.
    """

    label_range: tuple[float, float]

    def _check(self) -> None:
        msgspec.structs.force_setattr(self, "label_range", _checked_label_range(self.label_range))

    @property
    def target(self) -> Target:
        return Number(*self.label_range)


class Softmax(Declared, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="Softmax"):
    """Multinomial logistic regression: P(class k) is proportional to exp(w_k . x + b_k).

    Parameters
    ----------
    features, missing
        As in `fl.Logistic`.
    classes : list of str or int
        All that the label may be, publicly known. Another label is an error.
    """

    classes: Sequence[Key]

    def _check(self) -> None:
        msgspec.structs.force_setattr(self, "classes", _checked_classes(self.classes))

    @property
    def target(self) -> Target:
        return Classes(tuple(self.classes))


class MLP(Declared, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="MLP"):
    """A multi-layer perceptron: dense layers with ReLU between them.

    What it predicts follows from what is given: one of `classes`, a number in `label_range`, or with neither the
    probability of a label that is boolean, or 0 and 1, or that it is the `positive` value.

    Parameters
    ----------
    features, missing
        As in `fl.Logistic`.
    hidden : list of int
        Units of each hidden layer.
    classes : list of str or int, optional
        As in `fl.Softmax`.
    label_range : (low, high), optional
        As in `fl.Linear`.
    positive : str or other key, optional
        As in `fl.Logistic`.
    """

    hidden: Sequence[int]
    classes: Sequence[Key] | None = None
    label_range: tuple[float, float] | None = None
    positive: Key | None = None

    def _check(self) -> None:
        hidden = tuple(self.hidden)
        whole = all(isinstance(width, int) and 0 < width <= WIDEST for width in hidden)
        if not (whole and 0 < len(hidden) <= MOST_LAYERS):
            raise InvalidArgument(
                f"hidden layers of {', '.join(map(str, hidden)) or 'no'} units",
                hint=f"give 1 to {MOST_LAYERS} layers of up to {WIDEST} units, such as hidden=[256, 128]",
            )
        msgspec.structs.force_setattr(self, "hidden", hidden)
        given = [name for name in ("classes", "label_range", "positive") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidArgument(
                f"{' and '.join(given)} are both given", hint="a model predicts one of these: leave the others out"
            )
        msgspec.structs.force_setattr(self, "positive", _checked_positive(self.positive))
        if self.classes is not None:
            msgspec.structs.force_setattr(self, "classes", _checked_classes(self.classes))
        if self.label_range is not None:
            msgspec.structs.force_setattr(self, "label_range", _checked_label_range(self.label_range))

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.hidden)

    @property
    def target(self) -> Target:
        if self.classes is not None:
            return Classes(tuple(self.classes))
        return Binary(self.positive) if self.label_range is None else Number(*self.label_range)


Model = Logistic | Linear | Softmax | MLP


def check_model(model: object) -> None:
    """Raise InvalidArgument unless it is a model of fl."""
    if not isinstance(model, Model):
        raise InvalidArgument(
            f"fl trains a model such as fl.Logistic, not a {type(model).__name__}",
            hint="parties never run code that a notebook sends; choose a model of fl",
        )


def _checked_classes(classes: Any) -> tuple[Key, ...]:
    plain = plain_keys("label", classes) or ()
    check_keys("label", plain)
    if len(plain) < 2 or isinstance(plain[0], bool | DecimalText):
        raise InvalidArgument(
            f"classes are {', '.join(map(str, plain))}",
            hint='list two or more texts or integers, such as classes=["low", "high"]; for a boolean label there is '
            "fl.Logistic",
        )
    return plain


def _checked_positive(given: Any) -> Key | None:
    """The label's value that is meant, in its one form."""
    if given is None:
        return None
    plain = (given,) if isinstance(given, DecimalText) else plain_keys("label", [given])
    check_keys("label", plain)
    return plain[0] if plain else None


def _checked_label_range(bounds: Any) -> tuple[float, float]:
    if not (isinstance(bounds, list | tuple) and len(bounds) == 2):
        raise InvalidArgument("label_range is not a range", hint="give label_range=(low, high)")
    return checked_range(*bounds)

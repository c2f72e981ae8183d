"""From a model and what is known of a row to what is not: a feature of it, or what the rows of a class look like.

M. Fredrikson, S. Jha, T. Ristenpart, "Model Inversion Attacks that Exploit Confidence Information and Basic
Countermeasures", CCS 2015, sections 4 (a feature from all others and the label) and 5 (the picture of a class).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from privsdk.fl.fitted import Fitted
from privsdk.fl.models.network import Network, Vector

Reals = npt.NDArray[np.float64]


def inferred_feature(
    fitted: Fitted, table: pa.Table, feature: str, values: Sequence[float], prior: Sequence[float], deviation: float
) -> Reals:
    """Of each row the value that explains its label best: the largest prior times likelihood, for a model that predicts
    numbers with errors of this standard deviation."""
    label, at = table[fitted.label].to_numpy(), table.schema.get_field_index(feature)
    likely = []
    for value, share in zip(values, prior, strict=True):
        supposed = table.set_column(at, feature, pa.array(np.full(len(table), value)))
        errors = fitted.predict(supposed).to_numpy() - label
        likely.append(np.log(share) - np.square(errors / deviation) / 2)
    return np.asarray(values)[np.argmax(likely, axis=0)]


def class_picture(network: Network, weights: Vector, label: int, *, steps: int = 100, rate: float = 0.1) -> Reals:
    """What a softmax regression is surest to be of this class: inputs in [0, 1], by gradient ascent from zeros."""
    (layer,) = network.layers(weights)
    x = np.zeros((1, network.widths[0]), np.float32)
    for _ in range(steps):
        p = network.outputs(weights, x)[0]
        x = np.clip(x + rate * (layer.matrix[:, label] - layer.matrix @ p), 0, 1, dtype=np.float32)
    return x[0].astype(np.float64)


def members_at_most(others: float, epsilon: float, delta: float) -> float:
    """How often a feature of members is inferred at most, where that of others is so often, by (epsilon, delta)-privacy
    of being right and of being wrong.

    S. Yeom, I. Giacomelli, M. Fredrikson, S. Jha, "Privacy Risk in Machine Learning", CSF 2018, section 4.
    """
    return min(math.exp(epsilon) * others + delta, 1 - math.exp(-epsilon) * (1 - others - delta))

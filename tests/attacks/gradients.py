"""What an update of one step tells of the rows behind it: their labels, and the rows themselves. No optimisation: of a
dense layer, row i's gradient is the outer product of its inputs x_i (and 1, for the bias) with its errors e_i, so that
the update's matrix and bias are sums over the rows of x_i e_i and of e_i.

All functions take an update as it is sent, the change of a model's weights by one step over all rows, divided by minus
the learning rate: the mean gradient, flat as in `privsdk.fl.models.network`.

B. Zhao, K. R. Mopuri, H. Bilen, "iDLG: Improved Deep Leakage from Gradients", arXiv:2001.02610, 2020, section 3.
L. T. Phong, Y. Aono, T. Hayashi, L. Wang, S. Moriai, "Privacy-Preserving Deep Learning via Additively Homomorphic
Encryption", IEEE TIFS 2018, section III. L. Zhu, Z. Liu, S. Han, "Deep Leakage from Gradients", NeurIPS 2019.
F. Boenisch, A. Dziedzic, R. Schuster, A. S. Shamsabadi, I. Shumailov, N. Papernot, "When the Curious Abandon Honesty",
EuroS&P 2023, section 4 (a hidden unit that one row of a batch activates).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from privsdk.fl.models.network import Network

Reals = npt.NDArray[np.float64]


def label_of_one(network: Network, gradient: Reals) -> int:
    """The label of the only row: the one class whose bias has a negative gradient, p_k - [y = k] (iDLG, equation 4)."""
    bias = network.layers(gradient)[-1].bias
    return int(np.argmin(bias)) if len(bias) > 1 else int(bias[0] < 0)


def label_counts(network: Network, gradient: Reals, probabilities: Reals, rows: int) -> Reals:
    """How many rows have each label: rows * (mean probability of the class - its bias's gradient).

    `probabilities` are the mean predicted ones, of a softmax model: equal where it starts from zeros, as all models of
    one layer do.
    """
    bias = network.layers(gradient)[-1].bias
    return np.clip(rows * (probabilities - bias), 0, rows)


def class_sums(network: Network, gradient: Reals, rows: int) -> Reals:
    """For each class of a softmax regression at zeros the sum of its rows' inputs, if one class has none: that whose
    matrix has the smallest gradients in all. Of a class of one row it is that row."""
    (layer,) = network.layers(gradient)
    bias = layer.bias
    empty = int(np.argmax(bias))  # of no rows: its bias's gradient is its probability, the largest there is
    return rows * (layer.matrix[:, [empty]] - layer.matrix).T


def first_inputs(network: Network, gradient: Reals, least: float = 0.0) -> Reals:
    """Candidates for rows: of each unit of the first layer its matrix's gradient over its bias's, which is a row where
    that one alone activates it, and else a mean of rows. Units with a gradient of at most `least` are left out."""
    layer = network.layers(gradient)[0]
    used = np.abs(layer.bias) > least
    return (layer.matrix[:, used] / layer.bias[used]).T


def labels_of_known(x: Reals, gradient: Reals, rows: int) -> npt.NDArray[np.bool_]:
    """The labels of a logistic regression's rows at zeros whose inputs are known: the errors, 1/2 - y, that make up the
    gradient, by least squares. Exact for up to as many rows as weights, if these are independent.

    L. Wainakh et al., "User-Level Label Leakage from Gradients in Federated Learning", PoPETs 2022, section 4, for less
    knowledge and more layers.
    """
    inputs = np.column_stack([x, np.ones(len(x))])
    errors = np.linalg.lstsq(inputs.T, rows * gradient, rcond=None)[0]
    return np.asarray(errors < 0)


def recovered(candidates: Reals, rows: Reals, tolerance: float) -> int:
    """How many rows some candidate is, up to `tolerance` in root mean square of the inputs."""
    if not len(candidates):
        return 0
    near = [np.sqrt(np.square(candidates - row).mean(axis=1)).min() for row in rows]
    return int((np.array(near) <= tolerance).sum())

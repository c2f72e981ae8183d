"""FedProx: federated averaging whose clients are held near the global model by a proximal term.

Paper: T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith, "Federated Optimization in Heterogeneous
Networks", MLSys 2020, algorithm 2 and equation 2.

    client k, with n_k rows:  w_k = local gradient descent from w_t on F_k(w) + mu / 2 |w - w_t|^2
    coordinator:              w_{t+1} = w_t + sum of n_k (w_k - w_t) / sum of n_k, over the clients of the round

The paper draws clients in proportion to their rows and averages them equally; here the rows are in the average, as in
`FedAvg`. With mu = 0 this is FedAvg. A step of the term alone contracts only if learning_rate * mu is below 2, and with
the curvature of F_k added to mu.
"""

from __future__ import annotations

import math

from ...errors import InvalidArgument
from ...protocol.roles import Role
from ..fedavg import FedAvg, LocalInput, LocalUpdate
from ..models.training import Pull


class FedProx(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedProx"):
    """Federated averaging with a proximal term.

    Parameters
    ----------
    mu : float
        Strength of the pull towards the round's global model; the paper tries 0.001 to 1.
    """

    mu: float

    def __post_init__(self) -> None:
        if not 0 <= self.mu < math.inf:
            raise InvalidArgument(f"mu is {self.mu}", hint="give 0 or more, such as 0.01; 0 is FedAvg")

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        """Train near the global model, and send what it changed."""
        weights = yield from given.train(Pull(strength=self.mu))
        return LocalUpdate(weights - given.start)

"""Federated learning: models trained over several parties' rows, of which only averages of updates are ever seen."""

from .models import Logistic
from .verbs import Fitted, fit

__all__ = ["Fitted", "Logistic", "fit"]

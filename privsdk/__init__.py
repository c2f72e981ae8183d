"""privsdk: joint questions over tables that their owners do not share, from a notebook.

Open a federation with `embedded` or `connect`, call verbs of `psi`, `he`, `fl` and `dp` on its tables, look at the plan
they return, release it.
"""

from . import dp, errors, fl, he, psi
from . import notebook as _notebook
from .charges import Budget, Limit, Unit
from .errors import PrivsdkError
from .federation import Federation
from .opening import connect, embedded
from .owner import Owner
from .privacy import Disclosure, Grant, Policy
from .results import Plan, Result, Run

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Disclosure",
    "Federation",
    "Grant",
    "Limit",
    "Owner",
    "Plan",
    "Policy",
    "PrivsdkError",
    "Result",
    "Run",
    "Unit",
    "connect",
    "dp",
    "embedded",
    "errors",
    "fl",
    "he",
    "psi",
]

_notebook.register()

"""privsdk: joint questions over tables that their owners do not share, from a notebook.

Open a federation with `embedded` or `connect`, call verbs of `psi`, `he`, `fl` and `dp` on its tables, look at the plan
they return, release it.
"""

from collections.abc import Callable as _Callable
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import dp, errors, fl, he, psi
from . import exact as exact  # registers the operation behind the tables' own aggregates
from .client import kernel as _kernel
from .client.federation import Federation
from .client.plan import Plan, Run
from .client.results import Result
from .deploy.open import connect, embedded
from .deploy.owner import Owner
from .display import refusals as _refusals  # noqa: F401 - errors in notebooks
from .display import texts as _texts  # noqa: F401 - the texts of errors
from .errors import PrivsdkError
from .errors.absent import in_module as _in_module
from .governance.charges import Budget, Limit, Unit
from .governance.policy import Disclosure, Grant, Policy
from .party.sources.csv import declared as csv
from .party.sources.duckdb_file import declared as duckdb
from .party.sources.files import declared as files
from .party.sources.postgres import declared as postgres
from .party.sources.view import declared as view

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
    "csv",
    "dp",
    "duckdb",
    "embedded",
    "errors",
    "files",
    "fl",
    "he",
    "postgres",
    "psi",
    "view",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]  # Tab shows these, not the modules that they come from


if not _TYPE_CHECKING:  # so that type checkers still find what is misspelt
    __getattr__ = _in_module(__name__, __all__)


def _panel(send: _Callable[[_Any], None]) -> _Any:
    """The kernel's side of JupyterLab's panel, loaded when a page first asks for it."""
    from .widgets.panel import Panel

    return Panel(send)


_kernel.register(_panel)

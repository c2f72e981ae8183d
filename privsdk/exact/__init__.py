"""Exact aggregates of one owner's rows: counts, sums, means, minima and maxima, by group and by predicate.

A notebook asks for them on tables and on sides of joins (`client.aggregates`); `operation` declares them, `owner`
computes, `labels` brings in the columns of the other side of a join.
"""

from . import operation as operation
from .joint import operation as joint_operation  # noqa: F401 - registers it

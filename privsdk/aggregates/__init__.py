"""Exact aggregates of one owner's rows: counts, sums, means, minima and maxima, by group and by predicate.

`verbs` is what a notebook calls on tables and on sides of joins, `predicates` says which rows, `exact` computes at the
owner, `labels` brings in the columns of the other side of a join.
"""

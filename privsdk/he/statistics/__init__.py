"""Pooled statistics: verbs, what each party adds, small groups left out, and values made of the totals.

How the totals are added under encryption is in `crypto.sums.encrypted`.
"""

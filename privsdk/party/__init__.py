"""A data owner's side: the gate, its policy (`policy`: what is granted, what a caller sees), guard, runs and tables.

Its budgets are in `budget`, its audit in `ledger`. A notebook reaches it only through a link.
"""

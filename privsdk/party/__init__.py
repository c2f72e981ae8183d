"""A data owner's side: the gate, its policy (`policy`: what is granted, what a caller sees), runs and tables.

Its budgets are in `budget`, its audit in `ledger`, its guard in `differencing`. A notebook reaches it only by a link.
"""

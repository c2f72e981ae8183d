"""Two sets in two files, a process for each party, and what it costs to find what they share: `../psi.py` uses it."""

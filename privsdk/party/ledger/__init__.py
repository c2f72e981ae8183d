"""A party's ledger: a hash-chained audit in SQLite that survives crashes and finds rollbacks."""

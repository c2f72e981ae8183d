"""What owners allow, charge and record, as values: disclosures, grants, charges, ledger events, audit chains.

`learns` holds what each participant learns of a run. Deciding is `party`'s.
"""

"""What owners allow, charge and record, as values: policies, budgets, audit chains. Deciding is `party`'s."""

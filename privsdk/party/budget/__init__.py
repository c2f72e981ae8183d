"""An owner's budgets: caps and limits, the accountant that composes losses, and the books that charge them."""

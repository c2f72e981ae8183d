"""An owner's budgets: limits, composition of losses, and the books that hold them."""

"""The notebook's side: handles, plans and previews, runs and their progress, budgets, receipts, pinned heads."""

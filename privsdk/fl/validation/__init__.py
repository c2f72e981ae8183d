"""Cross-validation: how well models predict rows that they were not trained on, for one or several ways to train."""

"""Products between two parties in additive shares: one seam, `base`, with lattices or with a dealer behind it."""

"""Sums that hide their summands: encrypted, masked, all-to-all."""

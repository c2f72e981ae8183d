"""Sums that hide their summands: encrypted, masked, all-to-all; masks, and Shamir's sharing for lost clients."""

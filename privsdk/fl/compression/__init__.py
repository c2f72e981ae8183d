"""Compressed updates: quantised to a few bits, or their largest entries; `base` is what both have in common."""

"""Encrypted columns: `he.encrypt` and `he.choose`, operators, Arrow extension arrays, and `reveal`, the way out."""

"""Encrypted columns: Arrow extension arrays with operators."""

"""Strategies: how updates become the next model."""

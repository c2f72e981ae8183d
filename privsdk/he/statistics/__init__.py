"""Pooled statistics: totals of several parties added under encryption."""

"""Refuses answers that another answer over almost the same rows would turn into one row."""

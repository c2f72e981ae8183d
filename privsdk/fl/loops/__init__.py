"""Loops: when clients train and when the model moves, in rounds or without."""

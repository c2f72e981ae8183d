"""SEAL by its own interface: presets, rings, keys and their file, noise estimates, circuits, flooding.

`circuit` runs any circuit over chunks of ciphertexts; which circuit it is, is up to `he.columns` and `he.scoring`.
"""

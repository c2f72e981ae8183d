"""SEAL by its own interface: rings, keys, noise accounting, circuits, flooding, decryption."""

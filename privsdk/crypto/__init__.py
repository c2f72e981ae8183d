"""Cryptography that several faces share: AES, Gaussians, SEAL, sums that hide their summands, products in shares."""

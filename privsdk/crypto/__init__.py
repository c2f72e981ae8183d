"""Cryptography that several faces share: AES, discrete Gaussians, SEAL, and sums that hide their summands."""

"""What `benchmarks/he.py` compares: other ways to the same sums and scores, each written as its users write it."""

"""One party's rows scored by another's model, under encryption."""

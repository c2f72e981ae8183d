"""Join keys: declarations, encodings, normalisation, and from rows to distinct keys."""

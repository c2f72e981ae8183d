"""One party's rows scored by another's model, under encryption.

`verbs` is `he.score` and its declaration, `protocol` its messages and circuit, `ends` what is done in the clear.
"""

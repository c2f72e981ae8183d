"""Statistics over a join: products of columns that different organisations hold of the same keys.

`verbs` is what a joint table offers, `operation` declares the one question behind all of it, `encoding` turns columns
into small whole numbers, `protocol` multiplies them, `moments` is what the caller puts together, and `matrix`,
`crosstab` and `regression` are made of those.
"""

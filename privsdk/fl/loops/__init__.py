"""Loops: when clients train and when the model moves, in rounds; and how an interrupted training goes on.

The loop without rounds is FedBuff's, in `fl.strategies.fedbuff`.
"""

"""What parties say to each other and how a role is driven: messages, operations, roles, timeouts, fail points.

With what all operations share: columns and `where` (`columns`), groups and their suppression, worker processes.
"""

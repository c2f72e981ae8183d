"""What parties say to each other and how a role is driven: messages, operations, checks on what is let out."""

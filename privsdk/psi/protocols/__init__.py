"""The protocols of intersection, and which of them a question runs."""

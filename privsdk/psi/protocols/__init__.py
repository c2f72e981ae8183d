"""The protocols of intersection, the terms that all begin with, and which of them a question runs (`choose`)."""

"""A pool of worker processes for heavy computation, and how roles keep it busy."""

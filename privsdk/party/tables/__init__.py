"""An owner's tables: where they come from, and the rows that an operation gets."""

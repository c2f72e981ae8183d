"""What questions say of columns: tables in plain types, values, conditions and public keys, and how these compare."""

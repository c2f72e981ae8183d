"""How objects show themselves: cards as text and HTML, small pictures, curves, tables, and the texts of errors."""

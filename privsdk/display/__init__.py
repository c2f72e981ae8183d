"""How objects show themselves: one card for text and HTML, small pictures, Arrow and pandas tables."""

"""How fast the engines are, and whether they agree."""

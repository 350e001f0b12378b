"""How good what was done turned out to be."""

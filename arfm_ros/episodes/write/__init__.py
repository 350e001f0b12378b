"""Episodes written while messages arrive."""

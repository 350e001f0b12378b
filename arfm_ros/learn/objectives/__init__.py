"""How observations count; one algorithm a file."""

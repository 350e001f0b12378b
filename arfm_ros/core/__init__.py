"""Values and decisions of the stack in numpy and the standard library alone."""

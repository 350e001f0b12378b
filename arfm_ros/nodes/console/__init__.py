"""What the console node is made of."""

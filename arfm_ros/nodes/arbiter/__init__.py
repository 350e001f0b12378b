"""What the arbiter's node is made of."""

"""What the recorder's node is made of."""

"""What the simulated robot's node is made of."""

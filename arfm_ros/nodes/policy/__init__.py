"""What the policy's node is made of."""

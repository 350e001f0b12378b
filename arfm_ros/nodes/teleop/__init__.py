"""What the teleoperation node is made of."""

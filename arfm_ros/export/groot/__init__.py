"""GR00T N1.7 as LeRobot has it."""

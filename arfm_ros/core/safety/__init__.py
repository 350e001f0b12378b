"""What may move the arm, and how fast."""

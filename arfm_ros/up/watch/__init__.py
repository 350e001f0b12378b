"""What is seen of a run, and how it is told."""

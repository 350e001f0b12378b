"""What a trial has to keep, from what was recorded of it."""

"""What tells good from poor: rewards, R*, and one signal a file (`source.py` says what one is)."""

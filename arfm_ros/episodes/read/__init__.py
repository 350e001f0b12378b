"""Read what other stacks recorded as well as our own: which topic holds what."""

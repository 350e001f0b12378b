"""What an operator says: words that move or stop, sub-goals one after the other, questions."""

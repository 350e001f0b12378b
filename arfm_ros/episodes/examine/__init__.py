"""What is wrong with episodes for whoever learns from them, each with what to do about it."""

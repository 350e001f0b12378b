"""Turn a checkpoint into a bundle that runs without torch, and prove it the same policy."""

"""One page about an episode."""

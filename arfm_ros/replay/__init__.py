"""Recorded episodes again: chunks recomputed, another policy asked, the robot moved in the sim."""

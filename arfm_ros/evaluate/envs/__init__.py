"""Worlds that a policy acts in: the simulated table, and benchmarks of other projects."""

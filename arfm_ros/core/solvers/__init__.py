"""From noise to actions."""

"""Faults, and the relay that alters what it passes on."""

"""Measure the recorder: what it loses, what it costs, what a kill leaves."""

"""Graphs on a runtime."""

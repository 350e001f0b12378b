"""Policies of other libraries: one file a family, found by `export.family`."""

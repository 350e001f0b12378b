"""Experiments that compare objectives: what is trained and measured, as data; tables, plots."""

"""Steps, checkpoints, processes, reports."""

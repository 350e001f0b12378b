"""Checkpoints of openpi (Physical Intelligence): its PyTorch code's files, read as they are."""

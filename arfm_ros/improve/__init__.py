"""One round of the loop: record, post-train, export, check, evaluate, activate."""

"""LeRobotDataset v3.0, written and read natively; v2.1 is read."""

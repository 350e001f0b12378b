"""Train a flow-matching policy on episodes (torch; never imported on the robot)."""

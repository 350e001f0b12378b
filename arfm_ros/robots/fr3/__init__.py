"""The FR3 with the Franka Hand: what is published about it, and what its controllers do."""

"""Any arm with a description in the simulation: its model, its controllers, its kinematics."""

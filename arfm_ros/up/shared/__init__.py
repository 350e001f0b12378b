"""A shared arm in the simulation, and how soon it answers a person."""

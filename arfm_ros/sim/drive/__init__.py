"""A policy at the controls of a world, without ROS."""

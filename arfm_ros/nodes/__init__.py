"""ROS 2 nodes: convert, make one call into the core, publish."""

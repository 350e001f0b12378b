"""What all nodes share with ROS: topics, parameters, spinning, diagnostics, conversions."""

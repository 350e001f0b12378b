"""Episodes recorded without ROS."""

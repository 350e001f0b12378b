"""The operator console without ROS: who may do what, what is shown, what a page may send."""

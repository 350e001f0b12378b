"""What a person drives with: one device a file, without ROS; `nodes/teleop_node.py` runs them."""

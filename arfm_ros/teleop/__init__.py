"""What a person drives with: one device a file, without ROS; the node is `nodes/teleop_node.py`."""

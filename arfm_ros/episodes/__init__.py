"""Recorded episodes: MCAP folders that rosbag2 opens, written and read without ROS."""

"""Episodes to and from the datasets of other tools: LeRobot, robomimic, rosbag2."""

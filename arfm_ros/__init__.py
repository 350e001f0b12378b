"""Real-time deployment and post-training of flow-matching robot policies on ROS 2."""

__version__ = "0.1.0"

"""Messages as bytes, without ROS: what live nodes and recordings both read and write."""

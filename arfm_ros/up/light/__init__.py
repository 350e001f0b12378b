"""The robot side without a simulator: recorded pictures, and joints that follow at once."""

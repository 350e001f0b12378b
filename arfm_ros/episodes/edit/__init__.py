"""What is done to episodes afterwards."""

"""What real controllers do with what they are sent."""

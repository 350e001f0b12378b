"""What passes between the parts."""

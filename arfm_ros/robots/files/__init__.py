"""A robot as files: its YAML and its URDF, read, written, drafted, examined."""

"""What several verbs share, and their longer halves."""

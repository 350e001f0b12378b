"""How a person, words and the policy share a robot: modes, authority, hand-over."""

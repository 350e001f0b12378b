"""What all kinds of controllers have in common: what is sent, and what is found before."""

"""Break the running stack on purpose, and judge what it sent and what the arm did."""

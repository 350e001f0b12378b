"""What a policy's actions mean on a robot."""

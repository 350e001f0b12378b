"""Fine-tuning of LeRobot's policies with the objectives and signals of this project."""

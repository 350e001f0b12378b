"""What a robot is, and how it is commanded: groups of axes, kinematics, actions, controllers."""

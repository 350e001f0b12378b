"""The embedded robot: physics, cameras and tasks, without ROS."""

from arfm_ros.sim.view.gl import choose_gl

choose_gl()  # every module of this package imports MuJoCo, which reads the choice only once

"""Where the FR3's tool is by its maker's Denavit-Hartenberg parameters, whatever the URDF says.

Source: Franka Control Interface documentation, "Robot and interface specifications" (Craig's
convention), and franka_description for the hand.
"""

from math import cos, pi, sin

import numpy as np

from arfm_ros.robots.poses import quaternions

A_M = (0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088)
D_M = (0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0)
ALPHA_RAD = (0.0, -pi / 2, pi / 2, pi / 2, -pi / 2, pi / 2, pi / 2)
FLANGE_TO_TOOL = (0.0, 0.107 + 0.1034, 0.0, -pi / 4)  # a, d, alpha and turn


def link_transform(a, d, alpha, theta):
    """T(i-1 -> i) = Rot_x(alpha) Trans_x(a) Rot_z(theta) Trans_z(d)."""
    c, s, ca, sa = cos(theta), sin(theta), cos(alpha), sin(alpha)
    return np.array([
        [c, -s, 0.0, a],
        [s * ca, c * ca, -sa, -d * sa],
        [s * sa, c * sa, ca, d * ca],
        [0.0, 0.0, 0.0, 1.0],
    ])


def links(q):
    """The seven links' frames [7, 4, 4] in the base."""
    frames = [np.eye(4)]
    for one in zip(A_M, D_M, ALPHA_RAD, q):
        frames.append(frames[-1] @ link_transform(*one))
    return np.array(frames[1:])


def tool(q):
    """The tool's transform [4, 4] in the base at joint angles [7]."""
    return links(q)[-1] @ link_transform(*FLANGE_TO_TOOL)


def forward(q):
    """The tool's position [3] and quaternion xyzw [4]."""
    pose = tool(q)
    return pose[:3, 3], quaternions(pose[:3, :3])

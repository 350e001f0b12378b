"""Published facts of the Franka Research 3 (FR3) with the Franka Hand.

Sources:
- Franka Control Interface documentation, "Robot and interface specifications": position,
  velocity and torque limits of the FR3. Its links and its other limits: config/robots/fr3.yaml.
- `franka_description` (Apache-2.0), `robots/fr3/{kinematics,joint_limits,inertials}.yaml` and
  `end_effectors/franka_hand`: link inertials, hand and finger inertials, hand TCP.

Units: metres, radians, kilograms, newtons, seconds. All inertias are about the centre of mass, in
the axes of the link frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Final


@dataclass(frozen=True, slots=True)
class Inertial:
    """Mass of one link, its centre of mass and inertia (xx, yy, zz, xy, xz, yz)."""

    mass_kg: float
    com_m: tuple[float, float, float]
    inertia_kg_m2: tuple[float, float, float, float, float, float]


JOINT_NAMES: Final = tuple(f"fr3_joint{i}" for i in range(1, 8))
DOF: Final = 7
BASE_FRAME: Final = "base"
TOOL_FRAME: Final = "fr3_hand_tcp"
GRIPPER_NAME: Final = "gripper"

FLANGE_D_M: Final = 0.107
FLANGE_TO_HAND_YAW_RAD: Final = -pi / 4
HAND_TO_TCP_M: Final = 0.1034

POSITION_MIN_RAD: Final = (-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159)
POSITION_MAX_RAD: Final = (2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159)
VELOCITY_MAX_RAD_S: Final = (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26)
TORQUE_MAX_NM: Final = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)

# Largest |M_ij| of the joint-space inertia over 40,000 postures with the hand, kg m^2 (this model)
INERTIA_MAX_KG_M2: Final = (
    (3.9, 1.43, 1.94, 1.85, 0.24, 0.26, 0.02),
    (1.43, 3.93, 1.45, 1.89, 0.24, 0.26, 0.02),
    (1.94, 1.45, 1.66, 0.13, 0.18, 0.19, 0.01),
    (1.85, 1.89, 0.13, 1.2, 0.12, 0.17, 0.01),
    (0.24, 0.24, 0.18, 0.12, 0.12, 0.01, 0.01),
    (0.26, 0.26, 0.19, 0.17, 0.01, 0.11, 0.01),
    (0.02, 0.02, 0.01, 0.01, 0.01, 0.01, 0.06),
)

HOME: Final = (0.0, -pi / 4, 0.0, -3 * pi / 4, 0.0, pi / 2, pi / 4)

GRIPPER_WIDTH_M: Final = 0.08
GRIPPER_SPEED_MAX_M_S: Final = 0.1  # of the width: each finger moves at half of it

LINK_INERTIALS: Final = (
    Inertial(2.3966, (-0.0172, 0.0004, 0.0745), (0.0090, 0.0115, 0.0085, 0.0, 0.0020, 0.0)),
    Inertial(
        2.9274653454,
        (0.0000004128, -0.0181251324, -0.0386035970),
        (0.0239273165, 0.0224821613, 0.0063500983, 0.0000133179, -0.0001140477, -0.0019950321),
    ),
    Inertial(
        2.9355370338,
        (0.0031828864, -0.0743221644, 0.0088146084),
        (0.0419389463, 0.0251451489, 0.0617021447, 0.0002025733, 0.0040777842, -0.0042252158),
    ),
    Inertial(
        2.2449013699,
        (0.0407015686, -0.0048200565, -0.0289730823),
        (0.0241014255, 0.0197405327, 0.0190444945, 0.0024046946, -0.0028562693, -0.0021042127),
    ),
    Inertial(
        2.6155955791,
        (-0.0459100965, 0.0630492960, -0.0085187868),
        (0.0345299832, 0.0288816219, 0.0412547117, 0.0132255227, 0.0101514300, -0.0009762834),
    ),
    Inertial(
        2.3271207594,
        (-0.0016039605, 0.0292536262, -0.0972965990),
        (0.0516102785, 0.0478772971, 0.0164236256, -0.0057151734, -0.0035673168, 0.0106739851),
    ),
    Inertial(
        1.8170376524,
        (0.0597131221, -0.0410294666, -0.0101692726),
        (0.0054123336, 0.0140583295, 0.0160808179, 0.0061934564, 0.0014219289, -0.0013140754),
    ),
    Inertial(
        0.6271432862,
        (0.0045225817, 0.0086261921, -0.0161633251),
        (0.0002109239, 0.0001771857, 0.0000599319, -0.0000243330, 0.0000456448, 0.0000874407),
    ),
)
HAND_INERTIAL: Final = Inertial(
    0.6544, (-0.0000376, 0.0119128, 0.0207260), (0.00186, 0.00030, 0.00174, 0.0, 0.0, -0.00002)
)
FINGER_INERTIAL: Final = Inertial(
    0.0291, (0.0, 0.0152850, 0.0219675), (8.49e-06, 8.53e-06, 1.77e-06, 0.0, 0.0, -1.06e-06)
)

"""A MuJoCo model of the table with any robot: bodies from its description, primitives only."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.bodies import Hinge, Link, Shape
from arfm_ros.robots.poses import quaternions
from arfm_ros.sim.arms.plan import (
    SERVO,
    ArmPlan,
    HandPlan,
    Plan,
    base_place,
    driven_joints,
    moving_hinges,
    touching_links,
)

F64 = NDArray[np.float64]
SHELL, DARK = (0.93, 0.94, 0.95, 1.0), (0.12, 0.12, 0.13, 1.0)
KINDS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}
BONE_M = 0.03  # radius of what stands for a link without a primitive
TOUCH = {"contype": 1, "conaffinity": 2, "condim": 3, "friction": (0.4, 0.005, 0.0001)}
PAD = {
    **TOUCH,
    "condim": 4,
    "friction": (1.2, 0.02, 0.0001),
    "solref": (0.006, 1.0),
    "solimp": (0.95, 0.99, 0.001, 0.5, 2.0),
}
STRONG = 50.0  # Nm; a joint of at least this effort has the bigger rotor
ROTORS = {"rad": (0.1, 0.05), "m": (5.0, 1.0)}  # of strong and of other joints: kg m^2, kg
DAMPINGS = {"rad": (1.0, 0.5), "m": (20.0, 5.0)}
FINGER_ROTORS = {"rad": 0.001, "m": 0.1}
FINGER_DAMPINGS = {"rad": 0.02, "m": 3.0}
EYE_M, BARE_EYE_M = (0.072, 0.0714), (0.12, 0.03)  # wrist camera: beside and behind the tool
ROD = {"solref": (0.004, 1.0), "solimp": (0.95, 0.99, 0.001, 0.5, 2.0)}  # couples fingers


def build_model(plan: Plan) -> mujoco.MjModel:
    """Compile the scene with the robot in it; raises `ConfigError` where MuJoCo refuses it."""
    text = (files("arfm_ros.sim") / "assets" / "scene.xml").read_text()
    spec = mujoco.MjSpec.from_string(text.replace('<include file="fr3.xml"/>', ""))
    spec.compiler.balanceinertia, spec.compiler.degree = True, False
    try:
        builder = _Builder(plan, spec)
        builder.build()
        model = spec.compile()
    except ValueError as error:
        raise ConfigError(f"MuJoCo cannot use the description: {error}") from error
    for joint, damping in builder.dampings.items():  # its type in a spec changed with MuJoCo 4
        model.dof_damping[model.joint(joint).dofadr[0]] = damping
    return model


def tool_site(group: str) -> str:
    """Return the name of the site at a group's tool frame."""
    return f"{group}/tool"


def joint_name(joint: str) -> str:
    """Return the name of a robot's joint in the model, apart from the objects' names."""
    return f"robot/{joint}"


def body_name(link: str) -> str:
    """Return the name of a robot's link in the model."""
    return f"robot/{link}"


class _Builder:
    """Writes one robot into a scene."""

    def __init__(self, plan: Plan, spec: mujoco.MjSpec) -> None:
        self._plan, self._spec = plan, spec
        self._moving, self._touching = moving_hinges(plan), touching_links(plan)
        self._fingers = {name for h in plan.hands for finger in h.fingers for name in finger}
        self._finger_joints = {
            name for hand in plan.hands for axis in hand.group.axes for name, _, _ in axis.mimics
        }
        self._afloat = self._servo_links()
        self._bodies: dict[str, Any] = {}
        self.dampings: dict[str, float] = {}

    def build(self) -> None:
        self._hang(self._spec.worldbody, self._plan.tree.root, None)
        for arm in self._plan.arms:
            self._tool(arm)
        for arm in self._plan.arms[1:]:
            self._ball(arm)
        self._stand()
        for axis in self._plan.robot.axes:
            leader, *followers = driven_joints(axis)
            self._motor(leader[0])
            for one in followers:
                self._couple(leader, one)

    def _servo_links(self) -> set[str]:
        """List what servo controlled arms carry: their drives hold it up by themselves."""
        found: set[str] = set()
        groups = [g for g in self._plan.robot.groups if g.controller.kind in SERVO]
        names = {name for group in groups for name in group.names}
        for hinge in self._moving.values():
            if hinge.name in names:
                found.update(self._plan.tree.subtree(hinge.child))
        return found

    def _hang(self, parent: Any, name: str, hinge: Hinge | None) -> None:
        link = self._plan.tree.links[name]
        body = parent.add_body(name=body_name(name))
        self._bodies[name] = body
        if hinge is not None:
            body.pos, body.quat = hinge.pose.position, _wxyz(hinge.pose.quaternion)
        body.gravcomp = 1.0 if name in self._afloat else 0.0
        moves = hinge is not None and hinge.name in self._moving
        self._weigh(body, link, moves)
        if hinge is not None and moves:
            self._joint(body, hinge)
        for shape in link.shapes:
            self._geom(body, name, shape)
        if not link.shapes:
            self._bones(body, name)
        for below in self._plan.tree.below(name):
            self._hang(body, below.child, below)

    def _weigh(self, body: Any, link: Link, moves: bool) -> None:
        """Give a body its inertia; one that moves needs some where nothing tells of it."""
        inertia = link.inertia
        if inertia is not None:
            body.mass, body.ipos = inertia.mass, inertia.centre
            (xx, xy, xz), (_, yy, yz), (_, _, zz) = inertia.tensor
            body.fullinertia = (xx, yy, zz, xy, xz, yz)
        elif moves and not link.shapes:
            body.mass, body.ipos, body.inertia = 0.1, (0, 0, 0), (1e-4, 1e-4, 1e-4)
        body.explicitinertial = inertia is not None or (moves and not link.shapes)

    def _joint(self, body: Any, hinge: Hinge) -> None:
        slides = hinge.kind == "prismatic"
        unit = "m" if slides else "rad"
        kinds = mujoco.mjtJoint
        joint = body.add_joint(
            name=joint_name(hinge.name),
            type=kinds.mjJNT_SLIDE if slides else kinds.mjJNT_HINGE,
            axis=hinge.axis,
        )
        if hinge.span is not None:
            joint.limited, joint.range = mujoco.mjtLimited.mjLIMITED_TRUE, hinge.span
        finger = hinge.name in self._finger_joints
        weak = 0 if hinge.effort >= STRONG else 1
        joint.armature = FINGER_ROTORS[unit] if finger else ROTORS[unit][weak]
        damping = FINGER_DAMPINGS[unit] if finger else DAMPINGS[unit][weak]
        self.dampings[joint.name] = damping

    def _geom(self, body: Any, link: str, shape: Shape) -> None:
        size = (*shape.size, *(0.0,) * (3 - len(shape.size)))
        geom = body.add_geom(
            type=KINDS[shape.kind],
            size=size,
            pos=shape.pose.position,
            quat=_wxyz(shape.pose.quaternion),
            group=1,
            rgba=DARK if link in self._fingers else SHELL,
        )
        _set(geom, {"contype": 0, "conaffinity": 0})
        if link in self._touching:
            _set(geom, PAD if link in self._fingers else TOUCH)

    def _bones(self, body: Any, link: str) -> None:
        """Draw what has no primitive, such as an arm of meshes, as capsules between its joints."""
        for below in self._plan.tree.below(link):
            end = below.pose.position
            if float(np.linalg.norm(end)) > BONE_M:
                geom = body.add_geom(
                    type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                    fromto=(0.0, 0.0, 0.0, *end),
                    size=(BONE_M, 0.0, 0.0),
                    group=1,
                    rgba=SHELL,
                )
                _set(geom, {"contype": 0, "conaffinity": 0, "mass": 0.0})

    def _tool(self, arm: ArmPlan) -> None:
        body = self._bodies[arm.group.tool]
        body.add_site(name=tool_site(arm.group.name), size=(0.004, 0, 0), group=4, rgba=(0,) * 4)
        side = _beside(arm.hand, self._plan)
        # as the FR3's: beside the hand, behind the fingertips, turned a little towards them
        away, behind = BARE_EYE_M if arm.hand is None else EYE_M
        at, lean = away * side - (0.0, 0.0, behind), 0.2924
        across = np.array([-side[1], side[0], 0.0])
        up = np.sqrt(1.0 - lean**2) * side + (0.0, 0.0, lean)
        turn = np.stack([across, up, np.cross(across, up)], axis=1)
        body.add_camera(name=arm.camera, pos=at, fovy=72.0, quat=_wxyz(quaternions(turn)))

    def _ball(self, arm: ArmPlan) -> None:
        number = self._plan.arms.index(arm)
        like = self._spec.body("marker")
        ball = self._spec.worldbody.add_body(
            name=arm.marker, pos=(0.6 + 0.4 * number + 0.4, 0.0, -3.0), mocap=True
        )
        for geom in like.geoms:
            size = tuple(float(value) for value in geom.size)
            new = ball.add_geom(type=geom.type, size=size, rgba=geom.rgba)
            if np.isfinite(geom.fromto).all():
                new.fromto = geom.fromto
            _set(new, {"contype": 0, "conaffinity": 0, "mass": 0.001})

    def _stand(self) -> None:
        """Put a pedestal under each arm."""
        like = self._spec.geom("pedestal")
        for number, arm in enumerate(self._plan.arms):
            at = np.array(like.pos) if number == 0 else None
            place = base_place(self._plan, arm.group)
            if at is not None:
                like.pos = (at[0] + place[0], place[1], at[2])
                continue
            geom = self._spec.worldbody.add_geom(
                type=like.type, size=like.size, rgba=like.rgba, pos=like.pos
            )
            geom.pos = (like.pos[0], place[1], like.pos[2])
            _set(geom, {"contype": 0, "conaffinity": 0, "mass": 0.001})

    def _motor(self, joint: str) -> None:
        hinge = self._moving[joint]
        motor = self._spec.add_actuator(name=joint_name(joint), target=joint_name(joint))
        motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
        motor.gaintype, motor.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        motor.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        motor.forcerange = (-hinge.effort, hinge.effort)
        motor.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE

    def _couple(self, leader: tuple[str, float, float], one: tuple[str, float, float]) -> None:
        """Tie a joint to the driven one: q = b + k v where the driven one is b' + k' v."""
        ratio = one[1] / leader[1]
        rod = self._spec.add_equality(name1=joint_name(one[0]), name2=joint_name(leader[0]))
        rod.type, rod.objtype = mujoco.mjtEq.mjEQ_JOINT, mujoco.mjtObj.mjOBJ_JOINT
        rod.data[:2] = (one[2] - ratio * leader[2], ratio)
        _set(rod, ROD)


def _beside(hand: HandPlan | None, plan: Plan) -> F64:
    """Return the direction [3] in the tool frame across that in which fingers close."""
    if hand is None or len(hand.fingers) != 2:
        return np.array([1.0, 0.0, 0.0])
    at = [plan.tree.above[finger[0]].pose.position for finger in hand.fingers]
    apart = at[1] - at[0]
    if float(np.linalg.norm(apart)) < 1e-3:  # both begin in the middle, as the FR3's do
        apart = plan.tree.above[hand.fingers[0][0]].axis
    return np.array([1.0, 0.0, 0.0] if abs(apart[1]) > abs(apart[0]) else [0.0, 1.0, 0.0])


def _set(element: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(element, name, value)


def _wxyz(quaternion: F64) -> F64:
    return np.asarray(quaternion[[3, 0, 1, 2]])

"""A pinocchio model of a group's joints, all others standing at home."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.urdf import read_urdf, without_meshes
from arfm_ros.robots.robot import Robot, RobotAxis

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The model, its geometry, and how the positions q [A] of the axes become its own."""

    pin: Any
    model: Any
    data: Any
    geometry: Any
    links: tuple[str, ...]
    shares: F64  # [V, A]: how much each joint's velocity is of each axis'
    biases: F64  # [J] positions of the joints where the axes are 0
    plain: NDArray[np.intp]  # where they go in the model's configuration
    turning: NDArray[np.intp]  # joints without end: cosine here, sine in the next place
    ends: NDArray[np.bool_]  # [J] joints that are not turning without end

    def configuration(self, q: ArrayLike) -> F64:
        """Return the model's configuration for positions q [A] of the axes."""
        position = np.asarray(q, dtype=np.float64)
        if position.shape != (self.shares.shape[1],):
            raise ConfigError(f"q has shape {position.shape}, needs ({self.shares.shape[1]},)")
        joints = self.shares @ position + self.biases
        if not len(self.turning):
            return joints  # one number a joint, in the same order
        whole = np.empty(self.model.nq)
        whole[self.plain] = joints[self.ends]
        endless = joints[~self.ends]
        whole[self.turning], whole[self.turning + 1] = np.cos(endless), np.sin(endless)
        return whole

    def reach(self) -> F64:
        """Return [A] how far any frame or shape moves at most for a unit of each axis, m.

        In whatever posture, nothing is further from a joint than the links up to it are long.
        """
        model, far = self.model, self._sizes()
        moved = np.zeros(model.nv)
        for j in range(model.njoints - 1, 0, -1):
            joint = model.joints[j]
            slides = joint.shortname().startswith("JointModelP")  # PX, PY, PZ, Prismatic...
            moved[joint.idx_v] = 1.0 if slides else far[j]
            way = float(np.linalg.norm(model.jointPlacements[j].translation))
            if slides:
                low, high = model.lowerPositionLimit, model.upperPositionLimit
                way += max(abs(low[joint.idx_q]), abs(high[joint.idx_q]))
            far[model.parents[j]] = max(far[model.parents[j]], way + far[j])
        return np.asarray(np.abs(self.shares).T @ moved)

    def _sizes(self) -> F64:
        """Return [J] how far the frames and shapes on each joint reach from it, m."""
        far = np.zeros(self.model.njoints)
        for frame in self.model.frames:
            length = float(np.linalg.norm(frame.placement.translation))
            far[frame.parentJoint] = max(far[frame.parentJoint], length)
        for shape in self.geometry.geometryObjects:
            shape.geometry.computeLocalAABB()
            centre = np.linalg.norm(shape.geometry.aabb_center) + shape.geometry.aabb_radius
            length = float(np.linalg.norm(shape.placement.translation) + centre)
            far[shape.parentJoint] = max(far[shape.parentJoint], length)
        return far


def reduced_model(robot: Robot, group: str) -> Model:
    """Build the model of a robot's group; raises `ConfigError` where it cannot be built."""
    if not robot.description:
        raise ConfigError(
            f"robot '{robot.name}' has no description: name its URDF in the YAML (description: "
            "my_arm.urdf) for kinematics"
        )
    axes = robot.group(group).axes if group else robot.axes
    pin = pinocchio()
    try:
        models = _reduced(pin, robot, axes)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"pinocchio cannot use the description: {error}") from error
    return _model(pin, models, read_urdf(robot.description).links, axes)


def joints_of(axis: RobotAxis, model: Any) -> tuple[tuple[str, float, float], ...]:
    """List the joints of the model that an axis moves: name, k, b."""
    own = ((axis.name, 1.0, 0.0),) if model.existJointName(axis.name) else ()
    return own + axis.mimics


def pinocchio() -> Any:
    """Import pinocchio; raises `ConfigError` that says how to install it."""
    try:
        module = importlib.import_module("pinocchio")
    except ImportError:
        module = None
    if not hasattr(module, "buildModelFromXML"):  # another project is of the same name
        raise ConfigError(
            'the kinematics of an arm need pinocchio: pip install "arfm_ros[arms]", or install '
            "the ROS package pinocchio (the rosdep key)"
        )
    return module


def _reduced(pin: Any, robot: Robot, axes: tuple[RobotAxis, ...]) -> tuple[Any, Any]:
    """Return model and geometry in which only the joints of `axes` move."""
    text = without_meshes(robot.description)
    whole = pin.buildModelFromXML(text)
    geometry = pin.buildGeomFromUrdfString(whole, text, pin.GeometryType.COLLISION)
    moved = {name for axis in axes for name, _, _ in joints_of(axis, whole)}
    locked = [i for i in range(1, whole.njoints) if whole.names[i] not in moved]
    model, geometry = pin.buildReducedModel(whole, geometry, locked, _home(robot.axes, whole, pin))
    return model, geometry


def _model(pin: Any, models: tuple[Any, Any], links: tuple[str, ...], axes: Any) -> Model:
    model, geometry = models
    shares, biases = np.zeros((model.nv, len(axes))), np.zeros(model.nv)
    for column, axis in enumerate(axes):
        for name, k, b in joints_of(axis, model):
            row = model.joints[model.getJointId(name)].idx_v
            shares[row, column], biases[row] = k, b
    joints = [model.joints[i] for i in range(1, model.njoints)]
    ends = np.array([joint.nq == 1 for joint in joints], dtype=bool)
    places = np.array([joint.idx_q for joint in joints], dtype=np.intp)
    return Model(
        pin,
        model,
        model.createData(),
        geometry,
        links,
        shares,
        biases,
        places[ends],
        places[~ends],
        ends,
    )


def _home(axes: tuple[RobotAxis, ...], model: Any, pin: Any) -> F64:
    """Return the whole robot's configuration at home."""
    whole = np.array(pin.neutral(model))
    for axis in axes:
        for name, k, b in joints_of(axis, model):
            joint, value = model.joints[model.getJointId(name)], k * axis.home + b
            turned = (value,) if joint.nq == 1 else (np.cos(value), np.sin(value))
            whole[joint.idx_q : joint.idx_q + joint.nq] = turned
    return whole

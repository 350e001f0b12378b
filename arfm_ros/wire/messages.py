"""Serialize the messages of an episode without ROS: each gives (type name, CDR bytes)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.wire.cdr import NS
from arfm_ros.wire.definitions import STORE

Serialized = tuple[str, bytes]

_T = STORE.types
_Time = _T["builtin_interfaces/msg/Time"]
_Duration = _T["builtin_interfaces/msg/Duration"]
_Header = _T["std_msgs/msg/Header"]


def joint_state(
    stamp_ns: int,
    names: Sequence[str],
    position: ArrayLike,
    velocity: ArrayLike = (),
    effort: ArrayLike = (),
    frame_id: str = "",
) -> Serialized:
    """Make a `sensor_msgs/msg/JointState`; rad or m, and their rates and efforts."""
    return _message(
        "sensor_msgs/msg/JointState",
        header=_header(stamp_ns, frame_id),
        name=list(names),
        position=_f64(position),
        velocity=_f64(velocity),
        effort=_f64(effort),
    )


def image(stamp_ns: int, rgb: NDArray[np.uint8], frame_id: str = "") -> Serialized:
    """Make a `sensor_msgs/msg/Image`, rgb8, from uint8 [H, W, 3]."""
    height, width, _ = rgb.shape
    return _message(
        "sensor_msgs/msg/Image",
        header=_header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=width * 3,
        data=np.ascontiguousarray(rgb).reshape(-1),
    )


def compressed_image(stamp_ns: int, jpeg: bytes, frame_id: str = "") -> Serialized:
    """Make a `sensor_msgs/msg/CompressedImage` from the bytes of a JPEG of an rgb8 image."""
    return _message(
        "sensor_msgs/msg/CompressedImage",
        header=_header(stamp_ns, frame_id),
        format="rgb8; jpeg compressed bgr8",  # what image_transport writes
        data=np.frombuffer(jpeg, dtype=np.uint8),
    )


def string(text: str) -> Serialized:
    """Make a `std_msgs/msg/String`."""
    return _message("std_msgs/msg/String", data=text)


def boolean(value: bool) -> Serialized:
    """Make a `std_msgs/msg/Bool`."""
    return _message("std_msgs/msg/Bool", data=bool(value))


def float64_multi_array(values: ArrayLike) -> Serialized:
    """Make a `std_msgs/msg/Float64MultiArray` without a layout, as the gripper takes it."""
    layout = _T["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    return _message("std_msgs/msg/Float64MultiArray", layout=layout, data=_f64(values))


def pose_stamped(stamp_ns: int, pose: ArrayLike, frame_id: str = "") -> Serialized:
    """Make a `geometry_msgs/msg/PoseStamped` from a position in m and a quaternion xyzw [7]."""
    values = [float(value) for value in _f64(pose)]
    point = _T["geometry_msgs/msg/Point"](*values[:3])
    turn = _T["geometry_msgs/msg/Quaternion"](*values[3:])
    return _message(
        "geometry_msgs/msg/PoseStamped",
        header=_header(stamp_ns, frame_id),
        pose=_T["geometry_msgs/msg/Pose"](point, turn),
    )


def diagnostic_array(
    stamp_ns: int,
    name: str,
    values: Mapping[str, object],
    level: int = 0,
    message: str = "",
) -> Serialized:
    """Make a `diagnostic_msgs/msg/DiagnosticArray` of one status; values are written as text."""
    return _statuses(stamp_ns, [_status(name, values, level, message)])


def diagnostic_arrays(stamp_ns: int, rows: Mapping[str, Mapping[str, object]]) -> Serialized:
    """Make a `diagnostic_msgs/msg/DiagnosticArray` of one status for each name in `rows`."""
    return _statuses(stamp_ns, [_status(name, values) for name, values in rows.items()])


def trajectory(
    stamp_ns: int,
    names: Sequence[str],
    positions: ArrayLike,
    dt_ns: int,
    frame_id: str = "policy",
) -> Serialized:
    """Make a `trajectory_msgs/msg/JointTrajectory` from positions [H, A], point k due at (k+1)dt.

    `frame_id` carries the source of the chunk.
    """
    point = _T["trajectory_msgs/msg/JointTrajectoryPoint"]
    none = np.empty(0)
    points = [
        point(
            positions=row,
            velocities=none,
            accelerations=none,
            effort=none,
            time_from_start=_Duration(*divmod((k + 1) * dt_ns, NS)),
        )
        for k, row in enumerate(np.asarray(positions, dtype=np.float64))
    ]
    return _message(
        "trajectory_msgs/msg/JointTrajectory",
        header=_header(stamp_ns, frame_id),
        joint_names=list(names),
        points=points,
    )


def _status(name: str, values: Mapping[str, object], level: int = 0, message: str = "") -> Any:
    key_value = _T["diagnostic_msgs/msg/KeyValue"]
    return _T["diagnostic_msgs/msg/DiagnosticStatus"](
        level=level,
        name=name,
        message=message,
        hardware_id="",
        values=[key_value(key=k, value=str(v)) for k, v in values.items()],
    )


def _statuses(stamp_ns: int, rows: list[Any]) -> Serialized:
    header = _header(stamp_ns, "")
    return _message("diagnostic_msgs/msg/DiagnosticArray", header=header, status=rows)


def _message(type_name: str, **fields: Any) -> Serialized:
    return type_name, bytes(STORE.serialize_cdr(_T[type_name](**fields), type_name))


def _header(stamp_ns: int, frame_id: str) -> Any:
    return _Header(stamp=_Time(*divmod(stamp_ns, NS)), frame_id=frame_id)


def _f64(values: ArrayLike) -> NDArray[np.float64]:
    return np.ascontiguousarray(values, dtype=np.float64).reshape(-1)

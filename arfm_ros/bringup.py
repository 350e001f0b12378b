"""The stack as data: which processes, with which parameters; `launch/` and `arfm up` run it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from arfm_ros.core.errors import ConfigError
from arfm_ros.installed import PACKAGE, share
from arfm_ros.nodes.recorder.times import STOP_S
from arfm_ros.nodes.ros import topics

FAILURE, END = "failure", "end"  # what the end of a process means for the stack
RANGE_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
FRANKA = "franka"  # the name of the product line; its arm here is the FR3
TASKS = ("reach", "lift", "push", "place")
TELEOP = ("keyboard", "joy", "leader", "hand", "phone", "bag", "scripted", "console")
PAGE = "console"  # the device that is the operator's page
DDS_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
IMAGES = ("raw", "compressed", "both")


@dataclass(frozen=True, slots=True)
class Setup:
    """What the user chose; the fields are the arguments of the launch files and of `arfm up`."""

    robot: str = FRANKA  # or a name in config/robots, or the path of a YAML
    sim: bool = False
    policy: str = ""  # a bundle folder or name in models/; "": a shipped one for the task
    task: str = "lift"
    record: bool = True
    images: str = ""  # which pictures are recorded, of IMAGES; "": as config or node say
    namespace: str = ""
    out: str = "episodes"
    episodes: int = 5
    seed: int = 0
    time_limit: float = 0.0  # s of simulated time per episode; 0 is rollout_node's default
    view: bool = False
    plan: str = ""  # a YAML of instructions that are said one after the other
    teleop: str = ""  # a device that shares the arm, of TELEOP, or bag:FOLDER
    console: bool = False  # a page for operators, docs/console.md

    def __post_init__(self) -> None:
        if self.robot not in robots() and not Path(self.robot).is_file():
            known = ", ".join(robots())
            raise ConfigError(f"robot is '{self.robot}', needs a YAML, or one of: {known}")
        if self.task not in TASKS:
            raise ConfigError(f"task is '{self.task}', needs one of: {', '.join(TASKS)}")
        if self.plan and not Path(self.plan).is_file():
            raise ConfigError(f"plan is '{self.plan}', needs a YAML file: docs/authority.md")
        self._check_teleop()
        if self.images not in {"", *IMAGES}:
            raise ConfigError(f"images is '{self.images}', needs one of: {', '.join(IMAGES)}")
        if self.episodes < 0:
            raise ConfigError(f"episodes is {self.episodes}, needs 0 (no end) or more")

    def _check_teleop(self) -> None:
        """Raise `ConfigError` for a device that nobody knows, or that has nothing to see."""
        device, _, argument = self.teleop.partition(":")
        if device and (device not in TELEOP or (device == "bag") != bool(argument)):
            known = ", ".join("bag:FOLDER" if one == "bag" else one for one in TELEOP)
            raise ConfigError(f"teleop is '{self.teleop}', needs one of: {known}")
        if device == "scripted" and not self.sim:
            raise ConfigError("teleop is 'scripted', which knows the simulation only: add --sim")


def robots() -> tuple[str, ...]:
    """List the robots that are known by name."""
    names = (path.stem for path in share("config", "robots").glob("*.yaml"))
    return (FRANKA, *sorted(names))


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """One node as one process, and how whoever starts it watches and stops it."""

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    remaps: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    config: str = ""  # parameter file read before `parameters`
    # topic or service (name of its row) that shows that the node is ready; or its name, where its
    # diagnostics do
    ready: str = ""
    stop_rank: int = 0  # the lowest stops first
    stop_s: float = 4.0  # how long an orderly stop may take, before it is forced
    # FAILURE: its end breaks the stack. END: status 0 is the end of the run, and it starts when
    # the others are ready.
    on_exit: str = FAILURE

    @property
    def module(self) -> str:
        """Python module with the node's `main`; its last part is the executable's name."""
        return f"{PACKAGE}.nodes.{self.name}"

    def ros_arguments(self) -> list[str]:
        """Return `--ros-args ...` for the process."""
        words = ["--ros-args", "-r", f"__node:={self.name}"]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for old, new in self.remaps.items():
            words += ["-r", f"{old}:={new}"]
        if self.config:
            words += ["--params-file", self.config]
        for name, value in self.parameters.items():
            words += ["-p", f"{name}:={json.dumps(value)}"]  # JSON is YAML with typed values
        return words

    def command(self) -> list[str]:
        """Return the command that runs the node with this Python."""
        return [sys.executable, "-m", self.module, *self.ros_arguments()]


def stack(setup: Setup) -> tuple[NodeProcess, ...]:
    """Return the processes of the stack in the order in which they start."""
    bundle = str(find_bundle(setup.policy, setup.task))
    parameters: dict[str, dict[str, object]] = {}
    if setup.sim:
        sim: dict[str, object] = {"task": setup.task, "seed": setup.seed}
        parameters["sim_node"] = sim | ({"view": True} if setup.view else {})
    parameters["policy_node"] = {"bundle": bundle}
    parameters["arbiter_node"] = _simulated_arbiter(setup.robot) if setup.sim else {}
    if setup.record:
        images = {"images": setup.images} if setup.images else {}
        parameters["recorder_node"] = {"out": str(Path(setup.out).resolve()), **images}
    if setup.plan:
        parameters["operator_node"] = {"plan": str(Path(setup.plan).resolve())}
    if setup.teleop not in {"", PAGE}:
        parameters["teleop_node"] = _teleop(setup)
    if setup.console or setup.teleop == PAGE:
        parameters["console_node"] = {"teleop": setup.teleop == PAGE}
    if setup.sim:
        parameters["rollout_node"] = _rollout(setup)
    if setup.robot != FRANKA:
        for name in set(parameters) - {"rollout_node", "operator_node"}:
            parameters[name] = {**parameters[name], "robot": _robot(setup.robot)}
    config = str(share("config", "franka.yaml")) if setup.robot == FRANKA else ""
    common = {"env": environment(setup.sim), "namespace": setup.namespace, "config": config}
    return tuple(
        replace(NODES[name], parameters=given, **common)  # type: ignore[arg-type]
        for name, given in parameters.items()
    )


# The recorder closes its bag before the topics that it records go away; the arbiter brakes before
# it ends, so the simulated robot has to follow it until then.
NODES = {
    node.name: node
    for node in (
        NodeProcess("sim_node", ready=topics.CAMERA_INFO.name, stop_rank=4, stop_s=6.0),
        NodeProcess("policy_node", ready=topics.POLICY_STATE.name, stop_rank=2),
        NodeProcess("arbiter_node", ready=topics.AUTHORITY.name, stop_rank=3),
        NodeProcess("operator_node", ready="operator_node", stop_rank=0),
        NodeProcess("recorder_node", ready=topics.RECORDER_STATE.name, stop_rank=1, stop_s=STOP_S),
        NodeProcess("teleop_node", ready=topics.TELEOP_ENGAGED.name, stop_rank=1),
        NodeProcess("console_node", ready="console_node", stop_rank=1),
        NodeProcess("rollout_node", stop_rank=0, on_exit=END),
    )
}


def _robot(name: str) -> str:
    """A name, or an absolute path: nodes have a working folder of their own."""
    return name if name in robots() else str(Path(name).resolve())


def _simulated_arbiter(robot: str) -> dict[str, object]:
    """The simulated controller's gains are known, and nobody stands beside it: full speed."""
    if robot not in {FRANKA, "fr3", "fr3_two_arms"}:
        return {"speed": 1.0, "plain_grippers": find_spec("control_msgs") is None}
    from arfm_ros.robots.fr3.gains import TUNED  # numpy: not for those who only want help

    return {
        "speed": 1.0,
        "controller_stiffness": list(TUNED.stiffness),
        "controller_damping": list(TUNED.damping),
        "controller_max_torque": TUNED.max_torque_nm,
    }


def _teleop(setup: Setup) -> dict[str, object]:
    """Return the device's parameters; its terminal is the one that this process has."""
    device, _, argument = setup.teleop.partition(":")
    parameters: dict[str, object] = {"device": device, "task": setup.task, "seed": setup.seed}
    if argument:
        parameters["config"] = str(Path(argument).resolve())
    if device == "keyboard" and sys.stdin.isatty():
        parameters["terminal"] = os.ttyname(sys.stdin.fileno())
    return parameters


def _rollout(setup: Setup) -> dict[str, object]:
    parameters: dict[str, object] = {
        "task": setup.task,
        "seed": setup.seed,
        "episodes": setup.episodes,
        "record": setup.record,
    }
    return parameters | ({"time_limit": float(setup.time_limit)} if setup.time_limit else {})


def find_bundle(policy: str, task: str = "") -> Path:
    """Find a bundle's folder by path or by its name in models/; "" is one that knows `task`.

    The bundle itself is checked by whoever loads it. Raises `ConfigError` listing what there is,
    and for a name that could be either.
    """
    shipped = shipped_bundles()
    names = ", ".join(shipped) or "none"
    if not policy:
        if not shipped:
            raise ConfigError("no policy bundle is shipped in models/: give one with --policy")
        able = [folder for folder in shipped.values() if task in _tasks_of(folder)]
        return next(iter([*able, *shipped.values()]))
    here = path_of(policy)
    if not here.is_dir():
        raise ConfigError(f"there is no bundle '{policy}': give a folder, or one of: {names}")
    return here.resolve()


def path_of(named: str) -> Path:
    """Return the path that a name is, or the bundle in models/ that is called so.

    Raises `ConfigError` for a name that could be either.
    """
    here, shipped = Path(named), shipped_bundles().get(named)
    if shipped is None:
        return here
    if here.exists() and here.resolve() != shipped.resolve():
        raise ConfigError(
            f"'{named}' is a folder here and a bundle in models/: give ./{named} or {shipped}"
        )
    return shipped


def shipped_bundles() -> dict[str, Path]:
    """Map the names of the bundles in models/ to their folders."""
    try:
        models = share("models")
    except ConfigError:  # a source tree without models/ can still run a bundle given by path
        return {}
    return {path.parent.name: path.parent for path in sorted(models.glob("*/policy.json"))}


def _tasks_of(bundle: Path) -> Mapping[str, str]:
    """Read the tasks that a bundle names; none from one that cannot be read."""
    try:
        raw = json.loads((bundle / "policy.json").read_text())
        return dict(raw["spec"]["instructions"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # whoever loads it says what is wrong


def environment(sim: bool = False) -> dict[str, str]:
    """Return the variables every process of the stack needs; what the user set stays.

    A simulation finds and is found on this machine only: nobody else's robot shall follow it.
    """
    wanted = {name: str(share("config", "fastdds.xml")) for name in DDS_PROFILE_VARIABLES}
    wanted["PYTHONUNBUFFERED"] = "1"
    if Path(sys.prefix, "share", "ament_index").is_dir():  # ROS 2 as wheels in this environment
        wanted["AMENT_PREFIX_PATH"] = sys.prefix
    if sim:
        wanted[RANGE_VARIABLE] = "LOCALHOST"
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        wanted["MUJOCO_GL"] = "egl"
    return {name: os.environ.get(name) or value for name, value in wanted.items()}


def prepare_environment() -> None:
    """Set `environment()` for this process, before the first import of ROS or OpenGL."""
    os.environ.update(environment())

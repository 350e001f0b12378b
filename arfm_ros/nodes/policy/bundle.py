"""A bundle that proved itself on this machine, and how it takes over while the robot moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from arfm_ros.core.chunks.rtc import left_over
from arfm_ros.core.errors import ArfmError, BundleError, SpecError
from arfm_ros.core.values.data import Policy
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.gate.fresh import require_state_in_step
from arfm_ros.engines.gate.proof import require_pass
from arfm_ros.engines.gate.trial import Engine, require_proof
from arfm_ros.engines.server.remote import RemotePolicy, open_remote
from arfm_ros.engines.server.trust import Access
from arfm_ros.nodes.policy.params import PolicyParams
from arfm_ros.nodes.policy.values import Loaded
from arfm_ros.nodes.ros.background import in_background, one_line
from arfm_ros.nodes.ros.real_time import make_way
from arfm_ros.robots.actions.policy import PolicyActions, policy_actions
from arfm_ros.robots.robot import Robot

REPEATS = 3


def load_checked(params: PolicyParams) -> Loaded:
    """Load the bundle that `params` name and check it against the robot.

    Raises `ArfmError` naming what does not fit.
    """
    from arfm_ros.bringup import find_bundle

    folder = find_bundle(params.bundle)
    bundle = load_bundle(folder)
    robot = params.value()
    cameras = tuple(params.camera_topics(robot))
    check_units(bundle.spec, robot)
    actions = spaces_of(bundle.spec, robot)
    names = bundle.spec.action_names if actions else commanded(bundle.spec, robot)
    bundle.check_robot(names, cameras, params.dt_s, robot.names)
    policy: EnginePolicy | RemotePolicy
    if bundle.remote is not None:  # a server runs the network itself: nothing was exported
        policy = open_remote(bundle, access=Access(params.key_variable, params.allow_plain))
    else:
        policy = load_policy(
            folder,
            engine=params.engine,
            precision=params.precision,
            threads=params.threads,
            providers=params.providers,
        )
        require_pass(bundle, policy.runtime)
    warm_up(policy, bundle.spec)
    return Loaded(bundle, policy, params.bundle, actions, robot.names)


def spaces_of(spec: PolicySpec, robot: Robot) -> PolicyActions | None:
    """Return what the actions of a policy are on the robot; None where they are its joints.

    Raises `BundleError` naming the group, space or action that the robot does not have.
    """
    if not spec.actions:
        return None
    from arfm_ros.robots.kinematics.arm import ArmKinematics  # only where poses are asked for

    try:
        return policy_actions(spec, robot, lambda group: ArmKinematics(robot, group))
    except SpecError as error:
        raise BundleError(str(error)) from error


def commanded(spec: PolicySpec, robot: Robot) -> tuple[str, ...]:
    """Return the axes of the groups that a policy commands; a whole group may be left alone."""
    if any(name not in robot.names for name in spec.action_names):
        return robot.names  # a policy of another robot
    named = [g for g in robot.groups if any(name in spec.action_names for name in g.names)]
    return tuple(name for group in named or robot.groups for name in group.names)


def check_units(spec: PolicySpec, robot: Robot) -> None:
    """Raise `BundleError` naming every axis that the robot has in another unit.

    Actions in spaces have units of their own, also under the name of an axis.
    """
    units = {axis.name: axis.unit for axis in robot.axes}
    actions = () if spec.actions else spec.action
    wrong = dict.fromkeys(
        f"{axis.name} is in {axis.unit}, the robot's in {units[axis.name]}"
        for axis in (*spec.state, *actions)
        if units.get(axis.name, axis.unit) != axis.unit
    )
    if wrong:
        raise BundleError(
            f"policy '{spec.name}' does not fit robot '{robot.name}': {'; '.join(wrong)}"
        )


def load_successor(params: PolicyParams, running: Loaded) -> Loaded:
    """Load what is to take over from `running` in motion: it has to prove itself on this machine.

    In a process of its own first, so that nothing that it does there ends this one. Raises
    `ArfmError` naming what does not fit.
    """
    from arfm_ros.bringup import find_bundle

    folder = find_bundle(params.bundle)
    bundle = load_bundle(folder)
    if bundle.sha256 == running.bundle.sha256:
        if bundle.remote is None:
            require_pass(bundle, running.policy.runtime)
        return running
    names = [[camera.name for camera in one.spec.cameras] for one in (running, bundle)]
    if sorted(names[0]) != sorted(names[1]):
        raise BundleError(
            f"policy '{bundle.name}' wants the cameras {', '.join(names[1])}, the node "
            f"listens to {', '.join(names[0])}: deactivate, configure and activate instead"
        )
    make_way()  # this is work of this thread only, beside a policy that drives
    if bundle.remote is None:
        on = Engine(params.engine, params.precision, params.threads, params.providers)
        require_proof(folder, on, params.swap_timeout_s)
    loaded = load_checked(params)
    _check_speed(loaded)
    return loaded


class Successor:
    """Loads a bundle in a thread of its own; the newest request counts. One thread asks."""

    def __init__(self) -> None:
        self._loading: Future[Loaded] | None = None
        self.asked = ""  # what is being loaded, or ""

    def load(self, work: Callable[[], Loaded], asked: str) -> None:
        """Begin; an earlier request that is not done yet is forgotten."""
        self._loading, self.asked = in_background(work, "bundle"), asked

    def take(self) -> Loaded | str | None:
        """Give what was loaded, or why not; None while there is nothing to tell."""
        loading = self._loading
        if loading is None or not loading.done():
            return None
        self.forget()
        try:
            return loading.result()
        except ArfmError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001  thread border: a bundle may do anything
            return one_line(error)

    def forget(self) -> None:
        """Let nothing take over any more."""
        self._loading, self.asked = None, ""


def _check_speed(loaded: Loaded) -> None:
    """Raise `BundleError` if a chunk takes longer than its actions last."""
    spec, policy = loaded.spec, loaded.policy
    noise, taken_s = np.zeros(spec.flow_shape, dtype=np.float32), []
    for _ in range(REPEATS):
        begin = time.monotonic()
        policy.sample(policy.encode(spec.example(seed=0)), noise)
        taken_s.append(time.monotonic() - begin)
    lasts_s = 1e-9 * spec.dt_ns * spec.horizon
    if min(taken_s) >= lasts_s:
        raise BundleError(
            f"a chunk of policy '{loaded.bundle.name}' takes {min(taken_s):.2f} s on this "
            f"machine and lasts {lasts_s:.2f} s: fewer steps or a faster machine"
        )


def warm_up(policy: Policy, spec: PolicySpec) -> None:
    """Run once on made-up input: the first inference is slow, and a broken engine shows here."""
    noise = np.zeros(spec.flow_shape, dtype=np.float32)
    context = policy.encode(spec.example(seed=0))
    chunk = policy.sample(context, noise, steps=1)
    if spec.state_in_step:
        require_state_in_step(policy, spec, context)
    if spec.rtc.mode != "none":
        policy.sample(context, noise, left_over(chunk, chunk.stamp_ns, delay=1), steps=1)

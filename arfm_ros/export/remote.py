"""A bundle for a policy on a server: no graphs, only where it is and what it takes."""

from __future__ import annotations

import json
from pathlib import Path

from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.core.values.spec import CameraInput, PolicySpec
from arfm_ros.engines.bundle import POLICY
from arfm_ros.engines.server.address import Server
from arfm_ros.engines.server.remote import RemotePolicy
from arfm_ros.engines.server.trust import NOTHING, Access, require_trust
from arfm_ros.export.vla.interface import Interface, read_interface

KIND = "remote:"


def export_remote(
    source: str, interface: Path | None, out: Path, name: str, access: Access = NOTHING
) -> PolicySpec:
    """Ask the server of `source` (remote:ws://HOST:PORT) once and write its bundle to `out`.

    The horizon is that of its answer. Raises `EngineError` if it does not answer as the robot of
    the file `interface` needs it, `BundleError` for a server that `access` does not allow.
    """
    if interface is None:
        raise ConfigError("a server knows no joint names: give --interface FILE.yaml")
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    robot = read_interface(interface)
    if "key_variable" in robot.extra:
        raise ConfigError(f"{interface} names a key_variable: give --key-variable instead")
    server = Server.from_json({
        "uri": source.removeprefix(KIND),
        "images": robot.cameras,
        "state": robot.state,
        **robot.extra,
    })
    require_trust(server.uri, access, out)
    spec = robot.spec(name, ask_horizon(server, robot, name, access), _cameras(robot))
    out.mkdir(parents=True, exist_ok=True)
    raw = {"spec": json.loads(spec.to_json()), "sha256": {}, "remote": server.to_json()}
    (out / POLICY).write_text(json.dumps(raw, indent=1) + "\n")
    return spec


def ask_horizon(server: Server, robot: Interface, name: str, access: Access) -> int:
    """Return how many actions `server` answers a made-up observation with."""
    spec = robot.spec(name, 1, _cameras(robot))
    policy = RemotePolicy(spec, server, sha256="", access=access)
    try:
        return len(policy.ask(policy.encode(spec.example(seed=0)), server.timeout_s))
    finally:
        policy.close()


def _cameras(robot: Interface) -> tuple[CameraInput, ...]:
    height, width = robot.image_size
    names = dict.fromkeys(robot.cameras.values())
    return tuple(CameraInput(n, height, width, "bilinear", "centre") for n in names)

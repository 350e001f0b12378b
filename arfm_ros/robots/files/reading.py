"""Read the groups of a robot's YAML against its URDF: every mistake is one clear error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values import strict
from arfm_ros.robots.files.urdf import INF, Joint, Urdf
from arfm_ros.robots.robot import KINDS, ControllerChoice, Group, RobotAxis

# of a group, for all of its joints: one number, a list, or a map from joint to number
SHARED_KEYS = (
    *("home", "low", "high", "margin", "velocity", "acceleration"),
    *("tracking", "chunk_tolerance"),
)
GROUP_KEYS = (
    *("kind", "joints", "controller", "state_topics", "command_topics", "base", "tool"),
    *SHARED_KEYS,
)
JOINT_KEYS = (*SHARED_KEYS, "unit", "opening", "slowdown", "published", "scale", "offset")
OPENING_KEYS = ("joint", "closed", "open")
SLOWDOWN = "low, high, offset, deceleration"
OPENING = "1"  # the unit of a gripper
FINITE = (-1e9, 1e9)
BOUNDS = {
    "home": FINITE,
    "margin": (0.0, FINITE[1]),
    "tracking": (0.0, INF),
    "chunk_tolerance": (0.0, INF),
    "scale": FINITE,
    "offset": FINITE,
}


def read_group(name: str, raw: object, urdf: Urdf | None) -> Group:
    """Read one group; without a URDF its joints give all their limits themselves."""
    where = f"group '{name}'"
    given = checked(raw, GROUP_KEYS, where)
    kind = strict.text(given.get("kind", ""), f"{where}: kind")
    if kind not in KINDS:
        raise ConfigError(f"{where}: kind is '{kind}', needs one of {', '.join(KINDS)}")
    entries = _joint_entries(given.get("joints"), where)
    shared = {
        key: _per_joint(given[key], tuple(entries), f"{where}: {key}")
        for key in SHARED_KEYS
        if key in given
    }
    axes = [
        _axis(joint, {**{k: v[joint] for k, v in shared.items() if joint in v}, **own}, urdf, name)
        for joint, own in entries.items()
    ]
    return Group(
        name,
        kind,
        tuple(axes),
        _controller(given.get("controller"), where),
        _topics(given.get("state_topics", ["joint_states"]), f"{where}: state_topics"),
        texts(given.get("command_topics", {}), f"{where}: command_topics"),
        _frame(given.get("base", ""), f"{where}: base", urdf),
        _frame(given.get("tool", ""), f"{where}: tool", urdf),
    )


def checked(raw: object, keys: Sequence[str], where: str) -> dict[str, Any]:
    """Return a map whose keys are all known; raises `ConfigError` listing them otherwise."""
    given = strict.table(raw, where)
    unknown = [str(key) for key in given if key not in keys]
    if unknown:
        raise ConfigError(f"{where} has '{unknown[0]}', known keys: {', '.join(keys)}")
    return given


def texts(raw: object, where: str) -> dict[str, str]:
    """Return a map of texts."""
    return {
        strict.text(k, where): strict.text(v, f"{where}.{k}")
        for k, v in strict.table(raw, where).items()
    }


def _joint_entries(raw: object, where: str) -> dict[str, dict[str, Any]]:
    """Return what a group says about each of its joints, from a list or from a map."""
    if isinstance(raw, dict):
        entries = {
            strict.text(k, f"{where}: joints"): checked(v or {}, JOINT_KEYS, f"joint '{k}'")
            for k, v in raw.items()
        }
    else:
        names = [
            strict.text(n, f"{where}: joints") for n in strict.rows(raw, f"{where}: joints", 128)
        ]
        entries = {name: {} for name in names}
        if len(entries) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"{where} lists joint '{twice}' twice: leave it there once")
    if not entries:
        raise ConfigError(f"{where} has no joints, needs at least one")
    return entries


def _per_joint(raw: object, joints: tuple[str, ...], where: str) -> dict[str, Any]:
    """Spread a number, a list or a map over the joints of a group."""
    if isinstance(raw, dict):
        return checked(raw, joints, where)
    if isinstance(raw, list):
        if len(raw) != len(joints):
            raise ConfigError(f"{where} has {len(raw)} values, needs {len(joints)}: {joints}")
        return dict(zip(joints, raw))
    return dict.fromkeys(joints, raw)


def _controller(raw: object, where: str) -> ControllerChoice:
    if raw is None:
        raise ConfigError(
            f"{where} has no controller, needs one: controller: {{kind: jtc}} (or crisp_joint, "
            "forward_position, gripper_command, ...)"
        )
    given = strict.table({"kind": raw} if isinstance(raw, str) else raw, f"{where}: controller")
    kind = strict.text(given.get("kind", ""), f"{where}: controller.kind")
    if not kind:
        raise ConfigError(f"{where}: controller has no kind, such as jtc or crisp_joint")
    options = {str(k): _option(v, f"{where}: controller.{k}") for k, v in given.items()}
    options.pop("kind", None)
    return ControllerChoice(kind, options)


def _option(raw: object, where: str) -> float | str | bool | tuple[float, ...]:
    if isinstance(raw, (str, bool)):
        return raw
    if isinstance(raw, list):
        return tuple(strict.number(value, where) for value in raw)
    return strict.number(raw, where)


def _topics(raw: object, where: str) -> tuple[str, ...]:
    listed = [raw] if isinstance(raw, str) else strict.rows(raw, where, 16)
    return tuple(strict.text(topic, where) for topic in listed)


def _frame(raw: object, where: str, urdf: Urdf | None) -> str:
    frame = strict.text(raw, where)
    if frame and urdf is not None and frame not in urdf.links:
        raise ConfigError(f"{where} is '{frame}', the URDF has the frames {', '.join(urdf.links)}")
    return frame


@dataclass(frozen=True, slots=True)
class _Drive:
    """How an axis moves its joint: at `closed` + value * `stroke`."""

    joint: Joint
    unit: str
    closed: float = 0.0
    stroke: float = 1.0
    opens: bool = False

    @property
    def span(self) -> tuple[float, float]:
        """Limits of the axis where the YAML gives none."""
        return (0.0, 1.0) if self.unit == OPENING else (self.joint.low, self.joint.high)


def _axis(name: str, raw: Mapping[str, Any], urdf: Urdf | None, group: str) -> RobotAxis:
    where = f"joint '{name}' of group '{group}'"
    drive = _drive(name, raw, urdf, where)

    def number(key: str, default: float) -> float:
        bounds = BOUNDS.get(key, strict.ANY)
        return strict.number(raw.get(key, default), f"{where}: {key}", bounds)

    low, high = number("low", drive.span[0]), number("high", drive.span[1])
    velocity = number("velocity", drive.joint.velocity / abs(drive.stroke))
    acceleration = number("acceleration", 0.0)
    margin, scale = number("margin", 0.0), number("scale", 1.0 / drive.stroke)
    _check_limits(where, (low, high), (velocity, acceleration))
    if not low + margin < high - margin:
        raise ConfigError(f"{where}: margin {margin:g} leaves nothing of {low:g}..{high:g}")
    if scale == 0.0:
        raise ConfigError(f"{where}: scale is 0, needs another number: value = scale * message")
    return RobotAxis(
        name,
        drive.unit,
        low,
        high,
        velocity,
        acceleration,
        _home(number("home", 0.0), low, high, where),
        margin,
        number("tracking", INF),
        number("chunk_tolerance", 0.1),
        _slowdown(raw.get("slowdown"), where),
        strict.text(raw.get("published", drive.joint.name if drive.opens else ""), where),
        scale,
        number("offset", 0.0 - drive.closed / drive.stroke),
        _followers(drive, urdf),
    )


def _drive(name: str, raw: Mapping[str, Any], urdf: Urdf | None, where: str) -> _Drive:
    asked = None if raw.get("unit") is None else str(raw["unit"])
    if "opening" in raw:
        opening = checked(raw["opening"], OPENING_KEYS, f"{where}: opening")
        joint = _joint(strict.text(opening.get("joint", name), where), asked, urdf, where)
        closed, stroke = _open_closed(opening, joint, where)
        drive = _Drive(joint, OPENING, closed, stroke, True)
    elif asked == OPENING and (urdf is None or name not in urdf.joints):
        return _Drive(Joint(name, "prismatic", "", ""), OPENING)  # a gripper the URDF knows not of
    else:
        joint = _joint(name, asked, urdf, where)
        drive = _Drive(joint, joint.unit)
    if asked not in (None, drive.unit):
        raise ConfigError(
            f"{where} is {drive.joint.kind}: its unit is {drive.unit}, not {asked} (a gripper has "
            "unit 1 and says its opening: {joint, closed, open})"
        )
    return drive


def _joint(name: str, asked: str | None, urdf: Urdf | None, where: str) -> Joint:
    if urdf is None:
        return Joint(name, "prismatic" if asked == "m" else "revolute", "", "")
    found = urdf.joints.get(name)
    if found is None:
        raise ConfigError(
            f"{where}: the URDF has no joint '{name}', it has {', '.join(urdf.movable)}"
        )
    if found.mimic is not None:
        raise ConfigError(
            f"{where} follows '{found.mimic.joint}' (mimic): command that joint, this one follows"
        )
    if not found.unit:
        raise ConfigError(
            f"{where} is {found.kind} and does not move, these do: {', '.join(urdf.movable)}"
        )
    return found


def _open_closed(raw: Mapping[str, Any], joint: Joint, where: str) -> tuple[float, float]:
    """Return the joint's position at opening 0, and from there to that at opening 1."""
    for key in ("closed", "open"):
        if key not in raw:
            raise ConfigError(f"{where}: opening lacks '{key}', the joint's position when {key}")
    closed, wide = (strict.number(raw[key], f"{where}: {key}") for key in ("closed", "open"))
    if closed == wide or not all(joint.low <= value <= joint.high for value in (closed, wide)):
        raise ConfigError(
            f"{where}: opening is closed at {closed:g} and open at {wide:g}, needs two positions "
            f"within the joint's {joint.low:g}..{joint.high:g}"
        )
    return closed, wide - closed


def _check_limits(where: str, span: tuple[float, float], rates: tuple[float, float]) -> None:
    if not span[0] < span[1]:
        raise ConfigError(
            f"{where} runs from {span[0]:g} to {span[1]:g}: give low and high in the YAML, or a "
            "<limit> with lower and upper in the URDF"
        )
    for key, value, says in zip(
        ("velocity", "acceleration"),
        rates,
        ("or a <limit> with velocity in the URDF", "a URDF has none"),
    ):
        if not 0.0 < value < INF:
            raise ConfigError(f"{where} has no {key} limit: give {key} in the YAML ({says})")


def _home(home: float, low: float, high: float, where: str) -> float:
    if not low <= home <= high:
        raise ConfigError(f"{where}: home is {home:g}, needs to be in {low:g}..{high:g}")
    return home


def _slowdown(raw: object, where: str) -> tuple[float, float, float, float] | None:
    if raw is None:
        return None
    values = [strict.number(v, f"{where}: slowdown") for v in strict.rows(raw, where, 4)]
    if len(values) != 4:
        raise ConfigError(f"{where}: slowdown has {len(values)} numbers, needs {SLOWDOWN}")
    return values[0], values[1], values[2], values[3]


def _followers(drive: _Drive, urdf: Urdf | None) -> tuple[tuple[str, float, float], ...]:
    """List the joints that go with an axis at k * value + b; an opening moves its own joint so."""
    joint, closed, stroke = drive.joint, drive.closed, drive.stroke
    found = () if urdf is None else urdf.followers(joint.name)
    if not drive.opens:
        return found
    driven = ((joint.name, stroke, closed),)
    return driven + tuple((n, k * stroke, k * closed + b) for n, k, b in found)

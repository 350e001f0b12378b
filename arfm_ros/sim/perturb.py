"""Changed worlds and pictures: to measure a policy in what it did not learn from, or to learn it.

A change is written `kind:amount`, as in `light:0.6`, or with a range, `light:0.5..1.6`. What it
draws, it draws of the episode's seed: the same for every policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import U8
from arfm_ros.sim.scene import CUBE_SIDE_M, FREE_OBJECTS, OBJECTS, PUCK_HEIGHT_M
from arfm_ros.sim.world import World

F64 = NDArray[np.float64]
Rng = np.random.Generator
# of a model, put back before each episode
FIELDS = (
    "cam_pos", "cam_quat", "geom_rgba", "geom_size", "geom_friction", "body_mass", "body_inertia",
    "body_pos", "light_diffuse", "geom_rbound", "geom_aabb",
)  # fmt: skip
HEADLIGHT = ("ambient", "diffuse")
HALF_M = {"cube": CUBE_SIDE_M / 2, "puck": PUCK_HEIGHT_M / 2}
SCENERY = ("world", "table")  # bodies that no instruction names
APART_M, TRIES = 0.09, 200  # of a distractor from what is there


@dataclass(frozen=True, slots=True)
class Kind:
    """What a change does, before and after the task is reset, and to pictures."""

    says: str  # what the amount is
    low: float
    high: float
    before: Callable[[World, Rng, float], None] | None = None
    after: Callable[[World, Rng, float], None] | None = None
    seen: bool = False  # pictures are changed


def _move(camera: str) -> Callable[[World, Rng, float], None]:
    def move(world: World, rng: Rng, metres: float) -> None:
        world.model.camera(camera).pos[:] += metres * _direction(rng)

    return move


def _turn(camera: str) -> Callable[[World, Rng, float], None]:
    def turn(world: World, rng: Rng, degrees: float) -> None:
        delta, quat = np.zeros(4), world.model.camera(camera).quat
        mujoco.mju_axisAngle2Quat(delta, _direction(rng), np.deg2rad(degrees))
        turned = np.zeros(4)
        mujoco.mju_mulQuat(turned, quat, delta)
        quat[:] = turned

    return turn


def _light(world: World, rng: Rng, factor: float) -> None:
    world.model.light_diffuse *= factor
    for name in HEADLIGHT:
        getattr(world.model.vis.headlight, name)[:] *= factor


def _colours(world: World, rng: Rng, share: float) -> None:
    """Blend the colours of what no instruction names with random ones."""
    model = world.model
    for number in range(model.ngeom):
        if model.body(int(model.geom_bodyid[number])).name in SCENERY:
            rgb = model.geom_rgba[number, :3]
            rgb += np.float32(share) * (rng.uniform(0.0, 1.0, 3).astype(np.float32) - rgb)


def _distractors(world: World, rng: Rng, count: float) -> None:
    """Put objects that the task does not use on the table, apart from all that it uses."""
    poses = {name: world.object_pose(name)[0] for name in world.objects}
    there = [at for at in poses.values() if at[2] > -0.5]
    unused = [name for name in OBJECTS if poses[name][2] <= -0.5 and name != "bin"]
    space = world.arms[0].workspace
    for name in list(rng.permutation(unused))[: round(count)]:
        for _ in range(TRIES):
            place = rng.uniform(*space.x_m), rng.uniform(*space.y_m)
            at = np.array([*place, HALF_M.get(name, 0.0)])
            if all(np.linalg.norm(at[:2] - one[:2]) > APART_M for one in there):
                at[2] = rng.uniform(0.08, 0.15) if name == "marker" else max(at[2], 6e-4)
                world.place(str(name), at)
                there.append(at)
                break


def _size(world: World, rng: Rng, factor: float) -> None:
    """Make what can be moved larger in all directions, as heavy as its size asks for."""
    model = world.model
    for name in FREE_OBJECTS:
        geom = model.geom(name).id
        for value in (model.geom_size, model.geom_aabb):
            value[geom] *= factor
        model.geom_rbound[geom] *= factor
        model.body(name).mass[:] *= factor**3
        model.body(name).inertia[:] *= factor**5


def _stand(world: World, rng: Rng, factor: float) -> None:
    """Put what has another size on the table again, where the task put it."""
    for name in FREE_OBJECTS:
        position, quaternion = world.object_pose(name)
        if position[2] > -0.5:
            position[2] += HALF_M[name] * (factor - 1.0)
            world.place(name, position, 2.0 * float(np.arctan2(quaternion[2], quaternion[3])))


def _table(world: World, rng: Rng, metres: float) -> None:
    """Raise the table: the robot stands so much lower, since tasks count heights from the top."""
    model, still = world.model, {"table", *OBJECTS, *world.objects}
    for number in range(1, model.nbody):
        body = model.body(number)
        if int(body.parentid[0]) == 0 and body.name not in still:
            body.pos[2] -= metres


def _friction(world: World, rng: Rng, factor: float) -> None:
    world.model.geom_friction[:, 0] *= factor


KINDS: Mapping[str, Kind] = {
    "scene_m": Kind("metres that the scene camera stands aside", 0.0, 1.0, _move("scene")),
    "scene_deg": Kind("degrees that the scene camera is turned", 0.0, 90.0, _turn("scene")),
    "wrist_m": Kind("metres that the wrist camera sits aside", 0.0, 0.3, _move("wrist")),
    "wrist_deg": Kind("degrees that the wrist camera is turned", 0.0, 90.0, _turn("wrist")),
    "light": Kind("how bright all lights are, 1 is as learned", 0.0, 5.0, _light),
    "colours": Kind("share of another colour in table and floor", 0.0, 1.0, _colours),
    "distractors": Kind("other objects on the table", 0.0, 4.0, None, _distractors),
    "size": Kind("size of what can be moved, 1 is as learned", 0.5, 1.7, _size, _stand),
    "table_m": Kind("metres that the table is higher", -0.1, 0.1, _table),
    "friction": Kind("friction of everything, 1 is as learned", 0.05, 5.0, _friction),
    "blur": Kind("standard deviation of a blur, pixels", 0.0, 20.0, seen=True),
    "dropped": Kind("share of pictures in whose place the one before stays", 0.0, 1.0, seen=True),
}
STANDARD = (
    "scene_m:0.06", "scene_m:0.15", "scene_deg:10", "wrist_m:0.01", "wrist_deg:5", "light:0.6",
    "light:1.5", "colours:1", "distractors:2", "size:0.85", "size:1.15", "table_m:0.02",
    "table_m:-0.02", "friction:0.6", "blur:2", "dropped:0.5",
)  # fmt: skip


def read_change(text: str) -> tuple[str, float]:
    """Read `kind:amount`. Raises `ConfigError` naming the kinds, or the bounds of one."""
    name, _, amount = text.partition(":")
    return name, _bounded(name, amount, f"--perturb {text}")


def _bounded(name: str, text: str, option: str) -> float:
    """Read an amount. Raises `ConfigError` with the bounds of its kind, or naming the kinds."""
    kind = KINDS.get(name)
    if kind is None:
        told = "; ".join(f"{n}: {k.says}" for n, k in KINDS.items())
        raise ConfigError(f"{option}: needs kind:amount, of {told}")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not kind.low <= value <= kind.high:
        raise ConfigError(f"{option}: {kind.says}, {kind.low:g} to {kind.high:g}")
    return value


@dataclass(frozen=True, slots=True)
class Ranges:
    """Domain randomisation (Tobin et al. 2017): each kind in a share of the episodes."""

    ranges: tuple[tuple[str, float, float], ...]
    share: float = 0.5  # of the episodes that a kind is changed in

    def draw(self, seed: int) -> dict[str, float]:
        """Draw the changes of the episode of `seed`: kind -> amount, uniform in its range."""
        rng = np.random.default_rng([seed, 12])
        drawn = {name: (rng.random(), rng.uniform(low, high)) for name, low, high in self.ranges}
        return {name: float(value) for name, (u, value) in drawn.items() if u < self.share}


def always(change: str) -> Ranges:
    """Make one change, `kind:amount`, in every episode. Raises `ConfigError` as `read_change`."""
    name, amount = read_change(change)
    return Ranges(((name, amount, amount),), 1.0)


def read_ranges(text: str) -> Ranges:
    """Read `kind:low..high,...`. Raises `ConfigError` naming the kinds, or the bounds of one."""
    found = []
    for one in filter(None, text.split(",")):
        name, _, amounts = one.partition(":")
        low, dots, high = amounts.partition("..")
        option = f"--vary {one}"
        pair = (_bounded(name, low, option), _bounded(name, high if dots else low, option))
        if pair[0] > pair[1]:
            raise ConfigError(f"{option}: the lower amount comes first")
        found.append((name, *pair))
    return Ranges(tuple(found))


class Perturber:
    """Changes of one world; `begin` before the task is reset, `started` after it."""

    def __init__(self, world: World, changes: Ranges) -> None:
        self._ranges, self._world = changes, world
        self.drawn: dict[str, float] = {}  # of the present episode: kind -> amount
        for name, _, _ in changes.ranges:
            camera = name.partition("_")[0]
            if camera in {"scene", "wrist"} and camera not in world.cameras:
                raise ConfigError(
                    f"change {name}: robot '{world.robot.name}' has the cameras "
                    f"{', '.join(world.cameras)}"
                )
        model = world.model
        self._kept = {name: getattr(model, name).copy() for name in FIELDS}
        self._lights = {n: getattr(model.vis.headlight, n).copy() for n in HEADLIGHT}
        self._before: dict[str, U8] = {}  # the last picture of each camera

    def begin(self, seed: int) -> None:
        """Put the world back as it was and change it for the episode of `seed`."""
        model = self._world.model
        for name, value in self._kept.items():
            getattr(model, name)[:] = value
        for name, value in self._lights.items():
            getattr(model.vis.headlight, name)[:] = value
        self._rng = np.random.default_rng([seed, 11])
        self._before.clear()
        self.drawn = self._ranges.draw(seed)
        for name, amount in self.drawn.items():
            change = KINDS[name].before
            if change is not None:
                change(self._world, self._rng, amount)

    def started(self) -> None:
        """Change what the task has put somewhere."""
        for name, amount in self.drawn.items():
            change = KINDS[name].after
            if change is not None:
                change(self._world, self._rng, amount)

    def see(self, camera: str, picture: U8) -> U8:
        """Return what a camera gives in place of `picture` [H, W, 3]."""
        blur, dropped = self.drawn.get("blur", 0.0), self.drawn.get("dropped")
        if blur:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
        if dropped is not None:
            drop = camera in self._before and self._rng.random() < dropped
            picture = self._before[camera] if drop else picture
            self._before[camera] = picture
        return picture


def _direction(rng: Rng) -> F64:
    drawn = rng.standard_normal(3)
    return np.asarray(drawn / np.linalg.norm(drawn))

"""What a policy sees of a simulated world: pictures, joints, objects where its state has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from arfm_ros.core.chunks.reuse import ViewReuse
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32, U8, Observation
from arfm_ros.core.values.history import Recent
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.robots.objects import object_of, object_state, seen_from
from arfm_ros.sim.view.render import Renderer
from arfm_ros.sim.world import World

Alter = Callable[[str, U8], U8]  # camera, picture -> what is seen in its place


class Senses:
    """The inputs of one policy in one world; used in the thread that made it (one GL context)."""

    def __init__(self, spec: PolicySpec, world: World, size: tuple[int, int]) -> None:
        """Open cameras of `size` (height, width); `ConfigError` for another robot's policy."""
        self._spec, self._world = spec, world
        cameras = tuple(c.name for c in spec.cameras)
        self._renderer = Renderer(world.model, *size, cameras)
        self._numbers = tuple(n for n in spec.state_names if n not in world.robot.names)
        _check_spec(spec, world, self._numbers)
        self._objects = sorted({object_of(name)[0] for name in self._numbers})
        self.alter: Alter | None = None  # what stands between the cameras and the policy
        self.views = ViewReuse[U8]()  # a camera's picture before, in place of one like it
        self.forget()

    def forget(self) -> None:
        """Begin an episode: what was seen before does not count."""
        self._recent = Recent(self._spec.history)
        self.views.forget()

    def picture(self, camera: str) -> U8:
        """Render what a camera of the policy sees now."""
        picture = self._renderer.render(self._world.data, camera)
        return picture if self.alter is None else self.alter(camera, picture)

    def observe(self, instruction: str) -> Observation:
        """Return what the policy sees now, with the earlier observations of its history."""
        world = self._world
        world.tool_pose()  # brings the poses that are drawn up to date
        images: Mapping[str, U8] = {c.name: self._view(c.name) for c in self._spec.cameras}
        return self._recent.join(Observation(images, self.state(), instruction, world.time_ns))

    def _view(self, camera: str) -> U8:
        image = self.picture(camera)
        return self.views.of(camera, image, image.copy) if self.views.limit else image

    def state(self) -> F32:
        """Return the state [S] alone, as it is now."""
        world = self._world
        state = world.measured().astype(np.float32)
        if self._numbers:
            poses = {n: np.concatenate(world.object_pose(n))[None] for n in self._objects}
            numbers = object_state(self._numbers, state[None], world.robot.names, poses)[0]
            state = np.append(state, numbers)
        return np.asarray(state, dtype=np.float32)

    def close(self) -> None:
        """Free the GL context of the cameras."""
        self._renderer.close()


def _check_spec(spec: PolicySpec, world: World, numbers: tuple[str, ...]) -> None:
    robot = world.robot
    if spec.action_names != robot.names:
        raise ConfigError(
            f"the policy's actions are {', '.join(spec.action_names)}; "
            f"robot '{robot.name}' has {', '.join(robot.names)}"
        )
    if numbers:
        seen_from(robot.names)

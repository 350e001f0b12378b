"""What the cameras of the simulated robot see."""

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.view.render import Renderer, SceneState, Stage
from arfm_ros.sim.world import World

READY = (0.0, 0.3, 0.0, -2.2, 0.0, 2.5, np.pi / 4)
COLOURS = {"cube": (0.85, 0.12, 0.10), "puck": (0.10, 0.62, 0.22), "marker": (0.10, 0.25, 0.90)}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def renderer(world):
    renderer = Renderer(world.model)
    yield renderer
    renderer.close()


def coloured(image: np.ndarray, name: str) -> int:
    """Count pixels whose hue is that of an object, in any light."""
    pixels = image.reshape(-1, 3).astype(float) / 255.0
    bright = pixels[pixels.max(axis=1) - pixels.min(axis=1) > 0.25]
    if not len(bright):
        return 0
    wanted = np.array(COLOURS[name]) - np.mean(COLOURS[name])
    centred = bright - bright.mean(axis=1, keepdims=True)
    cosine = centred @ wanted / (np.linalg.norm(centred, axis=1) * np.linalg.norm(wanted))
    return int((cosine > 0.95).sum())


def test_an_image_is_rgb_of_the_size_asked_for_and_belongs_to_the_caller(world, renderer):
    world.reset(READY)
    first = renderer.render(world.data, "scene")
    assert first.shape == (240, 320, 3) and first.dtype == np.uint8
    kept = first.copy()
    renderer.render(world.data, "wrist")
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("name", COLOURS)
def test_an_object_on_the_table_is_seen_by_both_cameras_and_a_parked_one_by_none(
    world, renderer, name
):
    world.reset(READY)
    for camera in ("scene", "wrist"):
        assert coloured(renderer.render(world.data, camera), name) == 0
    tool, _ = world.tool_pose()
    world.place(name, (tool[0] + 0.06, tool[1] + 0.03, 0.05))
    world.tool_pose()
    for camera in ("scene", "wrist"):
        assert coloured(renderer.render(world.data, camera), name) > 40


def test_the_scene_camera_sees_the_whole_workspace(world, renderer):
    for x in (0.3, 0.75):
        for y in (-0.33, 0.33):
            world.reset()
            world.place("cube", (x, y, 0.0225))
            world.tool_pose()
            assert coloured(renderer.render(world.data, "scene"), "cube") > 30


def test_the_intrinsics_project_a_point_to_the_pixel_where_it_is_drawn(world, renderer):
    world.reset()
    at = np.array((0.55, -0.2, 0.1))
    world.place("marker", at)
    world.tool_pose()
    image = renderer.render(world.data, "scene").astype(int)
    blue = (image[..., 2] - image[..., 0] > 80) & (image[..., 2] - image[..., 1] > 60)
    rows, columns = np.nonzero(blue)
    camera = world.data.camera("scene")
    ray = camera.xmat.reshape(3, 3).T @ (at - camera.xpos)
    pinhole = renderer.intrinsics["scene"]
    column = pinhole.cx + pinhole.fx * ray[0] / -ray[2]
    row = pinhole.cy - pinhole.fy * ray[1] / -ray[2]
    assert abs(columns.mean() + 0.5 - column) < 1.0 and abs(rows.mean() + 0.5 - row) < 1.0


def test_a_stage_shows_what_the_world_showed(world, renderer):
    world.reset(READY)
    world.place("cube", (0.5, 0.0, 0.0225), 0.3)
    world.place("zone", (0.45, -0.2, 0.001))
    world.step(50)
    world.tool_pose()
    stage = Stage(world.model)
    stage.show(SceneState.of(world.data))
    for camera in ("scene", "wrist"):
        there, here = renderer.render(world.data, camera), renderer.render(stage.data, camera)
        assert np.array_equal(there, here)


def test_an_unknown_camera_is_named_with_those_that_exist(world):
    with pytest.raises(ConfigError, match="ceiling.*scene, wrist"):
        Renderer(world.model, cameras=("ceiling",))

"""Changed worlds: each kind changes what it says, for one episode, by the seed alone."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from arfm_ros.bringup import find_bundle
from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError
from arfm_ros.engines import load_bundle
from arfm_ros.robots.files.load import load_robot
from arfm_ros.sim.perturb import (
    FIELDS,
    KINDS,
    STANDARD,
    Perturber,
    always,
    read_change,
    read_ranges,
)
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.view.render import Renderer
from arfm_ros.sim.world import World

CHANGED = {  # kind: what of the model it changes
    "scene_m": {"cam_pos"},
    "scene_deg": {"cam_quat"},
    "wrist_m": {"cam_pos"},
    "wrist_deg": {"cam_quat"},
    "light": {"light_diffuse"},
    "colours": {"geom_rgba"},
    "distractors": set(),
    "size": {"geom_size", "body_mass", "body_inertia", "geom_rbound", "geom_aabb"},
    "table_m": {"body_pos"},
    "friction": {"geom_friction"},
    "blur": set(),
    "dropped": set(),
}
AMOUNT = dict(read_change(one) for one in STANDARD) | {"friction": 0.6}


def start(world: World, changed: Perturber, seed: int) -> None:
    changed.begin(seed)
    make_task("lift").reset(world, np.random.default_rng(seed))
    changed.started()


def fields(world: World) -> dict[str, np.ndarray]:
    return {name: getattr(world.model, name).copy() for name in FIELDS}


@pytest.mark.parametrize("name", KINDS)
def test_a_change_is_what_it_says_and_gone_with_the_next_world(name: str) -> None:
    world = World()
    before = fields(world)
    changed = Perturber(world, always(f"{name}:{AMOUNT[name]}"))
    start(world, changed, 7)
    first = fields(world)
    assert {k for k in FIELDS if not np.array_equal(before[k], first[k])} == CHANGED[name]
    start(world, changed, 8)
    start(world, changed, 7)  # by the seed alone, and nothing adds up
    assert all(np.array_equal(first[k], fields(world)[k]) for k in FIELDS)
    Perturber(world, always("blur:0")).begin(7)
    for kind in KINDS:
        bound = KINDS[kind]
        with pytest.raises(ConfigError, match=bound.says.split(",")[0]):
            read_change(f"{kind}:{bound.high + 1}")


def test_pictures_change_as_said_and_a_dropped_one_is_the_one_before() -> None:
    world = World()
    renderer = Renderer(world.model, 96, 128, ("scene",))
    plain = Perturber(world, always("blur:0"))
    start(world, plain, 3)
    world.tool_pose()
    as_learned = renderer.render(world.data, "scene").astype(float)
    bounds = {"light:0.6": (5.0, 90.0), "colours:1": (5.0, 120.0), "blur:3": (0.2, 20.0)}
    for change, (low, high) in bounds.items():
        changed = Perturber(world, always(change))
        start(world, changed, 3)
        world.tool_pose()
        seen = changed.see("scene", renderer.render(world.data, "scene"))
        assert low < np.abs(seen.astype(float) - as_learned).mean() < high, change
        plain.begin(3)
    renderer.close()
    dropped = Perturber(world, always("dropped:0.5"))
    dropped.begin(1)
    shown = [np.full((2, 2, 3), k, np.uint8) for k in range(200)]
    seen = [int(dropped.see("scene", one)[0, 0, 0]) for one in shown]
    repeated = [k for k in range(1, 200) if seen[k] == seen[k - 1]]
    assert all(seen[k] in {k, seen[k - 1]} for k in range(1, 200)) and 70 < len(repeated) < 130


def test_distractors_lie_apart_and_a_larger_cube_stands_on_the_table() -> None:
    world = World()
    start(world, Perturber(world, always("distractors:2")), 5)
    there = {n: p for n in world.objects if (p := world.object_pose(n)[0])[2] > -0.5}
    assert len(there) == 4 and {"cube", "marker"} < set(there)
    flat = [p[:2] for p in there.values()]
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(flat) for b in flat[:i]]
    assert min(gaps) > 0.09
    world = World()
    start(world, Perturber(world, always("size:1.15")), 5)
    assert world.object_pose("cube")[0][2] == pytest.approx(0.0225 * 1.15)
    world.step(300)
    assert world.object_pose("cube")[0][2] == pytest.approx(0.0225 * 1.15, abs=1e-3)


def test_another_robot_stands_lower_and_cameras_that_it_lacks_are_named() -> None:
    world = World(load_robot("ur5e"))
    tool = world.tool_pose()[0]
    changed = Perturber(world, always("table_m:0.02"))
    changed.begin(0)
    world.reset()
    assert world.tool_pose()[0] - tool == pytest.approx([0, 0, -0.02], abs=1e-9)
    blind = World(load_robot("iiwa14"))
    if "wrist" not in blind.cameras:
        with pytest.raises(ConfigError, match="iiwa14' has the cameras"):
            Perturber(blind, always("wrist_m:0.01"))


def test_a_range_changes_half_of_the_worlds_each_by_its_own_amount() -> None:
    vary = read_ranges("light:0.5..1.6,distractors:2")
    drawn = [vary.draw(seed) for seed in range(400)]
    assert drawn == [vary.draw(seed) for seed in range(400)]
    lights = [one["light"] for one in drawn if "light" in one]
    assert 160 < len(lights) < 240 and 0.5 <= min(lights) < 0.55 < 1.55 < max(lights) <= 1.6
    both = sum(set(one) == {"light", "distractors"} for one in drawn)
    assert 70 < both < 130 and all(one.get("distractors", 2.0) == 2.0 for one in drawn)
    assert read_ranges("").draw(3) == {}
    for wrong, said in {
        "fog:1..2": "needs kind:amount, of scene_m",
        "light:1..9": "0 to 5",
        "light:..2": "0 to 5",
        "light:2..1": "the lower amount comes first",
    }.items():
        with pytest.raises(ConfigError, match=f"--vary {wrong}: .*{said}"):
            read_ranges(wrong)


def test_a_policy_is_judged_in_the_changed_world_and_its_card_says_so(tmp_path: Path) -> None:
    bundle = Path(copytree(find_bundle(""), tmp_path / "bundle"))
    words = ["--task", "reach", "--episodes", "1", "--workers", "1", "--perturb", "light:0"]
    words += ["--card", "--json", str(tmp_path / "found.json")]
    assert main(["eval", str(bundle), *words]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    rates = {cell.get("perturb", ""): cell["success_rate"] for cell in found["cells"]}
    assert rates == {"": 1.0, "light:0": 0.0}  # in the dark it sees nothing at all
    (compared,) = found["comparisons"]
    assert (compared["b"]["perturb"], compared["difference"]) == ("light:0", -1.0)
    assert "| light:0 | 0 % " in (bundle / "README.md").read_text()


def test_told_of_another_task_it_leaves_the_world_s_own_undone(tmp_path: Path) -> None:
    bundle = Path(copytree(find_bundle(""), tmp_path / "bundle"))
    words = ["--task", "reach", "--task", "lift", "--episodes", "1", "--workers", "1"]
    words += ["--told", "reach", "--card", "--json", str(tmp_path / "found.json")]
    perturbed = (bundle / "perturbed.json").read_text()
    assert main(["eval", str(bundle), *words]) == 0
    cells = json.loads((tmp_path / "found.json").read_text())["cells"]
    rates = {(one["task"], one.get("perturb", "")): one["success_rate"] for one in cells}
    assert rates == {("reach", ""): 1.0, ("lift", ""): 1.0, ("lift", "told:reach"): 0.0}
    said = load_bundle(bundle).spec.instructions["reach"]
    episodes = next(one for one in cells if one.get("perturb"))["episodes"]
    assert [one["instruction"] for one in episodes] == [said]
    assert "| reach |  | 0 % " in (bundle / "README.md").read_text()
    assert (bundle / "perturbed.json").read_text() == perturbed  # what was measured before stays


def test_words_for_no_task_and_a_card_of_nothing_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["eval", "fr3_tabletop", "--told", "dance", "--episodes", "1"]) == 1
    assert "no instruction for 'dance', but for: " in capsys.readouterr().err
    assert main(["eval", "fr3_tabletop", "--card", "--episodes", "1"]) == 1
    assert "give one of them too" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["moon:1", "light", "light:often", "light:-1", "size:9"])
def test_what_is_no_change_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--perturb {text}: "):
        read_change(text)

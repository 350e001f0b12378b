"""Every step of LeRobot's saved processors, and every setting of one: reproduced or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.lerobot.processors import AFTER, BEFORE, Processors, read_processors
from arfm_ros.export.lerobot.steps import NORMALIZER, RELATIVE, TOKENIZER, UNNORMALIZER, Order

torch = pytest.importorskip("torch")
ORDER = Order(("pi0_new_line_processor", TOKENIZER, RELATIVE, NORMALIZER))
NORMS = {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
Step = dict[str, Any]


def step(name: str, **config: Any) -> Step:
    return {"registry_name": name, "config": config}


def normalises(name: str, file: str) -> Step:
    settings = {"eps": 1e-8, "features": {"observation.state": {}}, "norm_map": NORMS}
    return step(name, **settings) | {"state_file": file}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Processors]:
    """Write both pipelines as LeRobot 0.6 has them, with changes, and read them."""
    from safetensors.numpy import save_file

    numbers = {"mean": np.zeros(2, np.float32), "std": np.ones(2, np.float32)}
    both = {f"{n}.{k}": v for n in ("observation.state", "action") for k, v in numbers.items()}
    save_file(both, tmp_path / "s.safetensors")

    def written(change: Callable[[list[Step], list[Step]], object]) -> Processors:
        before = [
            step("rename_observations_processor", rename_map={}),
            step("to_batch_processor"),
            step("pi0_new_line_processor"),
            step(TOKENIZER, max_length=48, task_key="task", padding_side="right"),
            step("device_processor", device="cuda", float_dtype=None),
            step("relative_actions_processor", enabled=False, exclude_joints=["gripper"]),
            normalises(NORMALIZER, "s.safetensors"),
        ]
        after = [
            normalises(UNNORMALIZER, "s.safetensors"),
            step("absolute_actions_processor", enabled=False),
            step("device_processor", device="cpu"),
        ]
        change(before, after)
        for name, steps in ((BEFORE, before), (AFTER, after)):
            (tmp_path / name).write_text(json.dumps({"steps": steps}))
        return read_processors(tmp_path, 2, 2, ORDER)

    return written


@pytest.mark.parametrize("name", ["relative_actions_processor", "delta_actions_processor"])
def test_relative_actions_are_read_by_both_of_their_names(write: Any, name: str) -> None:
    def change(before: list[Step], after: list[Step]) -> None:
        before[5] = step(name, enabled=True, exclude_joints=["gripper"])
        after[1]["config"]["enabled"] = True

    assert write(change).relative == {"enabled": True, "exclude_joints": ["gripper"]}
    assert not write(lambda before, after: None).relative["enabled"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b, a: b.insert(2, step("image_crop_resize_processor")), "image_crop_resize"),
        (lambda b, a: a.append(step("inverse_kinematics_ee_to_joints")), "inverse_kinematics"),
        (lambda b, a: b.append({"class": "my.own.Step", "config": {}}), "my.own.Step before"),
        (lambda b, a: a[1]["config"].update(enabled=True), "offsets after the policy only"),
        (lambda b, a: b[5]["config"].update(enabled=True), "offsets before the policy only"),
        (lambda b, a: b.append(b[0]), "rename_observations_processor twice"),
        (lambda b, a: b.pop(2), "exported are pi0_new_line_processor, tokenizer"),
        (lambda b, a: b.insert(2, b.pop(3)), "exported are .*, in this order"),
        (lambda b, a: b[3]["config"].update(task_key="goal"), 'has task_key = "goal"'),
        (lambda b, a: b[3]["config"].update(padding_side="left"), 'padding_side = "left"'),
        (lambda b, a: b[4]["config"].update(float_dtype="float16"), 'float_dtype = "float16"'),
        (lambda b, a: b[6]["config"].update(eps=1e-3), "has eps = 0.001"),
        (lambda b, a: b[6]["config"].update(normalize_observation_keys=["x"]), "observation_keys"),
        (lambda b, a: b[2]["config"].update(shout=True), "has shout = true"),
        (lambda b, a: b[6]["config"].update(norm_map=NORMS | {"VISUAL": "MEAN_STD"}), "VISUAL ="),
        (
            lambda b, a: b[0]["config"].update(rename_map={"observation.state": "x"}),
            "renames the policy's own observation.state",
        ),
    ],
)
def test_what_is_not_reproduced_is_refused_by_name(write: Any, change: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        write(change)

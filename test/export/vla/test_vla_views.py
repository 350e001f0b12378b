"""A graph of one picture apart from the prefix: the same outputs, and cameras reused by name.

Run by `./arfm test --vla`, in the environment that has LeRobot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")

import torch  # noqa: E402
from lerobot_rig import NEWER, WORDS, save_checkpoint, write_interface  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.values.data import Observation  # noqa: E402
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)  # small tensors: more threads only wait for each other
KINDS = [pytest.param("pi0", marks=NEWER), pytest.param("pi05", marks=NEWER), "smolvla"]
LIMIT = LIMITS["fp32"].step


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[tuple[Path, Path]]:
    """Export one checkpoint whole, and by view."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        source = f"lerobot:{save_checkpoint(request.param, folder, patch)}"
        words = ["--interface", str(write_interface(folder / "robot.yaml")), "--out"]
        assert main(["export", source, *words, str(folder / "whole")]) == 0
        assert main(["export", source, "--views", *words, str(folder / "split")]) == 0
        yield folder / "whole", folder / "split"


def opened(bundle: Path) -> EnginePolicy:
    policy = load_policy(bundle, threads=1)
    assert isinstance(policy, EnginePolicy)
    return policy


def encoded(policy: EnginePolicy, seen: Observation) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in policy.encode(seen).tensors.items()}


def assert_same(found: dict[str, Any], wanted: dict[str, Any], limit: float = 1e-5) -> None:
    assert found.keys() == wanted.keys()
    gap = max(float(np.abs(found[name] - wanted[name]).max()) for name in wanted)
    assert gap <= limit, gap


def test_the_split_graphs_pass_the_gate_and_give_the_whole_prefix_s_context(
    pair: tuple[Path, Path],
) -> None:
    whole, split = map(opened, pair)
    assert load_bundle(pair[1]).graphs == ("view", "prefix", "step", "step_rtc")
    assert whole.views is None and split.views is not None
    parity = replay(split, load_reference(pair[1]))
    assert parity.passed and 0 < parity.max_step_error <= LIMIT
    assert parity.max_chunk_error <= LIMIT
    assert main(["check", str(pair[1]), "--json", "-"]) == 0
    for seed in range(3):
        seen = replace(whole.spec.example(seed), instruction=WORDS[seed])
        assert_same(encoded(split, seen), encoded(whole, seen))
    assert split.views.reused == 0 and split.views.encoded > 0


def test_only_the_camera_that_shows_something_else_is_encoded(pair: tuple[Path, Path]) -> None:
    policy = opened(pair[1])
    views = policy.views
    assert views is not None
    views.limit = 2.0
    seen = replace(policy.spec.example(0), instruction=WORDS[0])
    first = encoded(policy, seen)
    assert (views.encoded, views.reused) == (2, 0)
    assert_same(encoded(policy, seen), first, 0.0)
    assert (views.encoded, views.reused) == (2, 2)
    other = replace(seen, images={**seen.images, "wrist": 255 - seen.images["wrist"]})
    assert_same(encoded(policy, other), encoded(opened(pair[0]), other))
    assert (views.encoded, views.reused) == (3, 3)
    # another state and other words: the pictures' tokens hold, the context is a new one
    told = replace(seen, instruction=WORDS[1], state=seen.state + 0.3, images=other.images)
    assert_same(encoded(policy, told), encoded(opened(pair[0]), told))
    assert (views.encoded, views.reused) == (3, 5)


def test_slow_changes_add_up_and_a_limit_of_0_encodes_always(pair: tuple[Path, Path]) -> None:
    policy, views = (found := opened(pair[1])), found.views
    assert views is not None
    seen = policy.spec.example(0)
    grey = {name: np.full_like(image, 100) for name, image in seen.images.items()}
    views.limit = 2.0
    for step in range(6):  # 0, 1, 2 are the first's; 3, 4, 5 that of 3
        images = {name: image + np.uint8(step) for name, image in grey.items()}
        context = encoded(policy, replace(seen, images=images))
        if step == 2:
            assert_same(context, encoded(policy, replace(seen, images=grey)), 0.0)
    assert (views.encoded, views.reused) == (4, 10)
    views.limit = 0.0
    encoded(policy, replace(seen, images=images))
    encoded(policy, replace(seen, images=images))
    assert (views.encoded, views.reused) == (8, 10)


def test_a_half_precision_build_has_the_graph_of_a_picture_too(pair: tuple[Path, Path]) -> None:
    assert main(["export", str(pair[1]), "--precision", "int8"]) == 0
    policy = load_policy(pair[1], threads=1, precision="int8")
    assert isinstance(policy, EnginePolicy) and policy.views is not None
    policy.encode(policy.spec.example(0))
    assert policy.views.encoded == 2

"""Laws of reusing a context: only for the same sight, state and instruction, never drifting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arfm_ros.core.chunks.reuse import ContextReuse, Sameness, ViewReuse, difference
from arfm_ros.core.values.data import Context, Observation

LIMIT = Sameness(image=1.0, state=0.01)


def observe(stamp_ns: int = 0, level: float = 100.0, at: float = 0.0) -> Observation:
    images = {name: np.full((96, 128, 3), level, np.uint8) for name in ("scene", "wrist")}
    return Observation(images, np.full(8, at, np.float32), "lift", stamp_ns)


@pytest.fixture
def kept() -> ContextReuse:
    reuse, seen = ContextReuse(), observe()
    reuse.keep(seen, Context({"keys": np.ones((1, 2))}, seen.state, 0, encode_ns=5))
    return reuse


def test_the_same_sight_gives_the_context_at_the_new_stamp_and_state(kept: ContextReuse) -> None:
    context = kept.find(observe(7, at=0.005), LIMIT)
    assert context is not None and kept.count == 1
    assert context.stamp_ns == 7 and context.encode_ns == 0
    np.testing.assert_allclose(context.state, 0.005)
    np.testing.assert_array_equal(context.tensors["keys"], np.ones((1, 2)))


@pytest.mark.parametrize(
    "other",
    [
        observe(level=102.0),
        observe(at=0.02),
        replace(observe(), instruction="push"),
        replace(observe(), images={"scene": observe().images["scene"]}),
        replace(observe(), images={n: i[:48] for n, i in observe().images.items()}),
    ],
)
def test_another_sight_state_instruction_or_camera_does_not(
    kept: ContextReuse, other: Observation
) -> None:
    assert kept.find(other, LIMIT) is None and kept.count == 0


def test_one_changed_camera_is_enough(kept: ContextReuse) -> None:
    seen = observe()
    seen.images["wrist"][:] += 3
    assert kept.find(seen, LIMIT) is None


def test_slow_changes_add_up(kept: ContextReuse) -> None:
    found = [kept.find(observe(i, at=0.004 * i), LIMIT) for i in range(5)]
    assert [context is not None for context in found] == [True, True, True, False, False]


def test_nothing_is_reused_without_a_limit_or_before_anything_was_seen(
    kept: ContextReuse,
) -> None:
    assert kept.find(observe(), Sameness()) is None
    assert ContextReuse().find(observe(), LIMIT) is None


def test_the_kept_image_is_a_copy(kept: ContextReuse) -> None:
    seen = observe()
    kept.keep(seen, Context({}, seen.state, 0))
    seen.images["scene"][:] = 0
    assert kept.find(observe(), LIMIT) is not None


def test_the_difference_is_in_grey_levels_of_the_worst_camera() -> None:
    before, after = observe().images, observe(level=98.0).images
    after["wrist"][:] = 110
    assert difference(before, after) == pytest.approx(10.0)
    large = {"scene": np.zeros((480, 640, 3), np.uint8)}
    assert difference(large, {"scene": np.full((480, 640, 3), 7, np.uint8)}) == 7.0


def test_a_camera_s_part_holds_until_its_own_picture_changed_and_slow_changes_add_up() -> None:
    reuse, level = ViewReuse[int](limit=2.0), 100
    made = iter(range(99))

    def of(camera: str, level: int) -> int:
        return reuse.of(camera, np.full((96, 128, 3), level, np.uint8), lambda: next(made))

    assert [of("scene", level + step) for step in range(6)] == [0, 0, 0, 1, 1, 1]
    assert of("wrist", level) == 2 and of("scene", level + 5) == 1
    assert (reuse.encoded, reuse.reused) == (3, 5)
    reuse.forget()
    assert of("scene", level + 5) == 3
    reuse.limit = 0.0
    assert [of("scene", level + 5) for _ in range(2)] == [4, 5]


def test_a_picture_of_another_size_is_another_picture() -> None:
    reuse = ViewReuse[int](limit=255.0)
    assert reuse.of("scene", np.zeros((4, 4, 3), np.uint8), lambda: 0) == 0
    assert reuse.of("scene", np.zeros((8, 4, 3), np.uint8), lambda: 1) == 1

"""Laws of what a camera has to do to be believed."""

from __future__ import annotations

import numpy as np
import pytest
from policy_rig import NAMES, write_bundle

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.senses import PictureWatch, Stillness
from arfm_ros.core.values.spec import Axis
from arfm_ros.engines import load_bundle

MS = 1_000_000
LIMIT = Stillness(after_ns=500 * MS, motion=0.1)
WAY = tuple((10 * n, 0.01 * min(n, 42 - n)) for n in range(43))  # to 0.21 and back
A, B = b"a" * 100, b"b" * 100


def joints(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def look(watch: PictureWatch, ms: int, picture: bytes, *at: float) -> str:
    return watch.still_trouble("scene", ms * MS, picture, joints(*at))


def moved_by(way: np.ndarray) -> float:
    """How far a joint went on a way [N, J], its largest step left out."""
    steps = np.diff(way, axis=0)
    if not len(steps):
        return 0.0
    largest = np.take_along_axis(steps, np.abs(steps).argmax(axis=0)[None], axis=0)[0]
    return float(np.abs(steps.sum(axis=0) - largest).max())


@pytest.mark.parametrize("seed", range(20))
def test_a_camera_is_frozen_exactly_while_it_repeats_before_an_arm_that_moved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    watch, q, ms = PictureWatch(LIMIT), np.zeros(3, np.float32), 0
    seen: list[tuple[int, bytes, np.ndarray]] = []
    for _ in range(200):
        ms += int(rng.integers(20, 150))  # no arm that jumps
        q = q + rng.normal(0, 0.02, 3).astype(np.float32)
        picture = rng.choice([A, B], p=[0.85, 0.15])
        seen.append((ms, bytes(picture), q))
        run = []
        for one in reversed(seen):
            if one[1] != bytes(picture):
                break
            run.append(one)
        way = np.array([one[2] for one in run[::-1]], np.float64)
        moved = max(moved_by(way[: n + 1]) for n in range(len(way)))
        if abs(moved - 0.1) < 1e-6:
            continue  # rounding
        frozen = ms - run[-1][0] > 500 and moved > 0.1
        assert bool(watch.still_trouble("scene", ms * MS, bytes(picture), q)) == frozen


def test_a_still_scene_before_a_still_arm_is_never_frozen() -> None:
    watch = PictureWatch(LIMIT)
    assert not any(look(watch, ms, A, 0.05 * (ms % 2)) for ms in range(0, 100_000, 33))


def test_an_arm_that_moved_and_came_back_did_move() -> None:
    watch = PictureWatch(LIMIT)
    assert not any(look(watch, ms, A, q) for ms, q in WAY)
    assert "frozen: the same picture for 0.6 s while a joint moved by 0.2 rad" in look(
        watch, 600, A, 0.0
    )
    assert look(watch, 700, B, 0.0) == ""


def test_a_joint_that_is_read_wrong_for_a_while_did_not_move() -> None:
    watch, path = (
        PictureWatch(LIMIT),
        [(ms * MS, 0.4 * (100 < ms < 900)) for ms in range(0, 1200, 10)],
    )

    def since(stamp_ns: int) -> list[tuple[int, np.ndarray]]:
        return [(ns, joints(q)) for ns, q in path if ns > stamp_ns and ns < now_ms * MS]

    for now_ms in range(0, 1200, 200):
        q = 0.4 * (100 < now_ms < 900)
        assert watch.still_trouble("scene", now_ms * MS, A, joints(q), since) == ""
    now_ms = 1150  # a step that none looked at
    assert watch.still_trouble("scene", 1400 * MS, A, joints(0.4), since) == ""
    assert watch.still_trouble("scene", 1800 * MS, A, joints(0.0), since) == ""
    path += [((2000 + ms) * MS, 0.5 * ms / 1000) for ms in range(0, 400, 10)]  # it does move
    now_ms = 2400
    assert "moved by 0.19 rad" in watch.still_trouble("scene", now_ms * MS, A, joints(0.2), since)


@pytest.mark.parametrize("late_ms", [2, 10, 40, 90, 140])
def test_an_arm_that_is_put_elsewhere_did_not_move_however_late_that_is_told(late_ms: int) -> None:
    """A simulated episode begins anew while the machine stands still for a moment."""
    watch, path = PictureWatch(LIMIT), [(0, 0.0), (late_ms * MS, 0.3)]
    path += [((late_ms + ms) * MS, 0.3) for ms in range(4, 5000, 4)]

    def since(stamp_ns: int) -> list[tuple[int, np.ndarray]]:
        return [(ns, joints(q)) for ns, q in path if stamp_ns < ns < now_ms * MS]

    for now_ms in range(0, 5000, 100):
        q = 0.3 * (now_ms >= late_ms)
        assert watch.still_trouble("scene", now_ms * MS, A, joints(q), since) == ""


def test_joints_that_were_measured_just_before_a_jump_make_no_motion_of_it() -> None:
    """What is measured with a picture lies within a tolerance of it: before the jump, say."""
    watch = PictureWatch(LIMIT)
    path = [(ms * MS, 0.0 if ms < 1000 else 0.15) for ms in range(0, 4000, 40)]  # a busy machine

    def since(stamp_ns: int) -> list[tuple[int, np.ndarray]]:
        return [(ns, joints(q)) for ns, q in path if stamp_ns < ns < now_ms * MS]

    for now_ms in (970, 1030, 1200, 2000, 3000):
        q = 0.0 if now_ms < 1040 else 0.15  # the first two are of 40 ms before
        assert watch.still_trouble("scene", now_ms * MS, A, joints(q), since) == ""


def test_cameras_are_judged_each_for_itself_and_0_judges_none() -> None:
    watch, off = PictureWatch(LIMIT), PictureWatch(Stillness(0, 0.1))
    for ms, q in [(100 * k, 0.1 * k) for k in range(11)]:
        off_said = look(off, ms, A, q)
        wrist = watch.still_trouble("wrist", ms * MS, A + bytes([ms // 500]), joints(q))
        scene = look(watch, ms, A, q)
    assert "camera scene is frozen" in scene and wrist == off_said == ""


def test_a_restarted_clock_begins_anew() -> None:
    watch = PictureWatch(LIMIT)
    assert look(watch, 10_000, A, 0.0) == look(watch, 0, A, 1.0) == look(watch, 100, A, 1.0) == ""


def test_the_size_is_that_of_the_first_picture_unless_it_is_configured() -> None:
    watch = PictureWatch(LIMIT, {"wrist": (48, 64)})
    wanted = (96, 128)
    assert "camera scene sends 10 x 10, too little for the 128 x 96" in watch.size_trouble(
        "scene", (10, 10), wanted
    )
    assert watch.size_trouble("scene", (480, 640), wanted) == ""
    assert "sends 320 x 240, needs 640 x 480 (as its first" in watch.size_trouble(
        "scene", (240, 320), wanted
    )
    assert watch.size_trouble("scene", (480, 640), wanted) == ""
    assert "needs 64 x 48 (camera_sizes)" in watch.size_trouble("wrist", (480, 640), wanted)
    assert watch.size_trouble("wrist", (48, 64), wanted) == ""


def test_a_state_is_believed_up_to_its_limits_and_a_share_of_its_range(tmp_path) -> None:
    from dataclasses import replace

    spec = load_bundle(write_bundle(tmp_path / "b")).spec
    axes = (Axis("fr3_joint1", "rad", -2.0, 2.0), *spec.state[1:])
    spec = replace(spec, state=axes)
    state = np.zeros(8, np.float32)
    for value, fine in ((2.1, True), (-2.19, True), (2.21, False), (1e30, False), (-9.0, False)):
        state[0] = value
        if fine:
            spec.check_limits(state, 0.05)
            continue
        with pytest.raises(SpecError, match="fr3_joint1 is .* rad, runs from -2 to 2.*limit_tol"):
            spec.check_limits(state, 0.05)
    state[:] = (0, 1e5, 1e30, 0, 0, 0, 0, np.inf)
    with pytest.raises(SpecError, match=f"{NAMES[2]} is 1e.30 rad.*{NAMES[7]} is inf"):
        spec.check_limits(state, 0.05)

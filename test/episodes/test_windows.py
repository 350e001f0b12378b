"""Episodes as arrays: every value is the newest at its instant, commands are read in between."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.windows import EpisodeArrays, action_chunk, read_episode
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
NAMES = ("j1", "j2", "gripper")
SIZE = {"scene": (48, 64), "wrist": (24, 32)}


def picture(n: int) -> np.ndarray:
    return np.full((48, 64, 3), (n % 200, 2 * n % 200, 100), dtype=np.uint8)


def write(folder: Path, prefix: str = "", jpeg: bool = False, label: bool = True) -> Path:
    """Joints at 100 Hz from 25 ms on; scene at 20 Hz from 0; wrist 10 ms later; commands 50 Hz."""
    items = []
    for n in range(100):
        t = 25 + 10 * n
        items.append((t, "/joint_states", messages.joint_state(T0 + t * MS, NAMES[:2], [t, -t])))
        items.append((
            t,
            "/gripper/joint_states",
            messages.joint_state(T0 + t * MS, ["gripper"], [t]),
        ))
    for n in range(20):
        for camera, late in (("scene", 0), ("wrist", 10)):
            t = 50 * n + late
            if jpeg:
                data = cv2.imencode(".jpg", picture(n)[..., ::-1])[1].tobytes()
                image = messages.compressed_image(T0 + t * MS, data)
            else:
                image = messages.image(T0 + t * MS, picture(n))
            items.append((t, f"/{camera}/image_raw" + "/compressed" * jpeg, image))
    for n in range(60):
        t = 20 * n
        command = messages.joint_state(T0 + t * MS, (*NAMES[::-1],), [3 * t, 2 * t, t])
        items.append((t, "/arbiter/command", command))
    items.append((0, "/instruction", messages.string("pick it up")))
    items.append((0, "/arbiter/authority", messages.string("policy")))
    items.append((500, "/arbiter/authority", messages.string("human")))
    writer = EpisodeWriter(folder)
    for t, topic, message in sorted(items, key=lambda item: item[0]):
        writer.write(prefix + topic, *message, T0 + t * MS)
    if label:
        writer.write(prefix + "/episode/label", *messages.string('{"task": "lift"}'), T0)
        writer.write(prefix + "/episode/label", *messages.string('{"success": true}'), T0)
    return writer.close()


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> EpisodeArrays:
    return read_episode(write(tmp_path_factory.mktemp("e") / "e"), SIZE, NAMES, NAMES, 50 * MS)


def at_ms(arrays: EpisodeArrays) -> np.ndarray:
    return (arrays.stamp_ns - T0) // MS


def test_instants_are_the_first_cameras_frames_once_everything_is_there(
    arrays: EpisodeArrays,
) -> None:
    assert at_ms(arrays).tolist() == list(range(50, 1000, 50))


def test_the_state_is_the_newest_at_or_before_the_frame(arrays: EpisodeArrays) -> None:
    newest = np.minimum((at_ms(arrays) - 25) // 10 * 10 + 25, 1015)
    expected = np.stack([newest, -newest, newest], axis=1)
    np.testing.assert_array_equal(arrays.state, expected.astype(np.float32))


def test_the_other_camera_shows_its_newest_frame_at_or_before(arrays: EpisodeArrays) -> None:
    frame = at_ms(arrays) // 50
    np.testing.assert_array_equal(arrays.images["scene"][:, 0, 0, 0], frame)
    np.testing.assert_array_equal(arrays.images["wrist"][:, 0, 0, 0], frame - 1)
    assert arrays.images["wrist"].shape == (19, 24, 32, 3)


def test_commands_come_by_name_with_who_sent_them(arrays: EpisodeArrays) -> None:
    t = (arrays.command_stamp_ns - T0) / MS
    np.testing.assert_array_equal(arrays.commands, np.stack([t, 2 * t, 3 * t], axis=1))
    assert set(arrays.authority[t < 500]) == {"policy"}
    assert set(arrays.authority[t >= 500]) == {"human"}


def test_instruction_and_labels_are_read(arrays: EpisodeArrays) -> None:
    assert (arrays.instruction, arrays.task, arrays.success) == ("pick it up", "lift", True)


@pytest.mark.parametrize("dt_ms", [7, 33, 50])
def test_a_chunk_is_linear_between_commands_and_held_beyond_the_end(
    arrays: EpisodeArrays, dt_ms: int
) -> None:
    for i in (0, 9, 18):
        due = np.minimum(at_ms(arrays)[i] + (np.arange(16) + 1) * dt_ms, 1180)
        chunk = action_chunk(arrays, i, 16, dt_ms * MS)
        np.testing.assert_allclose(chunk, np.stack([due, 2 * due, 3 * due], axis=1), rtol=1e-6)


def test_a_chunk_before_the_first_command_holds_it(arrays: EpisodeArrays) -> None:
    late = replace(arrays, command_stamp_ns=arrays.command_stamp_ns + 10_000 * MS)
    assert (action_chunk(late, 0, 4, 50 * MS) == arrays.commands[0]).all()


def test_compressed_images_are_read_like_raw_ones(tmp_path: Path, arrays: EpisodeArrays) -> None:
    other = read_episode(write(tmp_path / "e", jpeg=True), SIZE, NAMES, NAMES, 50 * MS)
    for camera in SIZE:
        difference = other.images[camera].astype(int) - arrays.images[camera]
        assert np.abs(difference).max() <= 3


def test_images_are_resized_as_the_engines_do(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    writer = EpisodeWriter(tmp_path / "e")
    writer.write("/scene/image_raw", *messages.image(T0, rgb), T0)
    writer.write("/joint_states", *messages.joint_state(T0, NAMES, [1, 2, 3]), T0)
    writer.write("/arbiter/command", *messages.joint_state(T0, NAMES, [1, 2, 3]), T0)
    one = read_episode(writer.close(), {"scene": (20, 20)}, NAMES, NAMES)
    expected = cv2.resize(rgb, (20, 20), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(one.images["scene"][0], expected)
    assert one.success is None


def test_a_namespace_changes_nothing(tmp_path: Path, arrays: EpisodeArrays) -> None:
    other = read_episode(write(tmp_path / "e", prefix="/left"), SIZE, NAMES, NAMES, 50 * MS)
    np.testing.assert_array_equal(other.state, arrays.state)
    np.testing.assert_array_equal(other.commands, arrays.commands)
    assert other.success is True


def test_a_camera_much_faster_than_the_policy_is_thinned(tmp_path: Path) -> None:
    folder = write(tmp_path / "e")
    few = read_episode(folder, SIZE, NAMES, NAMES, 200 * MS)
    assert np.diff(few.stamp_ns).min() >= 100 * MS


def test_what_is_missing_is_named_with_what_is_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "e", label=False)
    with pytest.raises(EpisodeError, match="no camera 'front'.*scene/image_raw"):
        read_episode(folder, {"front": (8, 8)}, NAMES, NAMES)
    with pytest.raises(EpisodeError, match="no j9 .*j1, j2, gripper"):
        read_episode(folder, SIZE, (*NAMES, "j9"), NAMES)
    with pytest.raises(EpisodeError, match="holds no .mcap"):
        read_episode(tmp_path, SIZE, NAMES, NAMES)

"""The audit finds what ruins training, each with its fix, and leaves good episodes alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from episode_rig import MS, T0

from arfm_ros.episodes.examine.between import compare
from arfm_ros.episodes.examine.episode import Examined, examine
from arfm_ros.episodes.write.content import Making
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages

COUNT, STEP = 250, 20 * MS
Change = Callable[[int], float]


def picture(n: int) -> np.ndarray:
    """A reddish picture that is another one at each step."""
    image = np.full((12, 16, 3), (150, 60, 30), np.uint8)
    image[n % 12, n % 16] = n % 256
    return image


def record(
    folder: Path,
    joint: Change = lambda n: float(np.sin(n / 25)),
    command: Change | None = None,
    shown: Callable[[int], np.ndarray | None] = picture,
    stamped: Callable[[int], int] = lambda n: n,
) -> Path:
    making = Making(info={"task": "lift", "robot_sha256": "r"})
    writer = EpisodeWriter(folder, making=making)
    writer.tell(making.info, T0)
    command = command or (lambda n: joint(n + 3))
    for n in range(COUNT):
        at = T0 + n * STEP
        writer.write("/joint_states", *messages.joint_state(at, ["a"], [joint(n)]), at)
        writer.write("/arbiter/command", *messages.joint_state(at, ["a"], [command(n)]), at)
        image = shown(n)
        if image is not None:
            stamp = T0 + stamped(n) * STEP
            writer.write("/scene/image_raw", *messages.image(stamp, image), at)
    writer.label({"task": "lift", "success": True}, at)
    return writer.close()


def told(examined: Examined) -> str:
    return "\n".join(f"{one.what} -> {one.fix}" for one in examined.found)


def test_a_good_episode_has_no_finding(tmp_path: Path) -> None:
    assert told(examine(record(tmp_path / "e"))) == ""


def frozen(n: int) -> np.ndarray:
    return picture(min(n, 100))


def late(n: int) -> np.ndarray | None:
    return picture(n) if n > 80 else None


def early(n: int) -> np.ndarray | None:
    return picture(n) if n < 150 else None


@pytest.mark.parametrize(
    ("options", "what", "fix"),
    [
        ({"shown": frozen}, "the same picture 150 times in a row, a joint moved by", "driver"),
        ({"shown": lambda n: picture(n // 2)}, "% of the pictures are that of before", "rate"),
        ({"stamped": lambda n: n // 2 * 2}, "have the stamp of the one before", "publishers"),
        ({"stamped": lambda n: n + 100 * (n > 99)}, "jump 1 times by more than", "leave it out"),
        ({"shown": late}, "no picture in the first 1.6 s", "arfm episodes split"),
        ({"shown": early}, "no picture in the last 2.0 s", "arfm episodes split"),
        ({"joint": lambda n: 0.5}, "nothing moves in", "leave it out"),
        ({"joint": lambda n: max(0.0, n - 100) / 100}, "nothing moves in the first 2.0", "split"),
        ({"joint": lambda n: min(n, 100) / 100}, "nothing moves in the last 3.0", "split"),
        ({"joint": lambda n: np.sin(n / 25) + (n == 77)}, "2 steps that no joint can make", "enc"),
        ({"joint": lambda n: np.nan if n == 9 else n / 99}, "values are no numbers", "leave"),
        ({"command": lambda n: np.sin((n + 3) / 25) + 0.4}, "apart (median), always by +0.40",
         "an offset in the topic map"),
        ({"command": lambda n: -np.sin((n + 3) / 25)}, "apart (median)", "signs or units"),
        ({"command": lambda n: 57.3 * np.sin((n + 3) / 25)}, "apart (median)", "signs or units"),
    ],
)  # fmt: skip
def test_each_fault_is_found_with_its_fix(
    tmp_path: Path, options: dict, what: str, fix: str
) -> None:
    said = told(examine(record(tmp_path / "e", **options)))
    assert what in said and fix in said.partition(what)[2]


def test_a_camera_that_looks_at_an_arm_at_rest_is_not_frozen(tmp_path: Path) -> None:
    """A simulated scene at rest repeats bit by bit."""
    examined = examine(
        record(
            tmp_path / "e",
            joint=lambda n: min(n, 200) / 100,
            shown=lambda n: picture(min(n, 200)),
        )
    )
    assert told(examined) == ""


def test_what_only_shows_beside_others(tmp_path: Path) -> None:
    usual = [record(tmp_path / f"e{n}") for n in range(5)]
    shifted = record(tmp_path / "shifted", joint=lambda n: float(np.sin(n / 25)) + 0.4)
    swapped = record(tmp_path / "swapped", shown=lambda n: picture(n)[..., ::-1].copy())
    traits = [examine(folder).traits for folder in (*usual, shifted, swapped)]
    found = compare(traits)
    assert [found[folder] for folder in usual] == [[]] * 5
    (offset,), (colour,) = found[shifted], found[swapped]
    assert "a starts at 0.40, in 6 others at 0.00" in offset.what and "topic map" in offset.fix
    assert "red and blue seem to be exchanged" in colour.what and "bgr8" in colour.fix


def test_few_episodes_say_nothing_about_each_other(tmp_path: Path) -> None:
    usual = [record(tmp_path / f"e{n}") for n in range(3)]
    shifted = record(tmp_path / "shifted", joint=lambda n: float(np.sin(n / 25)) + 0.4)
    assert compare([examine(folder).traits for folder in (*usual, shifted)]) == {}

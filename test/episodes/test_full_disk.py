"""A disk that is full at any byte, told by a write or by a sync: what was answered is there."""

import errno
import random
from pathlib import Path

import pytest
from episode_rig import SAMPLES, T0

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest, writer
from arfm_ros.episodes.write.sink import Sink
from arfm_ros.episodes.write.tape import Tape, Taped

FULL = OSError(errno.ENOSPC, "No space left on device")


class SmallDisk(Sink):
    """Holds `room` bytes, and finds out while it writes or only when it syncs."""

    room, late = 0, False

    def write(self, data: bytes) -> int:
        left = self.room - self.tell()
        if not self.late and len(data) > left:
            super().write(data[: max(left, 0)])
            raise FULL
        return super().write(data)

    def flush(self) -> None:
        if self.tell() > self.room:
            raise FULL
        super().flush()


class WithReserve(SmallDisk):
    """Has room again once it was cut, as the writer gives its reserve back."""

    def cut(self) -> None:
        super().cut()
        self.room += writer.RESERVE_BYTES


def record_until_it_fails(folder: Path) -> list[int]:
    """Return the numbers of the labels that were answered."""
    tape, answered = Tape(folder, limit_bytes=10_000_000), []
    type_name, cdr = SAMPLES["image"]
    for n in range(300):
        tape.put(Taped("/scene/image_raw", type_name, cdr, T0 + n, T0 + n, n + 1))
        if n % 7 == 0:
            try:
                tape.label({f"n{n}": n}, T0 + n).wait(20.0)
            except EpisodeError:
                break
            answered.append(n)
    with pytest.raises(EpisodeError, match="No space left"):
        tape.close(20.0)
    return answered


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("disk", [SmallDisk, WithReserve])
def test_no_answered_label_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: type[SmallDisk], late: bool
) -> None:
    rng = random.Random(3)
    monkeypatch.setattr(writer, "Sink", disk)
    for trial in range(5):
        monkeypatch.setattr(disk, "room", rng.randrange(10_000, 25_000))
        monkeypatch.setattr(disk, "late", late)
        folder = tmp_path / f"{trial}"
        answered = record_until_it_fails(folder)
        reader = EpisodeReader(folder)
        label = reader.label()
        assert [n for n in answered if label.get(f"n{n}") != n] == []
        known = manifest.load(folder)
        assert "No space left" in known.reasons[0]
        assert known.bytes == (folder / "episode.mcap").stat().st_size
        if disk is WithReserve:
            assert label["truncated"] is True and reader.damage == []

"""The tape: a queue between who hears messages and the thread that writes them."""

from pathlib import Path

import pytest
from episode_rig import SAMPLES, T0

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write.tape import Tape, Taped


def test_the_tape_writes_everything_in_order(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "e", limit_bytes=10_000_000)
    type_name, cdr = SAMPLES["joint_state"]
    for n in range(500):
        assert tape.put(Taped("/joint_states", type_name, cdr, T0 + n, T0 + n, n + 1))
    tape.close(timeout_s=10.0)
    found = [r.sequence for r in EpisodeReader(tmp_path / "e").records({"/joint_states"})]
    assert found == list(range(1, 501))
    assert not tape.dropped


def test_the_tape_counts_what_does_not_fit(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "e", limit_bytes=100)
    type_name, cdr = SAMPLES["image"]
    assert not tape.put(Taped("/scene/image_raw", type_name, cdr, T0, T0))
    tape.close(timeout_s=10.0)
    assert tape.dropped == {"/scene/image_raw": 1}


def test_the_tape_passes_a_writers_error_on(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "e", limit_bytes=10_000)
    tape.put(Taped("/x", "nobody_msgs/msg/Nothing", b"", T0, T0))
    with pytest.raises(EpisodeError, match="nobody_msgs"):
        tape.close(timeout_s=10.0)
    assert tape.dropped == {"/x": 1}

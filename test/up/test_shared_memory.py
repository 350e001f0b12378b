"""Shared memory of killed nodes."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from arfm_ros.up.shared_memory import orphans, remove_orphans


def segment(folder: Path, number: int, age_s: float = 60.0) -> Path:
    path = folder / f"fastrtps_{number:016x}"
    path.write_bytes(b"images")
    lock = folder / f"{path.name}_el"
    lock.touch()
    os.utime(lock, (time.time() - age_s,) * 2)
    return path


def test_only_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    dead, living, young = segment(tmp_path, 1), segment(tmp_path, 2), segment(tmp_path, 3, 0.0)
    other = tmp_path / "fastrtps_port7411_el"
    other.touch()
    with (tmp_path / f"{living.name}_el").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert orphans(tmp_path) == [dead]
        assert remove_orphans(tmp_path) == 1
    assert not (tmp_path / f"{dead.name}_el").exists()
    assert not dead.exists() and living.exists() and young.exists() and other.exists()


def test_a_machine_without_shared_memory_has_no_orphans(tmp_path: Path) -> None:
    assert remove_orphans(tmp_path / "nowhere") == 0

"""What is left of an episode whose process was killed, whose file is damaged or disk is full."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from episode_rig import write_some

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.reader import EpisodeReader

ROOT = Path(__file__).resolve().parents[2]

# Writes noise images (they do not compress) at 100 Hz of log time and at most
# 200 Hz of real time until something ends it.
WRITE_FOR_EVER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from arfm_ros.core.errors import EpisodeError
from arfm_ros.wire import messages
from arfm_ros.episodes.write.writer import EpisodeWriter
folder, last = Path(sys.argv[1]), int(sys.argv[2])
writer = EpisodeWriter(folder)
rng = np.random.default_rng(0)
try:
    for n in range(100_000):
        stamp = 1_700_000_000_000_000_000 + n * 10_000_000
        picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        writer.write("/scene/image_raw", *messages.image(stamp, picture), stamp, sequence=n + 1)
        time.sleep(0.005)
        if n == last:
            os.kill(os.getpid(), signal.SIGKILL)
except EpisodeError as error:
    print(error)
    sys.exit(7)
"""


def run_writer(folder: Path, last: int, prefix: str = "") -> subprocess.CompletedProcess:
    command = f'{prefix} exec "{sys.executable}" -c "$SCRIPT" "{folder}" {last}'
    return subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "SCRIPT": WRITE_FOR_EVER, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_killed_process_leaves_all_but_the_last_instant(tmp_path: Path) -> None:
    done = run_writer(tmp_path / "e", last=237)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "e").exists()
    reader = EpisodeReader(tmp_path / "e.partial")
    count = sum(1 for _ in reader.records())
    assert 238 - 50 <= count <= 238  # 0.25 s at 200 Hz at most
    assert "cut off" in reader.damage[0]


def test_a_file_cut_anywhere_gives_a_prefix_and_says_so(tmp_path: Path) -> None:
    whole = (write_some(tmp_path / "e") / "episode.mcap").read_bytes()
    every = [bytes(r.cdr) for r in EpisodeReader(tmp_path / "e").records()]
    cut = tmp_path / "cut.mcap"
    for length in np.linspace(8, len(whole) - 60, 60).astype(int):
        cut.write_bytes(whole[:length])
        reader = EpisodeReader(cut)
        found = [bytes(r.cdr) for r in reader.records()]
        assert found == every[: len(found)]
        assert reader.damage


def test_a_damaged_chunk_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "e")
    data = bytearray((folder / "episode.mcap").read_bytes())
    data[len(data) // 3] ^= 0xFF
    (folder / "episode.mcap").write_bytes(data)
    reader = EpisodeReader(folder)
    assert 0 < sum(1 for _ in reader.records()) < 401
    assert "damaged" in reader.damage[0]


@pytest.mark.parametrize("content", [b"", b"no bag at all, just text"])
def test_what_is_no_mcap_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mcap").write_bytes(content)
    with pytest.raises(EpisodeError, match="not an MCAP file"):
        EpisodeReader(tmp_path)


def check_truncated(folder: Path, done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 7, done.stderr
    assert "what was recorded until then is kept" in done.stdout
    reader = EpisodeReader(folder)
    sequences = [r.sequence for r in reader.records({"/scene/image_raw"})]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) > 50
    about = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert "cannot write" in about["custom_data"]["truncated"]


def test_a_file_that_may_grow_no_more_keeps_what_it_has(tmp_path: Path) -> None:
    check_truncated(tmp_path / "e", run_writer(tmp_path / "e", -1, prefix="ulimit -f 3000;"))


def test_a_full_disk_keeps_what_it_has_and_labels_it(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=4m none "{tmp_path}"'
    if subprocess.run(["unshare", "-rm", "bash", "-c", mount], capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    kept = tmp_path.parent / f"{tmp_path.name}_kept"
    inner = (
        f'{mount}; "{sys.executable}" -c "$SCRIPT" "{tmp_path}/e" -1; code=$?; '
        f'cp -r "{tmp_path}/e" "{kept}"; exit $code'
    )
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", inner],
        env={**os.environ, "SCRIPT": WRITE_FOR_EVER, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    check_truncated(kept, done)
    reader = EpisodeReader(kept)
    assert reader.label()["truncated"] is True
    assert "No space left" in str(reader.label()["reason"])
    assert reader.damage == []

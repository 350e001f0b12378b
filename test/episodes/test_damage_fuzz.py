"""Episodes that are damaged at random: read in part and said so, or refused by name."""

from pathlib import Path

import pytest
from episode_rig import write_some

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.audit import audit
from arfm_ros.episodes.edit.fuzz import fuzz
from arfm_ros.episodes.reader import EpisodeReader


@pytest.mark.parametrize("trials", [210, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damage_is_told_or_refused_and_nothing_is_made_up(tmp_path: Path, trials: int) -> None:
    episode = write_some(tmp_path / "e", 60)
    (tmp_path / "scratch").mkdir()
    happened, broken = fuzz(episode, tmp_path / "scratch", trials, seed=1)
    print(dict(happened))
    assert broken == []
    assert sum(n for what, n in happened.items() if what.endswith("read in part")) > trials / 5
    assert happened["recover: mended"] > 0


def test_a_chunk_that_claims_too_much_is_damaged(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "e", 40)
    data = bytearray((folder / "episode.mcap").read_bytes())
    at = data.index(b"\x03\x00\x00\x00lz4") - 12  # uncompressed size of the first chunk
    data[at : at + 8] = (2**60).to_bytes(8, "little")
    (folder / "episode.mcap").write_bytes(data)
    reader = EpisodeReader(folder)
    assert sum(1 for _ in reader.records()) < 81
    assert "damaged" in reader.damage[0]
    assert audit(folder).damage


def test_a_manifest_of_nonsense_is_refused_by_name(tmp_path: Path) -> None:
    from arfm_ros.episodes.write import manifest

    folder = write_some(tmp_path / "e", 4)
    for nonsense in (b"[]", b"{}", b"\xff\xfe", b'{"state": "good", "format": 1}'):
        (folder / "manifest.json").write_bytes(nonsense)
        with pytest.raises(EpisodeError, match="manifest.json"):
            manifest.load(folder)

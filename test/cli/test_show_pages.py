"""Pages of episodes, whole in one file; what other viewers read."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("plotly")
pytest.importorskip("av")
import av
from episode_rig import write_some
from test_show import write

from arfm_ros.cli.__main__ import main
from arfm_ros.episodes.edit.relabel import relabel
from arfm_ros.episodes.show.story import read_story
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages

ROOT = Path(__file__).resolve().parents[2]
T0, MS = 1_700_000_000_000_000_000, 1_000_000


class Seen(HTMLParser):
    """What a reader of HTML finds: tags with their attributes, and the text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._script = False
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._script = tag in {"script", "style"}

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        self.text += "" if self._script else data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_a_page_needs_nothing_from_elsewhere_and_plays_every_picture(tmp_path: Path) -> None:
    out = tmp_path / "e.html"
    assert main(["show", str(write(tmp_path / "e", policy=True)), "--out", str(out)]) == 0
    seen = Seen(out)
    (video,) = seen.all("video")
    linked = [attrs.get(key, "") for _, attrs in seen.tags for key in ("src", "href")]
    assert all(not link or link.startswith("data:") for link in linked)
    film = av.open(io.BytesIO(base64.b64decode(video["src"].split(",")[1])))
    times = [float(frame.time) for frame in film.decode(video=0)]
    assert times == pytest.approx([n / 10 for n in range(20)], abs=1e-3)
    assert float(video["data-begin"]) == 0.0
    assert "SUCCESS" in seen.text and "lift the cube" in seen.text
    assert "/scene/image_raw" in seen.text and "success: True, task: lift" in seen.text
    assert all(name in out.read_text() for name in ("fr3_joint7", "human", "commanded", "chunks"))


def test_what_happened_is_told_and_words_are_no_markup(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    writer.write("/instruction", *messages.string("<script>alert(1)</script>"), T0)
    for n in range(200):
        stamp = T0 + n * 10 * MS
        if not 50 < n < 80:
            joints = messages.joint_state(stamp, ["a"], [n / 100])
            writer.write("/joint_states", *joints, stamp)
    for n, level, word in ((20, 0, "ok"), (90, 2, "joint states are 503 ms old"), (95, 2, "x")):
        told = messages.diagnostic_array(T0 + n * MS, "arbiter_node: health", {}, level, word)
        writer.write("/diagnostics", *told, T0 + n * MS)
    refused = {"accepted": "false", "chunk_id": 7}
    told = messages.diagnostic_array(T0 + 99 * MS, "arbiter/chunk_result", refused, 1, "stale")
    writer.write("/arbiter/chunk_result", *told, T0 + 99 * MS)
    for n, pressed in ((100, False), (200, True), (300, True), (400, False)):
        writer.write("/estop", *messages.boolean(pressed), T0 + n * MS)
    writer.write("/policy/question", *messages.string("which cube?"), T0 + 500 * MS)
    folder = writer.close()
    story = read_story(folder)
    said = [(e.kind, e.text) for e in story.events]
    assert said[1:] == [
        ("error", "arbiter_node: joint states are 503 ms old"),
        ("error", "arbiter_node: x"),
        ("refused", "chunk 7: stale"),
        ("estop", "pressed"),
        ("estop", "released"),
        ("question", "which cube?"),
    ]
    (gap,) = story.gaps["/joint_states"]
    assert (gap.t_s, gap.seconds) == (0.5, 0.3)
    assert main(["show", str(folder), "--out", str(tmp_path / "e.html")]) == 0
    seen = Seen(tmp_path / "e.html")
    assert "which cube?" in seen.text and "<script>alert(1)" in seen.text
    assert "0.50" in seen.text  # where the joint states are missing


def test_who_acted_is_told_of_each_group(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    for n in range(50):
        stamp = T0 + n * 20 * MS
        writer.write("/joint_states", *messages.joint_state(stamp, ["a"], [n / 50]), stamp)
    for n, group, who in ((0, "left", "policy"), (1, "right", "policy"), (9, "right", "human")):
        told = messages.diagnostic_array(T0 + n * 50 * MS, group, {"acting": who})
        writer.write("/arbiter/owners", *told, T0 + n * 50 * MS)
    folder = writer.close()
    assert read_story(folder).authority == {
        "left": [(0.0, "policy")],
        "right": [(0.05, "policy"), (0.45, "human")],
    }
    for out in (tmp_path / "e.png", tmp_path / "e.html"):
        assert main(["show", str(folder), "--out", str(out)]) == 0
    page = (tmp_path / "e.html").read_text()
    assert "left" in page and "right" in page


def test_a_folder_s_page_shows_every_episode_and_leads_to_its_own(tmp_path: Path) -> None:
    write_some(tmp_path / "in" / "good")
    bad = write_some(tmp_path / "in" / "bad")
    relabel(bad, {"success": False}, "eve")
    broken = tmp_path / "in" / "broken"
    broken.mkdir()
    (broken / "episode.mcap").write_bytes(b"no bag")
    out = tmp_path / "pages"
    assert main(["show", str(tmp_path / "in"), "--all", "--out", str(out)]) == 0
    seen = Seen(out / "index.html")
    assert len(seen.all("article")) == 3 and len(seen.all("img")) == 2
    assert sorted(a["href"] for a in seen.all("a")) == ["bad.html", "good.html"]
    assert all((out / a["href"]).is_file() for a in seen.all("a"))
    assert "failure" in seen.text and "is not an MCAP file" in seen.text
    assert main(["show", str(tmp_path / "in"), "--all", "--out", str(tmp_path / "x.html")]) == 0
    assert Seen(tmp_path / "x.html").all("a") == []


def test_other_endings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_some(tmp_path / "e")
    assert main(["show", str(folder), "--out", str(tmp_path / "e.gif")]) != 0
    assert "needs .png, .html or .rrd" in capsys.readouterr().err


def test_rerun_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    out = tmp_path / "e.rrd"
    assert main(["show", str(write(tmp_path / "e", policy=True)), "--out", str(out)]) == 0
    words = [sys.executable, "-m", "rerun", "rrd", "print", str(out)]
    told = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    for path in ("/camera/scene", "/measured/fr3_joint1", "/commanded/gripper", "/who/robot"):
        assert path in told
    for path in ("/event/label", "/latency_ms/total", "/chunk/fr3_joint1/0"):
        assert path in told


def test_the_foxglove_layout_names_topics_that_are_recorded() -> None:
    pytest.importorskip("rclpy")
    from arfm_ros.nodes.recorder.params import ALWAYS
    from arfm_ros.nodes.ros import topics

    layout = json.loads((ROOT / "config" / "foxglove.json").read_text())
    shown = set(panels(layout["layout"]))
    assert shown == set(layout["configById"])
    known = {"/" + row.name.lstrip("/") for row in ALWAYS}
    pictures = (topics.COMPRESSED_IMAGE, topics.CAMERA_INFO)
    cameras = (row.of(c) for c in ("scene", "wrist") for row in pictures)
    known |= {"/" + row.name.lstrip("/") for row in cameras}
    named = set(words(layout["configById"]))
    assert named and named <= known


def panels(node) -> list[str]:
    return [node] if isinstance(node, str) else panels(node["first"]) + panels(node["second"])


def words(value) -> list[str]:
    """Every topic in a value: texts that begin with a slash, up to the field."""
    if isinstance(value, dict):
        inner = [one for key, item in value.items() for one in (key, item)]
        return [word for one in inner for word in words(one)]
    if isinstance(value, list):
        return [word for one in value for word in words(one)]
    found = isinstance(value, str) and value.startswith("/")
    return [value.partition(".")[0]] if found else []

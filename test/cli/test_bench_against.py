"""A bundle beside LeRobot's own policy, from raw observations, in one run; and their memory.

Run by `./arfm test --vla`, in the environment that has LeRobot.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")

import torch  # noqa: E402
from lerobot_rig import CAMERAS, save_checkpoint, write_interface  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from arfm_ros.bench.against.library import pair_cameras  # noqa: E402
from arfm_ros.bench.against.measure import COMPILED, EAGER  # noqa: E402
from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines import load_bundle  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)  # small tensors: more threads only wait for each other


@dataclass(frozen=True)
class Made:
    """A checkpoint and what became of it."""

    checkpoint: Path
    interface: Path
    bundle: Path

    def bench(self, *more: str, checkpoint: Path | None = None) -> int:
        source = f"lerobot:{checkpoint or self.checkpoint}"
        words = ["--against", source, "--seconds", "0", "--threads", "1"]
        return main(["bench", str(self.bundle), *words, *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("smolvla")
    with pytest.MonkeyPatch.context() as patch:
        checkpoint = save_checkpoint("smolvla", folder, patch)
        interface, bundle = write_interface(folder / "robot.yaml"), folder / "bundle"
        words = ["--out", str(bundle), "--interface", str(interface)]
        assert main(["export", f"lerobot:{checkpoint}", *words]) == 0
        yield Made(checkpoint, interface, bundle)


def test_both_make_the_same_commands_and_are_timed_in_turns(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    assert made.bench("--interface", str(made.interface), "--json", str(out)) == 0
    found = json.loads(out.read_text())
    assert [row["runtime"] for row in found["rows"]] == ["onnx fp32", EAGER]
    for row in found["rows"]:
        assert row["what"] == "chunk" and row["count"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"] and row["cpu_p50_ms"] > 0
    assert 0 < found["difference"]["share"] <= found["difference"]["limit"] == 1e-4
    assert found["library"].startswith("smolvla of LeRobot")
    shown = capsys.readouterr().out
    assert "x as long as the bundle" in shown and "differ by" in shown


def test_each_one_s_memory_is_its_own(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert made.bench("--interface", str(made.interface), "--json", str(out)) == 0
    memory = json.loads(out.read_text())["memory_bytes"]
    assert list(memory) == ["onnx fp32", EAGER]
    for marks in memory.values():
        assert list(marks) == ["packages", "opened", "first chunk"]
        for mark in marks.values():
            assert 0 < mark["anonymous"] < mark["resident"] <= mark["peak_resident"]
        assert marks["packages"]["anonymous"] < marks["opened"]["anonymous"]
    own, theirs = (memory[name]["first chunk"]["resident"] for name in memory)
    assert own < theirs  # one of both has torch in it


def test_a_compiled_sampler_is_timed_or_told_why_not(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    words = ["--interface", str(made.interface), "--compiled", "--json", str(out)]
    assert made.bench(*words) == 0
    found = json.loads(out.read_text())
    names = [row["runtime"] for row in found["rows"]]
    assert names[:2] == ["onnx fp32", EAGER]
    assert (names[2:] == [COMPILED]) != (COMPILED in found["not_measured"])


def test_a_bundle_of_another_checkpoint_is_refused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(made.checkpoint, other)
    weights = load_file(other / "model.safetensors")
    weights["model.action_out_proj.bias"] = weights["model.action_out_proj.bias"] + 0.1
    save_file(weights, other / "model.safetensors")
    assert made.bench("--interface", str(made.interface), checkpoint=other) == 1
    told = capsys.readouterr().err
    assert "was not exported from" in told and "allowed 0.0001" in told


def test_cameras_that_do_not_fit_are_named(made: Made, tmp_path: Path) -> None:
    spec, keys = load_bundle(made.bundle).spec, [f"observation.images.{one}" for one in CAMERAS]
    wanted = dict(zip(keys, ("scene", "wrist")))
    assert pair_cameras(keys, spec, None) == wanted == pair_cameras(keys, spec, made.interface)
    with pytest.raises(ConfigError, match="right.*give the --interface FILE"):
        pair_cameras([*keys, "observation.images.right"], spec, None)
    swapped = tmp_path / "robot.yaml"
    swapped.write_text(made.interface.read_text().replace(": wrist", ": other"))
    with pytest.raises(ConfigError, match="the bundle scene, wrist"):
        pair_cameras(keys, spec, swapped)


def test_what_is_no_flow_of_the_library_is_refused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"type": "act"}')
    assert made.bench(checkpoint=tmp_path) == 1
    assert "'act', measured are: pi0, pi05, smolvla" in capsys.readouterr().err
    assert main(["bench", str(made.bundle), "--against", "transformers:x"]) == 1
    assert "needs lerobot:FOLDER" in capsys.readouterr().err

"""`arfm bench gpu`: every part in a process of its own, in tiny sizes on the CPU."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from arfm_ros.bench.gpu.parts import PARTS, Part, Setting
from arfm_ros.bench.gpu.plain import PlainVla
from arfm_ros.bench.gpu.report import markdown
from arfm_ros.bench.gpu.run import run_all
from arfm_ros.bench.gpu.shapes import NETWORKS, tiny
from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "models" / "fr3_tabletop"
CPU = Setting("cpu", str(SHIPPED))


def named(word: str) -> Part:
    return next(part for part in PARTS if word in part.name)


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_operations_are_those_that_torch_counts(name: str) -> None:
    shapes = tiny(NETWORKS[name])
    model = PlainVla(shapes).eval()
    inputs, noise, times = model.example(1)
    mode = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), mode:
        cache = model.prefix(*inputs)
    assert mode.get_total_flops() == shapes.prefix_cost().flops
    step = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), step:
        found = model.step(noise, times[:1], inputs[2], cache)
    assert step.get_total_flops() == shapes.step_cost().flops
    assert found.shape == (1, shapes.horizon, shapes.action)
    assert len(cache) == shapes.language.depth
    assert cache[0][0].shape[2] == shapes.prefix_length


@pytest.mark.parametrize(("name", "published"), [("pi0", 3.24e9), ("smolvla", 0.403e9)])
def test_the_weights_are_as_many_as_the_library_s(name: str, published: float) -> None:
    """As many as LeRobot's class has, counted in a checkpoint of random weights."""
    with torch.device("meta"):
        model = PlainVla(NETWORKS[name])
    count = sum(one.numel() for one in model.parameters())
    assert count == pytest.approx(published, rel=0.02)
    table = model.words.weight.numel()
    costs = (NETWORKS[name].prefix_cost(), NETWORKS[name].step_cost())
    read = sum(cost.weight_bytes for cost in costs) / 4
    assert read == pytest.approx(count - table, rel=0.01)


def test_each_observation_and_step_changes_the_chunk() -> None:
    model = PlainVla(tiny(NETWORKS["smolvla"])).eval()
    inputs, noise, times = model.example(2)
    with torch.no_grad():
        chunk = model.chunk(inputs, noise, times)
        for other in range(3):
            changed = [one.clone() for one in inputs]
            changed[other] = model.example(2)[0][other]
            apart = (model.chunk(tuple(changed), noise, times) - chunk).abs().max()  # type: ignore[arg-type]
            assert apart > 1e-6


@pytest.mark.slow
def test_parts_run_on_the_cpu_and_their_results_become_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [named(word) for word in ("machine", "floors", "onnxruntime fp32", "smolvla, plain")]
    file = tmp_path / "gpu.json"
    found = run_all(CPU, 480.0, file, quiet, wanted)
    assert found == json.loads(file.read_text())
    parts = found["parts"]
    assert list(parts) == [f"{part.name}, on the CPU" for part in wanted]
    assert {part["state"] for part in parts.values()} == {"done"}
    machine, floors, tabletop, network = (part["found"] for part in parts.values())
    assert machine["versions"]["torch"] == torch.__version__
    assert "CPUExecutionProvider" in machine["onnxruntime_providers"]
    assert min(floors[f"{kind}_flops_per_s"] for kind in ("bf16", "fp16", "fp32")) > 0
    assert tabletop["parity"]["passed"] and tabletop["freeze_error"]["prefix"] < 1e-4
    assert set(tabletop["latencies"]) == {"prefix", "step", "chunk", "step_rtc", "chunk_rtc"}
    assert network["finite"] and network["floor_measured_ms"] > 0
    assert 0 < network["eager"]["p50_ms"] <= network["eager"]["p99_ms"]
    assert "need a GPU" in network["cuda_graph"] and "not the library's" in network["what"]
    assert main(["bench", "gpu", "--table", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown.strip() == markdown(found).strip()
    assert "| fr3_tabletop, onnxruntime fp32, on the CPU | chunk |" in shown
    assert "run on the CPU in tiny sizes, no figure of a GPU" in shown


def test_a_missing_package_skips_its_part_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mujoco", "torch"):
        (tmp_path / f"{name}.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"
        )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    wanted = [named(word) for word in ("machine", "pi0, plain", "success", "LeRobot")]
    parts = run_all(CPU, 480.0, None, quiet, wanted)["parts"]
    machine, network, success, library = parts.values()
    assert "CPUExecutionProvider" in machine["found"]["onnxruntime_providers"]
    assert network["why"] == machine["why"] == "the package 'torch' is not installed"
    assert success["why"] == "the package 'mujoco' is not installed"
    assert {part["state"] for part in (machine, network, success, library)} == {"skipped"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_parts_say_what_they_miss() -> None:
    setting = replace(CPU, device="cuda")
    wanted = [named(word) for word in ("floors", "tabletop, torch", "onnxruntime fp32", "swaps")]
    wanted.append(named("TensorRT"))
    floors, eager, onnx, swaps, tensorrt = run_all(setting, 480.0, None, quiet, wanted)[
        "parts"
    ].values()
    assert "finds no GPU with CUDA" in floors["why"] and "finds no GPU" in eager["why"]
    assert "cuda is not in this onnxruntime" in onnx["why"]
    assert "finds no GPU" in swaps["why"] and "cuda is not in this" in swaps["why"]
    assert {part["state"] for part in (floors, eager, onnx, swaps, tensorrt)} == {"skipped"}
    assert "tensorrt" in tensorrt["why"]


@pytest.mark.slow
def test_a_part_that_breaks_or_hangs_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken modules in the place of the package's own: a crash, an endless loop with a child."""
    folder = tmp_path / "arfm_ros_broken"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "crash.py").write_text(
        "import os\ndef run(setting, report):\n    report(begun=True)\n    os.abort()\n"
    )
    (folder / "hang.py").write_text(
        "import subprocess, sys, time\n"
        "def run(setting, report):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    report(child=child.pid)\n"
        "    time.sleep(600)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr("arfm_ros.bench.gpu.run.PACKAGE", "arfm_ros_broken")
    wanted = [Part("crash", "crash.run", 60), Part("hang", "hang.run", 15)]
    found = run_all(CPU, 480.0, None, quiet, [*wanted, Part("none", "none.run", 60)])
    crash, hang, none = found["parts"].values()
    assert crash["state"] == "failed" and crash["found"] == {"begun": True}
    assert "exit status -6" in crash["why"]
    assert hang["state"] == "stopped" and hang["why"] == "at its limit of 15 s"
    assert gone(hang["found"]["child"])
    assert none["state"] == "failed" and "No module named" in none["why"]
    assert "- hang, on the CPU: stopped: at its limit" in markdown(found)


def gone(pid: int) -> bool:
    """Tell whether a process ends within a second; a zombie that nobody waits for has ended."""
    for _ in range(20):
        try:
            os.kill(pid, 0)
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_what_is_left_when_the_time_is_up_is_skipped() -> None:
    found = run_all(CPU, 1.0, None, quiet, [named("machine")])
    (part,) = found["parts"].values()
    assert part["state"] == "skipped" and "used up" in part["why"]
    with pytest.raises(ConfigError, match="at most 480"):
        run_all(CPU, 481.0, None, quiet)


def test_a_file_that_is_no_result_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text('{"rows": []}')
    assert main(["bench", "gpu", "--table", str(tmp_path / "other.json")]) == 1
    assert "needs what `arfm bench gpu --json FILE` wrote" in capsys.readouterr().err

"""openpi's JAX checkpoints, read by orbax, against openpi's transforms and LeRobot's network."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot.policies.pi_gemma", reason="LeRobot is in .venv-vla")
orbax = pytest.importorskip("orbax.checkpoint", reason="pip install orbax-checkpoint jax")

import torch  # noqa: E402
from foreign_laws import some_noise  # noqa: E402
from openpi_files_rig import commands, write_checkpoint, write_interface  # noqa: E402
from openpi_jax_rig import write_jax  # noqa: E402

from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.export.vla.model import export_vla  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)
RELATIVE = 1e-4  # of the commands, from raw inputs


@pytest.mark.parametrize("kind,values", [("pi0", True), ("pi05", False)])
def test_the_commands_are_openpi_s_from_raw_inputs(
    kind: str, values: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_checkpoint(kind, tmp_path, monkeypatch)
    folder = write_jax(kind, made, tmp_path / "jax", values=values)
    robot = write_interface(tmp_path / "robot.yaml", "{horizon: 10}")
    export_vla(f"openpi:{folder}", robot, tmp_path / "bundle", "small")
    policy = load_policy(tmp_path / "bundle", threads=1)
    seen, noise = policy.spec.example(3), some_noise(policy)
    seen = replace(seen, instruction="push the blue cube")
    found = policy.sample(policy.encode(seen), noise).actions
    wanted = commands(kind, made, seen, noise)
    gap = np.abs(found - wanted).max() / np.abs(wanted).max()
    print(f"{kind} of JAX: {gap:.1e} of the commands")
    assert 0 < gap <= RELATIVE


def test_what_does_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_checkpoint("pi0", tmp_path, monkeypatch)
    folder = write_jax("pi0", made, tmp_path / "jax", values=True)
    robot = write_interface(tmp_path / "robot.yaml", "{horizon: 10}")

    def refused(says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            export_vla(f"openpi:{folder}", robot, tmp_path / "bundle", "small")

    with orbax.PyTreeCheckpointer() as files:
        tree = files.restore((folder / "params").resolve())

    def write(params: object) -> None:
        shutil.rmtree(folder / "params")
        with orbax.PyTreeCheckpointer() as files:
            files.save((folder / "params").resolve(), {"params": params})

    whole = json.loads(json.dumps(tree["params"], default=lambda a: a.tolist()))
    params = _arrays(whole)
    params["PaliGemma"]["llm"]["lora_a"] = np.zeros(2, np.float32)
    write(params)
    refused("has 1 weights that .* does not know: PaliGemma/llm/lora_a")
    del params["PaliGemma"]["llm"]["lora_a"], params["state_proj"]["bias"]
    write(params)
    refused("lacks 1 weights: state_proj.bias")
    del params["action_time_mlp_in"]
    write(params)
    refused("it is no pi0 or pi0.5 .openpi serves pi0-FAST")
    (folder / "params" / "_METADATA").unlink()
    refused("(cannot read|is no checkpoint of openpi)")


def _arrays(node: object) -> dict:
    if isinstance(node, dict):
        return {key: _arrays(value) for key, value in node.items()}
    return np.asarray(node, np.float32)  # type: ignore[return-value]

"""Where a LeRobot checkpoint lies and how its weights are stored: found, merged, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arfm_ros.core.errors import ConfigError

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from arfm_ros.export.lerobot.layouts import find_folder, read_state  # noqa: E402

A, B = torch.arange(6.0).reshape(2, 3), torch.arange(8.0).reshape(4, 2)
W = torch.ones(4, 3)
LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none"}


def adapted(root: Path, settings: dict[str, Any], tensors: dict[str, Any]) -> Path:
    base, folder = root / "base", root / "adapter"
    for one in (base, folder):
        one.mkdir(exist_ok=True)
    (base / "config.json").write_text("{}")
    save_file(
        {"model.q_proj.weight": W, "model.head.weight": W.clone()}, base / "model.safetensors"
    )
    whole = {"base_model_name_or_path": str(base), **LORA, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(whole))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


NAME = "base_model.model.model.q_proj"
PAIR = {f"{NAME}.lora_A.weight": A, f"{NAME}.lora_B.weight": B}


@pytest.mark.parametrize(
    ("settings", "scale"),
    [({}, 2.0), ({"use_rslora": True}, 4 / 2**0.5), ({"alpha_pattern": {"q_proj": 6}}, 3.0)],
)
def test_a_lora_becomes_part_of_the_weights(tmp_path: Path, settings: Any, scale: float) -> None:
    head = {"base_model.model.model.head.modules_to_save.weight": 5 * W}
    state, _ = read_state(adapted(tmp_path, settings, PAIR | head))
    torch.testing.assert_close(state["model.q_proj.weight"], W + scale * B @ A)
    assert (state["model.head.weight"] == 5).all()


@pytest.mark.parametrize(
    ("settings", "tensors", "says"),
    [
        ({"peft_type": "IA3"}, PAIR, "the adapter is IA3"),
        ({"use_dora": True}, PAIR, "use_dora = True"),
        ({}, {"base_model.model.x.lora_A.weight": A}, "changes x, which its base"),
        ({}, {"base_model.model.y.weight": W}, "has base_model.model.y.weight, which"),
        ({}, PAIR | {f"{NAME}.lora_B.weight": B[:3].clone()}, "only matrices are merged"),
    ],
)
def test_any_other_adapter_is_refused_by_name(
    tmp_path: Path, settings: Any, tensors: Any, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read_state(adapted(tmp_path, settings, tensors))


def test_the_merge_is_peft_s_own(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the library that writes adapters")
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"q_proj": torch.nn.Linear(3, 4), "v_proj": torch.nn.Linear(3, 4)})
    base, folder = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    (base / "config.json").write_text("{}")
    save_file({k: v.clone() for k, v in model.state_dict().items()}, base / "model.safetensors")
    settings = peft.LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj"], use_rslora=True)
    adapter = peft.get_peft_model(model, settings)
    for name, value in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value)
    adapter.peft_config["default"].base_model_name_or_path = str(base)
    adapter.save_pretrained(folder)
    found, _ = read_state(folder)
    for name, value in adapter.merge_and_unload().state_dict().items():
        torch.testing.assert_close(found[name], value)


def test_shards_and_compiled_names_are_read(tmp_path: Path) -> None:
    places = {}
    for i in (1, 2):
        name = f"model-0000{i}-of-00002.safetensors"
        save_file({f"_orig_mod.w{i}": W * i}, tmp_path / name)
        places[f"_orig_mod.w{i}"] = name
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    state, path = read_state(tmp_path)
    assert path == index and sorted(state) == ["w1", "w2"] and (state["w2"] == 2).all()
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ConfigError, match="names model-00002-of-00002.safetensors: missing"):
        read_state(tmp_path)


def test_a_training_s_folder_leads_to_its_last_checkpoint(tmp_path: Path) -> None:
    inside = tmp_path / "run" / "checkpoints" / "000100" / "pretrained_model"
    inside.mkdir(parents=True)
    (inside / "config.json").write_text("{}")
    (inside.parents[1] / "last").symlink_to("000100")
    for named in (tmp_path / "run", inside.parents[1], inside.parents[1] / "last", inside):
        assert find_folder(named).resolve() == inside
    with pytest.raises(ConfigError, match=r"has no config.json, nor pretrained_model"):
        find_folder(tmp_path)
    with pytest.raises(ConfigError, match="no folder .*nowhere, and no such name in the hub"):
        find_folder(tmp_path / "nowhere")

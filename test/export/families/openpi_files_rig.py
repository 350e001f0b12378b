"""Small random checkpoints in the layout of openpi's PyTorch code, and openpi's way through them.

Names and transforms are written out from openpi (models_pytorch/pi0_pytorch.py, transforms.py,
tokenizer.py, image_tools.py); nothing of the exporter's is used.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot_rig import NAMES, _pi_config
from PIL import Image
from safetensors.torch import load_file, save_file

KEYS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
WIDE, NARROW, MLP, HEADS, HEAD = 32, 16, 48, 8, 8  # as `lerobot_rig` shrinks the library's
VISION, FEATURES, PATCHES, PATCH = 24, 32, 4, 14
ACTIONS, HORIZON, ROBOT, SIZE = 12, 10, 8, 28
LENGTH = {"pi0": 48, "pi05": 200}
BOTH = "paligemma_with_expert."
TOWER = f"{BOTH}paligemma.model.vision_tower.vision_model."
HEAD_NAME = f"{BOTH}paligemma.lm_head.weight"
TABLE = f"{BOTH}paligemma.model.language_model.embed_tokens.weight"


def _linear(name: str, out: int, into: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def _vision() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{TOWER}embeddings.patch_embedding.weight", (VISION, 3, PATCH, PATCH)
    yield f"{TOWER}embeddings.patch_embedding.bias", (VISION,)
    yield f"{TOWER}embeddings.position_embedding.weight", (PATCHES, VISION)
    layer = f"{TOWER}encoder.layers.0."
    for norm in (f"{layer}layer_norm1", f"{layer}layer_norm2", f"{TOWER}post_layernorm"):
        yield f"{norm}.weight", (VISION,)
        yield f"{norm}.bias", (VISION,)
    for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
        yield from _linear(f"{layer}self_attn.{part}", VISION, VISION)
    yield from _linear(f"{layer}mlp.fc1", FEATURES, VISION)
    yield from _linear(f"{layer}mlp.fc2", VISION, FEATURES)
    yield from _linear(f"{BOTH}paligemma.model.multi_modal_projector.linear", WIDE, VISION)


def _gemma(root: str, width: int, adaptive: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    def norm(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        if adaptive:
            yield from _linear(f"{name}.dense", 3 * width, width)
        else:
            yield f"{name}.weight", (width,)

    for i in range(2):
        layer = f"{root}layers.{i}."
        yield f"{layer}self_attn.q_proj.weight", (HEADS * HEAD, width)
        yield f"{layer}self_attn.k_proj.weight", (HEAD, width)
        yield f"{layer}self_attn.v_proj.weight", (HEAD, width)
        yield f"{layer}self_attn.o_proj.weight", (width, HEADS * HEAD)
        yield f"{layer}mlp.gate_proj.weight", (MLP, width)
        yield f"{layer}mlp.up_proj.weight", (MLP, width)
        yield f"{layer}mlp.down_proj.weight", (width, MLP)
        yield from norm(f"{layer}input_layernorm")
        yield from norm(f"{layer}post_attention_layernorm")
    yield from norm(f"{root}norm")


def shapes(kind: str, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Give openpi's names and shapes, as `safetensors.torch.save_model` leaves them.

    Of the two names of the tied table it keeps the first, which is the head's.
    """
    pi05 = kind == "pi05"
    expert = f"{BOTH}gemma_expert."
    found = dict(_vision()) | dict(_gemma(f"{BOTH}paligemma.model.language_model.", WIDE, False))
    found |= dict(_gemma(f"{expert}model.", NARROW, pi05))
    found |= {HEAD_NAME: (vocabulary, WIDE), f"{expert}lm_head.weight": (vocabulary, NARROW)}
    found |= dict(_linear("action_in_proj", NARROW, ACTIONS))
    found |= dict(_linear("action_out_proj", ACTIONS, NARROW))
    if pi05:
        found |= dict(_linear("time_mlp_in", NARROW, NARROW))
        return found | dict(_linear("time_mlp_out", NARROW, NARROW))
    found |= dict(_linear("state_proj", NARROW, ACTIONS))
    found |= dict(_linear("action_time_mlp_in", NARROW, 2 * NARROW))
    return found | dict(_linear("action_time_mlp_out", NARROW, NARROW))


def statistics(count: int, seed: int) -> dict[str, list[float]]:
    """Make statistics of `count` numbers; openpi's may be longer than the robot's."""
    rng = np.random.default_rng(seed)
    limits = {"mean": (-1, 1), "std": (0.2, 1), "q01": (-2, -1), "q99": (1, 2)}
    return {name: rng.uniform(*limit, count).tolist() for name, limit in limits.items()}


def write_checkpoint(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write what openpi's converter leaves; `patch` shrinks the library while it holds."""
    _pi_config(kind, folder, patch)
    made = folder / "checkpoint"
    (made / "assets" / "fr3").mkdir(parents=True)
    tokenizer = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    (made / "tokenizer.json").write_text(json.dumps(tokenizer))
    vocabulary = len(tokenizer["model"]["vocab"])
    draw = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(shape, generator=draw) / (2 * max(shape[-1], 4) ** 0.5)
        for name, shape in shapes(kind, vocabulary).items()
    }
    save_file(weights, made / "model.safetensors", {TABLE: HEAD_NAME, "format": "pt"})
    known = {"state": statistics(ACTIONS, 1), "actions": statistics(ACTIONS, 2)}
    (made / "assets" / "fr3" / "norm_stats.json").write_text(json.dumps({"norm_stats": known}))
    config = {"action_dim": ACTIONS, "action_horizon": HORIZON, "precision": "float32"}
    config |= {"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m"}
    (made / "config.json").write_text(json.dumps(config))
    return made


def write_interface(path: Path, extra: str = "{}", cameras: str = "", relative: str = "") -> Path:
    """Write an interface file: the last camera is not on the robot, the arm's actions are deltas.

    A JSON in YAML's clothes: what the robot has are the cameras scene and wrist.
    """
    names = ", ".join(NAMES)
    path.write_text(
        f"cameras: {cameras or '{left_wrist_0_rgb: wrist, base_0_rgb: scene}'}\n"
        f"state: [{names}]\nactions: [{names}]\ndt_s: 0.05\ninstruction: lift the red cube\n"
        f"relative: [{relative or ', '.join(NAMES[:7])}]\nextra: {extra}\n"
    )
    return path


def reference(kind: str, made: Path) -> Any:
    """Load the file into LeRobot's port of the network: every parameter, by openpi's names."""
    modeling = importlib.import_module(f"lerobot.policies.{kind}.modeling_{kind}")
    configuration = importlib.import_module(f"lerobot.policies.{kind}.configuration_{kind}")
    config = getattr(configuration, {"pi0": "PI0Config", "pi05": "PI05Config"}[kind])(
        max_state_dim=ACTIONS,
        max_action_dim=ACTIONS,
        chunk_size=HORIZON,
        n_action_steps=HORIZON,
        image_resolution=(SIZE, SIZE),
        device="cpu",
    )
    core = getattr(modeling, {"pi0": "PI0Pytorch", "pi05": "PI05Pytorch"}[kind])(config)
    weights = load_file(made / "model.safetensors")
    missing, unexpected = core.load_state_dict({TABLE: weights[HEAD_NAME], **weights}, False)
    assert not missing and not unexpected
    return core.eval()


@torch.no_grad()
def commands(kind: str, made: Path, seen: Any, noise: np.ndarray, spoken: bool = True) -> Any:
    """Compute commands [H, 8] as openpi's policy does, from raw inputs in 10 steps.

    `spoken`: pi0.5 reads the state as text (`discrete_state_input`).
    """
    known = json.loads((made / "assets/fr3/norm_stats.json").read_text())["norm_stats"]
    state = _normalise(kind, seen.state, known["state"])
    pictures = [_fit(seen.images[name]) for name in ("scene", "wrist")]
    pictures.append(np.zeros_like(pictures[0]))
    images = [torch.tensor(p).permute(2, 0, 1)[None].float() / 255.0 * 2.0 - 1.0 for p in pictures]
    masks = [torch.tensor([True]), torch.tensor([True]), torch.tensor([False])]
    tokens, mask = _tokens(kind, made, seen.instruction, state if spoken else None)
    padded = torch.tensor(np.pad(state, (0, ACTIONS - ROBOT)))[None].float()
    more = (padded,) if kind == "pi0" else ()
    core = reference(kind, made)
    given = torch.tensor(noise)[None]
    x = core.sample_actions(images, masks, tokens, mask, *more, noise=given, num_steps=10)
    actions = _unnormalise(kind, x[0].numpy(), known["actions"])
    actions[:, :7] += seen.state[:7]
    return actions[:, :ROBOT]


def _normalise(kind: str, x: np.ndarray, known: dict[str, list[float]]) -> np.ndarray:
    mean, std, q01, q99 = (np.array(known[k])[: len(x)] for k in ("mean", "std", "q01", "q99"))
    return (x - q01) / (q99 - q01 + 1e-6) * 2 - 1 if kind == "pi05" else (x - mean) / (std + 1e-6)


def _unnormalise(kind: str, x: np.ndarray, known: dict[str, list[float]]) -> np.ndarray:
    mean, std, q01, q99 = (np.array(known[k]) for k in ("mean", "std", "q01", "q99"))
    return (x + 1) / 2 * (q99 - q01 + 1e-6) + q01 if kind == "pi05" else x * (std + 1e-6) + mean


def _fit(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if (height, width) == (SIZE, SIZE):
        return image
    ratio = max(width / SIZE, height / SIZE)
    rows, columns = int(height / ratio), int(width / ratio)
    whole = Image.new("RGB", (SIZE, SIZE), 0)
    small = Image.fromarray(image).resize((columns, rows), resample=Image.Resampling.BILINEAR)
    whole.paste(small, (max(0, int((SIZE - columns) / 2)), max(0, int((SIZE - rows) / 2))))
    return np.asarray(whole)


def _tokens(kind: str, made: Path, prompt: str, state: Any) -> tuple[torch.Tensor, torch.Tensor]:
    from transformers import PreTrainedTokenizerFast

    text = PreTrainedTokenizerFast(tokenizer_file=str(made / "tokenizer.json"), bos_token="<bos>")
    cleaned = prompt.strip().replace("_", " ").replace("\n", " ")

    def encode(words: str) -> list[int]:
        return list(text(words, add_special_tokens=False)["input_ids"])

    if kind == "pi05" and state is not None:
        bins = np.digitize(state, bins=np.linspace(-1, 1, 256 + 1)[:-1]) - 1
        told = " ".join(map(str, bins))
        ids = [text.bos_token_id, *encode(f"Task: {cleaned}, State: {told};\nAction: ")]
    else:
        ids = [text.bos_token_id, *encode(cleaned), *encode("\n")]
    whole = torch.zeros(1, LENGTH[kind], dtype=torch.long)
    whole[0, : len(ids)] = torch.tensor(ids)
    return whole, torch.arange(LENGTH[kind])[None] < len(ids)

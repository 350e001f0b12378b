"""Small random checkpoints as openpi's JAX training writes them, and what each array means.

Names and shapes are those of openpi's models/gemma.py and models/siglip.py; a layer's matrices are
found by applying the einsum that the JAX code applies to the unit vectors, so that no rule of the
exporter's is used.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openpi_files_rig import (
    ACTIONS,
    BOTH,
    FEATURES,
    HEAD,
    HEADS,
    MLP,
    NARROW,
    PATCH,
    PATCHES,
    TABLE,
    TOWER,
    VISION,
    WIDE,
)
from safetensors.torch import load_file, save_file

LAYERS, EYES = 2, 2  # of the two Gemmas, heads of the tower
MODEL = f"{BOTH}paligemma.model."


def _shapes(kind: str, vocabulary: int) -> dict[str, tuple[int, ...]]:
    block, tower = "PaliGemma/img/Transformer/encoderblock/", "PaliGemma/img/"
    attention = f"{block}MultiHeadDotProductAttention_0/"
    own = VISION // EYES
    found: dict[str, tuple[int, ...]] = {
        f"{tower}embedding/kernel": (PATCH, PATCH, 3, VISION),
        f"{tower}embedding/bias": (VISION,),
        f"{tower}pos_embedding": (1, PATCHES, VISION),
        f"{block}MlpBlock_0/Dense_0/kernel": (1, VISION, FEATURES),
        f"{block}MlpBlock_0/Dense_0/bias": (1, FEATURES),
        f"{block}MlpBlock_0/Dense_1/kernel": (1, FEATURES, VISION),
        f"{block}MlpBlock_0/Dense_1/bias": (1, VISION),
        f"{attention}out/kernel": (1, EYES, own, VISION),
        f"{attention}out/bias": (1, VISION),
        f"{tower}head/kernel": (VISION, WIDE),
        f"{tower}head/bias": (WIDE,),
        "PaliGemma/llm/embedder/input_embedding": (vocabulary, WIDE),
    }
    for name in ("query", "key", "value"):
        found[f"{attention}{name}/kernel"] = (1, VISION, EYES, own)
        found[f"{attention}{name}/bias"] = (1, EYES, own)
    for part in ("scale", "bias"):
        found[f"{tower}Transformer/encoder_norm/{part}"] = (VISION,)
        for n in (0, 1):
            found[f"{block}LayerNorm_{n}/{part}"] = (1, VISION)
    for s, width in (("", WIDE), ("_1", NARROW)):
        layers = "PaliGemma/llm/layers/"
        found[f"{layers}attn/q_einsum{s}/w"] = (LAYERS, HEADS, width, HEAD)
        found[f"{layers}attn/kv_einsum{s}/w"] = (LAYERS, 2, 1, width, HEAD)
        found[f"{layers}attn/attn_vec_einsum{s}/w"] = (LAYERS, HEADS, HEAD, width)
        found[f"{layers}mlp{s}/gating_einsum"] = (LAYERS, 2, width, MLP)
        found[f"{layers}mlp{s}/linear"] = (LAYERS, MLP, width)
        norms = {
            f"{layers}pre_attention_norm{s}/": (LAYERS,),
            f"{layers}pre_ffw_norm{s}/": (LAYERS,),
        }
        for norm, stack in (norms | {f"PaliGemma/llm/final_norm{s}/": ()}).items():
            if kind == "pi05" and s:
                found[f"{norm}Dense_0/kernel"] = (*stack, width, 3 * width)
                found[f"{norm}Dense_0/bias"] = (*stack, 3 * width)
            else:
                found[f"{norm}scale"] = (*stack, width)
    heads = {"action_in_proj": (ACTIONS, NARROW), "action_out_proj": (NARROW, ACTIONS)}
    if kind == "pi05":
        heads |= {"time_mlp_in": (NARROW, NARROW), "time_mlp_out": (NARROW, NARROW)}
    else:
        heads |= {"state_proj": (ACTIONS, NARROW), "action_time_mlp_in": (2 * NARROW, NARROW)}
        heads |= {"action_time_mlp_out": (NARROW, NARROW)}
    for name, (into, out) in heads.items():
        found |= {f"{name}/kernel": (into, out), f"{name}/bias": (out,)}
    return found


def write_jax(kind: str, torch_made: Path, folder: Path, *, values: bool) -> Path:
    """Write a JAX checkpoint with new weights beside `torch_made`'s tokenizer and statistics.

    `values`: as flax.nnx saves, with "value" at the end of each path. The meaning of its arrays
    is written to model.safetensors of `torch_made`, which the rig's reference loads.
    """
    import orbax.checkpoint as orbax

    vocabulary = load_file(torch_made / "model.safetensors")[f"{BOTH}paligemma.lm_head.weight"]
    rng, tree = np.random.default_rng(3), dict[str, Any]()
    arrays = {
        name: (rng.standard_normal(shape) / (2 * max(shape[-1], 4) ** 0.5)).astype(np.float32)
        for name, shape in _shapes(kind, len(vocabulary)).items()
    }
    for name, value in arrays.items():
        *path, last = [*name.split("/"), *(["value"] if values else [])]
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    shutil.copytree(torch_made, folder)
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    with orbax.PyTreeCheckpointer() as writer:
        writer.save((folder / "params").resolve(), {"params": tree})
    meant = {name: torch.tensor(value) for name, value in _meaning(arrays).items()}
    meant[f"{BOTH}paligemma.lm_head.weight"] = meant.pop(TABLE)
    meant[f"{BOTH}gemma_expert.lm_head.weight"] = torch.zeros(len(vocabulary), NARROW)
    save_file({k: v.contiguous() for k, v in meant.items()}, torch_made / "model.safetensors")
    return folder


def _apply(formula: str, width: int, array: np.ndarray) -> np.ndarray:
    """Apply JAX's einsum to unit vectors: the matrix [out, in] of the map."""
    found = np.einsum(formula, np.eye(width, dtype=np.float32), array)
    return found.reshape(width, -1).T


def _meaning(a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    bare = {name.removeprefix("PaliGemma/"): value for name, value in a.items()}
    m: dict[str, np.ndarray] = {TABLE: bare["llm/embedder/input_embedding"]}
    m[f"{TOWER}embeddings.patch_embedding.weight"] = np.einsum(
        "hwio->oihw", bare["img/embedding/kernel"]
    )
    m[f"{TOWER}embeddings.patch_embedding.bias"] = bare["img/embedding/bias"]
    m[f"{TOWER}embeddings.position_embedding.weight"] = bare["img/pos_embedding"][0]
    _dense(m, f"{MODEL}multi_modal_projector.linear", bare, "img/head")
    norm = "img/Transformer/encoder_norm"
    m[f"{TOWER}post_layernorm.weight"] = bare[f"{norm}/scale"]
    m[f"{TOWER}post_layernorm.bias"] = bare[f"{norm}/bias"]
    begin = "img/Transformer/encoderblock/"
    layer = {k.removeprefix(begin): v[0] for k, v in bare.items() if k.startswith(begin)}
    own = f"{TOWER}encoder.layers.0."
    for n in (0, 1):
        m[f"{own}layer_norm{n + 1}.weight"] = layer[f"LayerNorm_{n}/scale"]
        m[f"{own}layer_norm{n + 1}.bias"] = layer[f"LayerNorm_{n}/bias"]
        _dense(m, f"{own}mlp.fc{n + 1}", layer, f"MlpBlock_0/Dense_{n}")
    attention = "MultiHeadDotProductAttention_0/"
    for name, short in (("query", "q"), ("key", "k"), ("value", "v")):
        kernel = layer[f"{attention}{name}/kernel"]
        m[f"{own}self_attn.{short}_proj.weight"] = _apply("td,dnh->tnh", VISION, kernel)
        m[f"{own}self_attn.{short}_proj.bias"] = layer[f"{attention}{name}/bias"].reshape(-1)
    units = np.eye(VISION, dtype=np.float32).reshape(VISION, EYES, -1)
    out = np.einsum("tnh,nhd->td", units, layer[f"{attention}out/kernel"])
    m[f"{own}self_attn.out_proj.weight"] = out.T
    m[f"{own}self_attn.out_proj.bias"] = layer[f"{attention}out/bias"]
    for s, root, width in (
        ("", f"{MODEL}language_model.", WIDE),
        ("_1", f"{BOTH}gemma_expert.model.", NARROW),
    ):
        _gemma(m, bare, s, root, width)
    for name in ("action_in_proj", "action_out_proj", "state_proj", "time_mlp_in", "time_mlp_out",
                 "action_time_mlp_in", "action_time_mlp_out"):  # fmt: skip
        if f"{name}/kernel" in a:
            _dense(m, name, a, name)
    return m


def _gemma(m: dict[str, Any], bare: dict[str, Any], s: str, root: str, width: int) -> None:
    _norm(m, f"{root}norm", {k: v for k, v in bare.items()}, f"llm/final_norm{s}")
    begin = "llm/layers/"
    for i in range(LAYERS):
        layer = {k.removeprefix(begin): v[i] for k, v in bare.items() if k.startswith(begin)}
        own = f"{root}layers.{i}."
        q, kv = layer[f"attn/q_einsum{s}/w"], layer[f"attn/kv_einsum{s}/w"]
        m[f"{own}self_attn.q_proj.weight"] = _apply("td,ndh->tnh", width, q)
        m[f"{own}self_attn.k_proj.weight"] = _apply("sd,kdh->skh", width, kv[0])
        m[f"{own}self_attn.v_proj.weight"] = _apply("sd,kdh->skh", width, kv[1])
        units = np.eye(HEADS * HEAD, dtype=np.float32).reshape(-1, HEADS, HEAD)
        out = np.einsum("tnh,nhd->td", units, layer[f"attn/attn_vec_einsum{s}/w"])
        m[f"{own}self_attn.o_proj.weight"] = out.T
        gates = layer[f"mlp{s}/gating_einsum"]
        m[f"{own}mlp.gate_proj.weight"] = _apply("td,df->tf", width, gates[0])
        m[f"{own}mlp.up_proj.weight"] = _apply("td,df->tf", width, gates[1])
        m[f"{own}mlp.down_proj.weight"] = _apply("tf,fd->td", MLP, layer[f"mlp{s}/linear"])
        _norm(m, f"{own}input_layernorm", layer, f"pre_attention_norm{s}")
        _norm(m, f"{own}post_attention_layernorm", layer, f"pre_ffw_norm{s}")


def _norm(m: dict[str, Any], target: str, a: dict[str, Any], name: str) -> None:
    if f"{name}/scale" in a:
        m[f"{target}.weight"] = a[f"{name}/scale"]
    else:
        _dense(m, f"{target}.dense", a, f"{name}/Dense_0")


def _dense(m: dict[str, Any], target: str, a: dict[str, Any], name: str) -> None:
    kernel = a[f"{name}/kernel"]
    m[f"{target}.weight"] = _apply("td,df->tf", len(kernel), kernel)
    m[f"{target}.bias"] = a[f"{name}/bias"]

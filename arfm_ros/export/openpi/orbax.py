"""JAX checkpoints of openpi (`params/`, written by orbax) by the names of its PyTorch code.

Shapes and names: openpi's `models/gemma.py`, `models/siglip.py` and, for the other side,
`examples/convert_jax_model_to_pytorch.py`. Layers are stacked along the first axis.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError

PARAMS = "params"
Array = NDArray[Any]
Rule = tuple[str, Callable[[Array], Array]]  # name in PyTorch, from the array in JAX

MODEL = "paligemma_with_expert.paligemma.model."
TOWER = f"{MODEL}vision_tower.vision_model."
ROOTS = {"": f"{MODEL}language_model.", "_1": "paligemma_with_expert.gemma_expert.model."}


def same(a: Array) -> Array:
    """Return `a`."""
    return a


def turned(a: Array) -> Array:
    """Map a kernel [in, out] to a weight [out, in]."""
    return a.T


def from_heads(a: Array) -> Array:
    """Map [in, heads, d] to [heads d, in]."""
    return a.reshape(a.shape[0], -1).T


def to_heads(a: Array) -> Array:
    """Map [heads, d, out] to [out, heads d]."""
    return a.reshape(-1, a.shape[-1]).T


def from_einsum(a: Array) -> Array:
    """Map [heads, in, d] to [heads d, in]."""
    return a.transpose(0, 2, 1).reshape(-1, a.shape[1])


def _affine(target: str) -> dict[str, Rule]:
    return {"kernel": (f"{target}.weight", turned), "bias": (f"{target}.bias", same)}


def _whole() -> dict[str, list[Rule]]:
    """Rules for what is not stacked."""
    patch = f"{TOWER}embeddings.patch_embedding"
    rules: dict[str, list[Rule]] = {
        "img/embedding/kernel": [(f"{patch}.weight", lambda a: a.transpose(3, 2, 0, 1))],
        "img/embedding/bias": [(f"{patch}.bias", same)],
        "img/pos_embedding": [
            (f"{TOWER}embeddings.position_embedding.weight", lambda a: a.reshape(-1, a.shape[-1]))
        ],
        "img/Transformer/encoder_norm/scale": [(f"{TOWER}post_layernorm.weight", same)],
        "img/Transformer/encoder_norm/bias": [(f"{TOWER}post_layernorm.bias", same)],
        "llm/embedder/input_embedding": [(f"{ROOTS['']}embed_tokens.weight", same)],
    }
    for part, rule in _affine(f"{MODEL}multi_modal_projector.linear").items():
        rules[f"img/head/{part}"] = [rule]
    for s, root in ROOTS.items():
        rules[f"llm/final_norm{s}/scale"] = [(f"{root}norm.weight", same)]
        for part, rule in _affine(f"{root}norm.dense").items():
            rules[f"llm/final_norm{s}/Dense_0/{part}"] = [rule]
    return rules


def _stacked() -> dict[str, list[Rule]]:
    """Rules for what is stacked, of one layer; {i} is its number."""
    block, layer = "img/Transformer/encoderblock/", f"{TOWER}encoder.layers.{{i}}."
    rules: dict[str, list[Rule]] = {}
    for n in (0, 1):
        norm = f"{layer}layer_norm{n + 1}"
        rules[f"{block}LayerNorm_{n}/scale"] = [(f"{norm}.weight", same)]
        rules[f"{block}LayerNorm_{n}/bias"] = [(f"{norm}.bias", same)]
        for part, rule in _affine(f"{layer}mlp.fc{n + 1}").items():
            rules[f"{block}MlpBlock_0/Dense_{n}/{part}"] = [rule]
    attention = f"{block}MultiHeadDotProductAttention_0/"
    for name, short in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out")):
        target, kernel = (
            f"{layer}self_attn.{short}_proj",
            to_heads if name == "out" else from_heads,
        )
        rules[f"{attention}{name}/kernel"] = [(f"{target}.weight", kernel)]
        rules[f"{attention}{name}/bias"] = [(f"{target}.bias", lambda a: a.reshape(-1))]
    for s, root in ROOTS.items():
        rules |= _gemma(f"{root}layers.{{i}}.", s)
    return rules


def _gemma(layer: str, s: str) -> dict[str, list[Rule]]:
    own, mlp, begin = f"{layer}self_attn.", f"{layer}mlp.", "llm/layers/"
    rules: dict[str, list[Rule]] = {
        f"{begin}attn/q_einsum{s}/w": [(f"{own}q_proj.weight", from_einsum)],
        f"{begin}attn/kv_einsum{s}/w": [
            (f"{own}k_proj.weight", lambda a: from_einsum(a[0])),
            (f"{own}v_proj.weight", lambda a: from_einsum(a[1])),
        ],
        f"{begin}attn/attn_vec_einsum{s}/w": [(f"{own}o_proj.weight", to_heads)],
        f"{begin}mlp{s}/gating_einsum": [
            (f"{mlp}gate_proj.weight", lambda a: a[0].T),
            (f"{mlp}up_proj.weight", lambda a: a[1].T),
        ],
        f"{begin}mlp{s}/linear": [(f"{mlp}down_proj.weight", turned)],
    }
    for name, norm in (
        ("pre_attention_norm", "input_layernorm"),
        ("pre_ffw_norm", "post_attention_layernorm"),
    ):
        rules[f"{begin}{name}{s}/scale"] = [(f"{layer}{norm}.weight", same)]
        for part, rule in _affine(f"{layer}{norm}.dense").items():
            rules[f"{begin}{name}{s}/Dense_0/{part}"] = [rule]
    return rules


WHOLE, STACKED = _whole(), _stacked()
HEAD = re.compile(r"^(?P<name>\w+)/(?P<part>kernel|bias)$")  # action_in_proj and the like


def convert(params: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Give each array by its name in PyTorch; one that has none by its own."""
    for whole, value in params.items():
        name, head = whole.removeprefix("PaliGemma/"), HEAD.match(whole)
        if name in WHOLE:
            yield from ((target, rule(value)) for target, rule in WHOLE[name])
        elif name in STACKED:
            for i, row in enumerate(value):
                yield from ((t.format(i=i), rule(row)) for t, rule in STACKED[name])
        elif head:
            target, rule = _affine(head["name"])[head["part"]]
            yield target, rule(value)
        else:
            yield whole, value


def installed() -> bool:
    """Tell whether orbax, which reads such files, is here."""
    return importlib.util.find_spec("orbax") is not None


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes by PyTorch's names. Raises `ConfigError` for what is no such checkpoint."""
    tree = _flat(_tree(folder))
    empty = np.zeros((), np.float32)
    whole = {name: np.broadcast_to(empty, one.shape) for name, one in tree.items()}
    return {name: tuple(value.shape) for name, value in convert(whole)}


def read(folder: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Read the arrays by PyTorch's names, as float32. Raises `ConfigError` as `shapes_of` does."""
    import jax
    import orbax.checkpoint as orbax

    as_numpy = orbax.RestoreArgs(restore_type=np.ndarray)
    tree = jax.tree.map(lambda _: as_numpy, _tree(folder))
    try:
        with orbax.PyTreeCheckpointer() as reader:
            found = reader.restore((folder / PARAMS).resolve(), restore_args=tree)
    except Exception as error:  # noqa: BLE001  orbax raises whatever its storage raises
        raise ConfigError(f"cannot read {folder / PARAMS}: {error}") from error
    for name, value in convert(_flat(found)):
        yield name, np.ascontiguousarray(value, dtype=np.float32)


def _tree(folder: Path) -> Any:
    import orbax.checkpoint as orbax

    try:
        with orbax.PyTreeCheckpointer() as reader:
            known: Any = reader.metadata((folder / PARAMS).resolve())
    except Exception as error:  # noqa: BLE001  orbax raises whatever its storage raises
        raise ConfigError(f"cannot read {folder / PARAMS}: {error}") from error
    for part in ("item_metadata", "tree"):  # versions wrap it differently
        known = getattr(known, part, known)
    if not isinstance(known, Mapping) or PARAMS not in known:
        raise ConfigError(f"{folder / PARAMS} is no checkpoint of openpi: it has no {PARAMS}")
    return known


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten what lies below `params`, less the "value" that flax.nnx puts at each end."""

    def walk(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if isinstance(node, Mapping):
            for key, child in node.items():
                yield from walk(child, (*path, str(key)))
        else:
            yield "/".join(path[:-1] if path[-1] == "value" else path), node

    return dict(walk(tree[PARAMS], ()))

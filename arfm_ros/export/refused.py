"""Policies that are not exported, by name: why, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

OPENPI = "serve it by openpi's protocol: remote:ws://HOST:8000"
PI0_FAST = (
    "writes its actions as tokens, one after the other, and has no steps of a chunk to split: "
    "openpi's server serves pi0-FAST: remote:ws://HOST:8000"
)
# (library, kind in config.json) -> what follows the kind in the message
REFUSED: Mapping[tuple[str, str], str] = {
    ("lerobot", "pi0_fast"): PI0_FAST,
    ("lerobot", "Gr00tN1d7"): (
        "is NVIDIA's own folder: open it in LeRobot (base_model_path) and save policy and "
        "processors, or serve it with run_gr00t_server.py: remote:tcp://HOST:5555"
    ),
    ("lerobot", "eo1"): (
        "takes pictures and text by the chat template and the tiles of Qwen2.5-VL's processor, "
        f"which no bundle reproduces: {OPENPI}"
    ),
    ("lerobot", "wall_x"): (
        f"takes Qwen2.5-VL with experts from a hub and needs peft and torchdiffeq: {OPENPI}"
    ),
    ("lerobot", "evo1"): (
        f"takes InternVL3 and its tokenizer from a hub, with tiles of pictures: {OPENPI}"
    ),
    ("lerobot", "vla_jepa"): (
        f"takes Qwen3-VL and its processor, which tiles pictures, from a hub: {OPENPI}"
    ),
    ("lerobot", "molmoact2"): (
        f"takes MolmoAct2 and its processor, which tiles pictures, from a hub: {OPENPI}"
    ),
    ("lerobot", "fastwam"): f"makes its actions with a video model (Wan2.2): {OPENPI}",
    ("lerobot", "lingbot_va"): (
        f"makes video and actions in turns, each from what it made before: {OPENPI}"
    ),
    ("lerobot", "vqbet"): (f"draws codes of actions by chance, inside of its network: {OPENPI}"),
    ("lerobot", "tdmpc"): f"plans each action by trying many in a model of the world: {OPENPI}",
    ("lerobot", "gaussian_actor"): f"draws one action at a time, no chunk: {OPENPI}",
    ("transformers", "openvla"): (
        "writes its actions as tokens, one after the other: serve it with its "
        "deploy.py: remote:http://HOST:8777"
    ),
}


def why_refused(library: str, kind: str) -> str:
    """Return why a checkpoint of this kind is not exported, and what to do; "" if not known."""
    why = REFUSED.get((library, kind))
    return f"{kind} of {library} is not exported; it {why}" if why else ""

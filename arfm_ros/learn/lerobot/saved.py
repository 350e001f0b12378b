"""Checkpoints of a fine-tuning, laid out as LeRobot's training does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.lerobot.policy import TunedPolicy

CHECKPOINTS, LAST, POLICY = "checkpoints", "last", "pretrained_model"
STATE, PROGRESS = "training_state", "progress.json"


def save(
    out: Path, policy: TunedPolicy, optimiser: Any, step: int, options: Mapping[str, Any]
) -> None:
    """Write `out`/checkpoints/STEP beside it first, then move it there and point `last` to it."""
    place = out / CHECKPOINTS / f"{step:06d}"
    draft = place.with_name(f".{place.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    policy.save(draft / POLICY)
    state = draft / STATE
    state.mkdir()
    learned = {n: p.detach().cpu() for n, p in policy.policy.named_parameters() if p.requires_grad}
    torch.save({"learned": learned, "optimiser": optimiser.state_dict()}, state / "state.pt")
    told = {"step": step, "options": json.loads(json.dumps(dict(options), default=str))}
    (state / PROGRESS).write_text(json.dumps(told, indent=1) + "\n")
    shutil.rmtree(place, ignore_errors=True)
    draft.rename(place)
    link = out / CHECKPOINTS / LAST
    new = link.with_name(".last")
    new.unlink(missing_ok=True)
    new.symlink_to(place.name)
    os.replace(new, link)


def read_progress(
    out: Path, policy: TunedPolicy, optimiser: Any, options: Mapping[str, Any]
) -> int:
    """Go on where the newest checkpoint is; returns its step.

    Raises `ConfigError` where there is none, or the run was another.
    """
    state = out / CHECKPOINTS / LAST / STATE
    try:
        told = json.loads((state / PROGRESS).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--resume: {out} holds no checkpoint to go on from: {error}") from error
    now = json.loads(json.dumps(dict(options), default=str))
    differing = [name for name, value in told["options"].items() if now.get(name) != value]
    if differing:
        raise ConfigError(
            f"--resume continues the same run, but these differ: {', '.join(differing)}"
        )
    saved = torch.load(state / "state.pt", map_location="cpu", weights_only=True)
    parameters = dict(policy.policy.named_parameters())
    with torch.no_grad():
        for name, value in saved["learned"].items():
            parameters[name].copy_(value)
    optimiser.load_state_dict(saved["optimiser"])
    return int(told["step"])

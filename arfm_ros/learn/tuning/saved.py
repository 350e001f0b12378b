"""Checkpoints of a fine-tuning, laid out as LeRobot's training does.

They hold whole tensors, so that a run goes on in any number of processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.resume import check_same_run
from arfm_ros.learn.tuning.policy import TunedPolicy
from arfm_ros.learn.tuning.shards import cut_as, own, whole
from arfm_ros.learn.tuning.tuner import Tuner

CHECKPOINTS, LAST, POLICY = "checkpoints", "last", "pretrained_model"
STATE, PROGRESS = "training_state", "progress.json"
ENDS = 2**20  # of a file of weights, bytes at both ends that tell it from another


def save(out: Path, tuner: Tuner, facts: Mapping[str, Any]) -> None:
    """Write `out`/checkpoints/STEP beside it first, then move it there and point `last` to it.

    All processes of the tuner's group take part, the first one writes.
    """
    leads, step = tuner.group.leads, tuner.step_count
    place = out / CHECKPOINTS / f"{step:06d}"
    draft = place.with_name(f".{place.name}.draft")
    if leads:
        for old in place.parent.glob(".*.draft"):  # of a run that was killed meanwhile
            shutil.rmtree(old)
    tuner.policy.save(draft / POLICY, leads)
    learned, optimiser = _training_state(tuner, leads)
    if leads:
        _write(draft / STATE, learned, optimiser, {"step": step, **facts})
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
        _point(place)
    tuner.group.wait()


def _training_state(tuner: Tuner, leads: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    parameters = tuner.policy.policy.named_parameters()
    learned = {n: whole(p, leads) for n, p in parameters if p.requires_grad}
    optimiser = tuner.optimiser.state_dict()
    optimiser["state"] = {
        number: {name: whole(value, leads) for name, value in moments.items()}
        for number, moments in optimiser["state"].items()
    }
    return learned, optimiser


def _write(
    state: Path, learned: dict[str, Any], optimiser: dict[str, Any], told: Mapping[str, Any]
) -> None:
    state.mkdir()
    torch.save({"learned": learned, "optimiser": optimiser}, state / "state.pt")
    (state / PROGRESS).write_text(json.dumps(told, indent=1, default=str) + "\n")


def _point(place: Path) -> None:
    """Make `last` a link to a checkpoint, at once."""
    new = place.with_name(".last")
    new.unlink(missing_ok=True)
    new.symlink_to(place.name)
    os.replace(new, place.with_name(LAST))


def read_progress(out: Path, policy: TunedPolicy, optimiser: Any, facts: Mapping[str, Any]) -> int:
    """Go on where the newest checkpoint is; returns its step.

    Raises `ConfigError` where there is none, or the run was another, naming what differs.
    """
    state = out / CHECKPOINTS / LAST / STATE
    try:
        told = json.loads((state / PROGRESS).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--resume: {out} holds no checkpoint to go on from: {error}") from error
    check_same_run(told, json.loads(json.dumps(dict(facts), default=str)), "a new --out")
    file = state / "state.pt"
    saved = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    parameters = dict(policy.policy.named_parameters())
    with torch.no_grad():
        for name, value in saved["learned"].items():
            own(parameters[name]).copy_(own(cut_as(value, parameters[name])))
    moments = saved["optimiser"]
    moments["state"] = {
        number: {name: _cut(value, policy.learned[number]) for name, value in found.items()}
        for number, found in moments["state"].items()
    }
    optimiser.load_state_dict(moments)
    return int(told["step"])


def _cut(value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """Take this process's part of a moment out of its file."""
    return cut_as(value.clone(), parameter)


def digest(folder: Path) -> str:
    """Tell a checkpoint from another by its configuration and the ends of its weights' files."""
    found = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        with file.open("rb") as opened:
            found.update(f"{file.name} {size}".encode() + opened.read(ENDS))
            opened.seek(max(0, size - ENDS))
            found.update(opened.read(ENDS))
    return found.hexdigest()[:16]

"""How good a model is on held-out episodes: its loss, and its sampled chunks in radians."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.learn.data.dataset import Sampler
from arfm_ros.learn.model.network import FlowPolicy, sample
from arfm_ros.learn.objectives.flow_loss import FlowConfig, flow_loss
from arfm_ros.robots.embodiment import arm_columns, gripper_columns

CHECKED_ACTION = 7  # of the chunk: 0.4 s ahead at 50 ms


def pick_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pick `count` rows evenly spread over `rows`."""
    at = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)
    return rows[at]


@torch.inference_mode()
def validate(model: FlowPolicy, held: Sampler, rows: NDArray[np.int64]) -> dict[str, float]:
    """Measure the flow loss, the mean joint error at action 7 (rad), keyframe and grippers.

    Noise is the same at every call, so that two checkpoints compare.
    """
    rng = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    batch, spec = held.gather(rows).to(device), held.spec
    context, keyframe = model.encode(batch.images, batch.state, batch.tokens)
    loss, _ = flow_loss(model, context, batch.actions, FlowConfig(), rng)
    noise = torch.randn(batch.actions.shape, generator=rng).to(device)
    chunk = sample(model, context, noise, spec.steps).cpu().numpy()
    wanted = batch.actions.cpu().numpy()
    error = np.abs(chunk - wanted) * spec.action_norm.scale
    joints, grippers = arm_columns(spec.action), gripper_columns(spec.action)
    opened = [spec.action_norm.unnormalise(x)[..., grippers] > 0.5 for x in (chunk, wanted)]
    ahead = (keyframe - batch.keyframe).abs().cpu().numpy() * held.keyframe_norm.scale
    found = {
        "val_loss": float(loss.mean()),
        "joint_error_rad": float(error[:, min(CHECKED_ACTION, spec.horizon - 1), joints].mean()),
    }
    if grippers:
        found["gripper_accuracy"] = float((opened[0] == opened[1]).mean())
    return found | {"keyframe_error_rad": float(ahead[:, joints].mean())}

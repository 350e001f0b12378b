"""How good a model is on held-out episodes: its loss, and its sampled chunks in radians."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.control import fr3
from arfm_ros.learn.dataset import Sampler
from arfm_ros.learn.flow_loss import FlowConfig, flow_loss
from arfm_ros.learn.model import FlowPolicy, sample

CHECKED_ACTION = 7  # of the chunk: 0.4 s ahead at 50 ms


def pick_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pick `count` rows evenly spread over `rows`."""
    at = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)
    return rows[at]


@torch.inference_mode()
def validate(model: FlowPolicy, held: Sampler, rows: NDArray[np.int64]) -> dict[str, float]:
    """Measure the flow loss, the mean joint error at action 7 (rad), gripper and keyframe.

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
    grip = spec.action_names.index(fr3.GRIPPER_NAME)
    joints = [i for i in range(len(spec.action)) if i != grip]
    opened = [spec.action_norm.unnormalise(x)[..., grip] > 0.5 for x in (chunk, wanted)]
    ahead = (keyframe - batch.keyframe).abs().cpu().numpy() * held.keyframe_norm.scale
    return {
        "val_loss": float(loss.mean()),
        "joint_error_rad": float(error[:, min(CHECKED_ACTION, spec.horizon - 1), joints].mean()),
        "gripper_accuracy": float((opened[0] == opened[1]).mean()),
        "keyframe_error_rad": float(ahead[:, joints].mean()),
    }

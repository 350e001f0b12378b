"""What a policy sees in an observation, as numbers that do not change: its frozen context."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from arfm_ros.engines.bundle import POLICY
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.data.dataset import make_sampler
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.loop.checkpoint import Checkpoint, build_policy, load_checkpoint
from arfm_ros.learn.model.from_bundle import bundle_checkpoint
from arfm_ros.learn.signals.source import F32

BATCH = 128


def read_policy(folder: Path) -> Checkpoint:
    """Read a run or a bundle with its weights."""
    return bundle_checkpoint(folder) if (folder / POLICY).is_file() else load_checkpoint(folder)


@torch.no_grad()
def features_of(checkpoint: Checkpoint, frames: Frames) -> F32:
    """Return the summary of the context and the state [N, D] of every observation."""
    model = build_policy(checkpoint).eval()
    rows = np.arange(len(frames))
    sampler = make_sampler(frames, rows, checkpoint.spec, AugmentConfig(), seed=0)
    found = []
    for begin in range(0, len(rows), BATCH):
        batch = sampler.gather(rows[begin : begin + BATCH])
        context, _ = model.encode(batch.images, batch.state, batch.tokens)
        found.append(torch.cat([context.summary, batch.state], dim=1).float().numpy())
    return np.concatenate(found)

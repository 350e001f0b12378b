"""What it changes that a picture gives fewer tokens to the prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.engines.gate.replay import Reference
from arfm_ros.engines.inputs import Inputs
from arfm_ros.export.vla.network import ByView, Opened
from arfm_ros.export.vla.reference import tensors


def price(
    opened: Opened, inputs: Inputs, reference: Reference, say: Callable[[str], None]
) -> dict[str, Any]:
    """Compare the library's chunks of the reference with those that it makes of all tokens.

    Returns what parity.json keeps; differences are shares of the chunk's size, at least of 1.
    """
    network, steps = opened.network, opened.spec.steps
    if not isinstance(network, ByView):
        raise ConfigError(f"{opened.made_by} has no pictures apart")
    say("computing the chunks of all tokens, for comparison")
    largest, means = 0.0, []
    for k, noise in enumerate(reference.noise):
        prepared = tensors(inputs, reference.observation(k))
        with network.tokens.all():
            found = network.library_chunk(prepared, torch.from_numpy(noise[None]), steps)
        whole = found[0].numpy()
        gap = np.abs(reference.trace[k, -1] - whole) / max(float(np.abs(whole).max()), 1.0)
        largest = max(largest, float(gap.max()))
        means.append(float(gap.mean()))
    share = network.tokens.share
    mean = float(np.mean(means))
    say(
        f"{share:.0%} of each picture's tokens: a chunk changes by {largest:.1e} of its size at "
        f"most, {mean:.1e} in the mean; success has to be measured"
    )
    record = {"share": share, "max_chunk_change": largest, "mean_chunk_change": mean}
    return {"keep_tokens": record}

"""The library's own way from raw pictures and states to physical commands."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arfm_ros.core.values.data import F32, Observation
from arfm_ros.engines.inputs import TOKENIZER
from arfm_ros.export.lerobot import steps
from arfm_ros.export.lerobot.processors import STATE

# of the policy, what the processor made of each observation, noise [1, H, D] and the count of
# steps -> normalised actions [1, H, A]
Sample = Callable[[Any, list[dict[str, Any]], Tensor, int], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """A policy of LeRobot with its saved processors; nothing of the export's is used."""

    policy: Any
    folder: Path
    cameras: Mapping[str, str]  # feature -> the robot's camera
    sample: Sample
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of a step's settings

    def __call__(self, seen: Observation, noise: F32, count: int) -> F32:
        """Compute commands [H, A] in physical units, from noise in `count` steps."""
        return self.ready()(seen, noise, count)

    def ready(self) -> Callable[[Observation, F32, int], F32]:
        """Make the processors once, for many calls."""
        before, after = self.processors()

        @torch.no_grad()
        def commands(seen: Observation, noise: F32, count: int) -> F32:
            prepared = [before(self._batch(one)) for one in (*seen.earlier, seen)]
            found = self.sample(self.policy, prepared, torch.from_numpy(noise[None]), count)
            return after(found)[0].numpy()  # type: ignore[no-any-return]

        return commands

    def _batch(self, one: Observation) -> dict[str, Any]:
        pictures = {
            feature: torch.from_numpy(one.images[camera]).permute(2, 0, 1) / 255.0
            for feature, camera in self.cameras.items()
        }
        return {**pictures, STATE: torch.from_numpy(one.state), "task": one.instruction}

    def processors(self) -> tuple[Any, Any]:
        """Open the processors that lie with the policy, for the CPU."""
        from lerobot.policies.factory import make_pre_post_processors

        device = {"device_processor": {"device": "cpu"}}
        text = {}
        if (self.folder / TOKENIZER).is_file():
            text = {steps.TOKENIZER: {"tokenizer_name": str(self.folder)}}
        return make_pre_post_processors(  # type: ignore[no-any-return]
            self.policy.config,
            pretrained_path=str(self.folder),
            preprocessor_overrides=device | text | dict(self.changes),
            postprocessor_overrides=device,
        )


def sample_flow(policy: Any, prepared: list[dict[str, Any]], noise: Tensor, count: int) -> Tensor:
    """Let a flow predict a chunk, in `count` steps given as this family takes them."""
    config = policy.config
    if hasattr(config, "num_inference_steps"):
        return policy.predict_action_chunk(prepared[-1], noise=noise, num_steps=count)  # type: ignore[no-any-return]
    before, config.num_steps = config.num_steps, count
    try:
        return policy.predict_action_chunk(prepared[-1], noise=noise)  # type: ignore[no-any-return]
    finally:
        config.num_steps = before


@contextmanager
def drawn(noise: Tensor) -> Generator[None, None, None]:
    """Let the library draw this noise where it takes none."""
    before = torch.randn
    torch.randn = lambda *_, **__: noise.clone()  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.randn = before

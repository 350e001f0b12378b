"""pi0 of Hugging Face transformers that learns."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import Observation
from arfm_ros.engines.inputs import Inputs
from arfm_ros.export.lerobot.layouts import find_folder
from arfm_ros.export.lerobot.processors import read_json
from arfm_ros.export.transformers.pi0 import (
    Pi0,
    image_ids,
    made_by,
    make_spec,
    read_pi0,
)
from arfm_ros.export.vla.interface import Interface
from arfm_ros.learn.tuning.activations import recompute_blocks, recompute_feed_forward
from arfm_ros.learn.tuning.batches import Raw
from arfm_ros.learn.tuning.policy import Adapter, TunedPolicy

KIND, CONFIG = "pi0", "config.json"
ACTIONS = "actions"
# what `save_pretrained` of a processor leaves
PROCESSOR = ("*processor*", "tokenizer*", "special_tokens*", "added_tokens*", "chat_template*")


class TransformersPi0(TunedPolicy):
    """`PI0ForConditionalGeneration`; a batch is prepared as its bundle prepares an observation.

    For pictures that is what `PI0Processor` does. Texts are padded to 48 tokens with a mask, which
    that processor, whose own padding stops there, does not do for texts of different lengths.
    """

    sees = ("model.vlm.",)

    def __init__(self, folder: Path, robot: Interface, part: str, adapter: Adapter) -> None:
        """Open the checkpoint in `folder`. Raises `ConfigError` for what cannot be fine-tuned."""
        super().__init__(part)
        self.folder = find_folder(folder)
        kind = read_json(self.folder / CONFIG).get("model_type")
        if kind != KIND:
            raise ConfigError(f"{folder} is of type {kind}; of transformers {KIND} is fine-tuned")
        self.policy, settings = read_pi0(self.folder)
        self.made_by = made_by()
        config = self.policy.config
        self.horizon = int(config.chunk_size)
        self.cameras = dict(robot.cameras)
        self._spec = make_spec(config, settings, robot, "")
        self._inputs = Inputs(self._spec, self.folder)
        self._shown = Pi0(self.policy, settings["image_processor"], len(self.cameras))
        self.choose(adapter)

    def before(self, raw: Raw) -> dict[str, Any]:
        """Prepare pictures, texts, states and actions, normalised and padded."""
        parts = [self._inputs(one) for one in self._observations(raw)]
        feed = {k: torch.from_numpy(np.concatenate([p[k] for p in parts])) for k in parts[0]}
        pixels = [
            self._shown.pixels(feed[f"image_{c.name}"], feed[f"inside_{c.name}"])
            for c in self._spec.cameras
        ]
        ids = image_ids(self.policy.config, len(pixels)).expand(len(parts), -1)
        state, width = feed["state"], self.policy.config.max_state_dim
        pairs = zip(raw.action.numpy(), raw.state.numpy())
        actions = [self._spec.normalise_actions(action, seen) for action, seen in pairs]
        return {
            "pixel_values": torch.stack(pixels, dim=1),
            "pixel_attention_mask": torch.ones(len(parts), len(pixels), dtype=torch.bool),
            "input_ids": torch.cat([ids, feed["tokens"]], dim=1),
            "attention_mask": torch.cat([torch.ones_like(ids), feed["mask"].long()], dim=1),
            "state": F.pad(state, (0, width - state.shape[1])),
            ACTIONS: torch.from_numpy(np.stack(actions).astype(np.float32)),
        }

    def _observations(self, raw: Raw) -> Iterator[Observation]:
        for i, task in enumerate(raw.tasks):
            pictures = {self.cameras[name]: one[i] for name, one in raw.pictures.items()}
            yield Observation(pictures, raw.state[i].numpy(), task, stamp_ns=0)

    def losses(self, batch: Mapping[str, Any], seed: int, begin: int = 0, of: int = 0) -> Tensor:
        """Compute the losses [b], the means over steps and actions of the library's own.

        Times are beta-distributed as the library draws them.
        """
        config, actions = self.policy.config, batch[ACTIONS]
        own = slice(begin, begin + len(actions))
        torch.manual_seed(seed)
        noise = torch.randn((of or len(actions), *actions.shape[1:]))[own]
        shape = (config.time_sampling_beta_alpha, config.time_sampling_beta_beta)
        drawn = torch.distributions.Beta(*map(torch.tensor, shape)).sample((of or len(actions),))
        times = (drawn * config.time_sampling_scale + config.time_sampling_offset)[own]
        with _reduction(config, "none"):
            found = self.policy(**batch, noise=noise.to(actions), timestep=times.to(actions))
        losses: Tensor = found.loss.mean(dim=(1, 2))
        return losses

    def write(self, state: dict[str, Tensor], folder: Path) -> None:
        """Write the weights by `save_pretrained`; the processor's files are the checkpoint's."""
        self.policy.save_pretrained(folder, state_dict=state)
        written = json.loads((folder / CONFIG).read_text())
        written["dtype"] = "float32"
        (folder / CONFIG).write_text(json.dumps(written, indent=2) + "\n")
        for pattern in PROCESSOR:
            for one in self.folder.glob(pattern):
                if one.is_file():
                    shutil.copy(one, folder / one.name)

    def recompute(self) -> None:
        """Wrap the feed-forward layers, and the blocks that see.

        What the library offers drops the keys and values that its expert looks at.
        """
        vlm = self.policy.model.vlm
        recompute_feed_forward(vlm.language_model, self.policy.model.dit)
        recompute_blocks(vlm.vision_tower)


@contextmanager
def _reduction(config: Any, kind: str) -> Generator[None, None, None]:
    before, config.loss_reduction = config.loss_reduction, kind
    try:
        yield
    finally:
        config.loss_reduction = before

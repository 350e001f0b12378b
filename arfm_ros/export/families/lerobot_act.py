"""ACT as LeRobot has it (Zhao et al. 2023), split into what the bundle's graphs compute.

The encoder is the prefix, the decoder the only step. The variational latent is 0 at inference.
Temporal ensembling is left out: a chunk here carries the time of its observation, so that the
robot plays the newest actions that are due, and never an average of what different times intended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.export.family import register
from arfm_ros.export.lerobot.decoders import LeRobotDecoder
from arfm_ros.export.lerobot.inputs import Pictures, Statistics, make_spec
from arfm_ros.export.lerobot.processors import STATE
from arfm_ros.export.vla.interface import Interface


class ActContext(NamedTuple):
    """What the encoder leaves: the tokens' features and places."""

    memory: Tensor  # [1, L, d]
    places: Tensor  # [1, L, d]


class LeRobotAct(nn.Module):
    """The network, in the two parts; images as the camera's bytes, batch 1."""

    context: type[Any] = ActContext

    def __init__(self, policy: Any, known: Statistics) -> None:
        super().__init__()
        self.core, features = policy.model, policy.config.image_features
        self.pictures = nn.ModuleList(Pictures(known.pictures[name]) for name in features)

    def forward(self, *inputs: Tensor) -> ActContext:
        """Map an image per camera and the state [1, S] to a context."""
        *images, state = inputs
        core = self.core
        tokens = [
            core.encoder_latent_input_proj(torch.zeros(1, core.config.latent_dim)),
            core.encoder_robot_state_input_proj(state),
        ]
        places = list(core.encoder_1d_feature_pos_embed.weight[:, None])
        for picture in self._seen(images):
            features = core.backbone(picture)["feature_map"]
            place = core.encoder_cam_feat_pos_embed(features)
            features = core.encoder_img_feat_input_proj(features)
            tokens.append(features.flatten(2).permute(2, 0, 1))
            places.append(place.flatten(2).permute(2, 0, 1))
        tokens[:2], places[:2] = [torch.stack(tokens[:2])], [torch.stack(places[:2])]
        where = torch.cat(places)
        memory = core.encoder(torch.cat(tokens), pos_embed=where)
        return ActContext(memory.transpose(0, 1), where.transpose(0, 1))

    def velocity(self, x: Tensor, t: Tensor, context: ActContext) -> Tensor:
        """Return the actions [1, H, A], whatever x and t are."""
        core = self.core
        queries = core.decoder_pos_embed.weight[:, None]
        decoded = core.decoder(
            torch.zeros_like(queries),
            context.memory.transpose(0, 1),
            encoder_pos_embed=context.places.transpose(0, 1),
            decoder_pos_embed=queries,
        )
        return core.action_head(decoded.transpose(0, 1))

    @torch.no_grad()
    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute the actions [1, H, A] by the library's own forward pass."""
        from lerobot.utils.constants import OBS_IMAGES

        *images, state = inputs
        return self.core({OBS_IMAGES: self._seen(images), STATE: state})[0]

    def _seen(self, images: list[Tensor]) -> list[Tensor]:
        return [picture(image) for picture, image in zip(self.pictures, images)]


def describe(policy: Any, known: Statistics, robot: Interface, name: str) -> PolicySpec:
    """Make the specification; all actions of the chunk are given."""
    spec = make_spec(policy.config, known, robot, name, policy.config.chunk_size)
    return replace(spec, steps=1, sampler=Sampler("regression"))


register(
    LeRobotDecoder("act", ("lerobot.policies.act.modeling_act", "ACTPolicy"), LeRobotAct, describe)
)

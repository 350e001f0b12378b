"""The shapes of pi0 and SmolVLA, and what a chunk of them costs; no weights of theirs.

pi0: Black et al. 2024; sizes as in openpi's gemma.py (gemma_2b, gemma_300m), siglip.py (So400m/14)
and pi0.py, and LeRobot's modeling_pi0.py. SmolVLA: Shukor et al. 2025; sizes as in LeRobot's
configuration_smolvla.py and smolvlm_with_expert.py over SmolVLM2-500M's configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from arfm_ros.bench.amounts import Cost


@dataclass(frozen=True, slots=True)
class Layers:
    """A stack of transformer layers; `gated` MLPs have three matrices, others two."""

    depth: int
    width: int
    mlp: int
    heads: int
    kv_heads: int
    head_dim: int
    gated: bool = True

    def matrices(self, cross: bool = False) -> int:
        """Count the numbers of a layer's matrices.

        `cross`: its keys and values are made of others' (SmolVLA).
        """
        own, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        source = keys if cross else self.width
        mlp = (3 if self.gated else 2) * self.width * self.mlp
        return 2 * self.width * own + 2 * source * keys + mlp

    @property
    def norms(self) -> int:
        """Count the numbers of a layer's norms."""
        return 2 * self.width

    def attention_flops(self, queries: int, keys: int) -> int:
        """Count the operations of a layer's two products of attention."""
        return 4 * self.heads * self.head_dim * queries * keys


@dataclass(frozen=True, slots=True)
class Shapes:
    """A network of a prefix (pictures, text, perhaps state) and a flow's expert."""

    vision: Layers
    language: Layers
    expert: Layers
    images: int
    patches: int  # of a picture
    patch: int  # numbers of one: 3 x size x size
    joined: int  # patches that become one token
    text: int  # tokens
    vocabulary: int
    state_in_prefix: bool  # else it is a token of the expert's
    cross_every: int  # 2: every second layer of the expert looks at the prefix alone; 0: none
    horizon: int = 50
    action: int = 32

    @property
    def prefix_length(self) -> int:
        """Count the tokens of the prefix."""
        return self.images * self.patches // self.joined + self.text + self.state_in_prefix

    @property
    def suffix_length(self) -> int:
        """Count the tokens of the expert."""
        return self.horizon + (not self.state_in_prefix)

    def crosses(self, layer: int) -> bool:
        """Tell whether a layer of the expert looks at the prefix alone."""
        return bool(self.cross_every) and layer % self.cross_every != 0

    def prefix_cost(self) -> Cost:
        """Count the operations of the prefix and its bytes, weights in float32 each read once."""
        vision, language, seen = self.vision, self.language, self.images * self.patches
        joining = vision.width * self.joined * language.width
        per_patch = self.patch * vision.width + vision.depth * vision.matrices()
        per_token = language.depth * language.matrices()
        length, state = self.prefix_length, self.action * language.width * self.state_in_prefix
        attention = self.images * vision.depth * vision.attention_flops(self.patches, self.patches)
        attention += language.depth * language.attention_flops(length, length)
        flops = 2 * (seen * per_patch + seen // self.joined * joining + length * per_token + state)
        weights = per_patch + joining + per_token + state
        weights += self.patches * vision.width + self.text * language.width  # places, words
        weights += vision.depth * vision.norms + language.depth * language.norms
        return Cost(flops + attention, 4 * weights, self._cache_bytes() + 4 * seen * self.patch)

    def step_cost(self) -> Cost:
        """Count those of a step of the expert, which reads the prefix's keys and values."""
        expert, length, before = self.expert, self.suffix_length, self.prefix_length
        ends = 2 * self.action * expert.width + 3 * expert.width**2
        state = 0 if self.state_in_prefix else self.action * expert.width
        flops, weights = 2 * (self.horizon * ends + state), ends + state
        keys = expert.kv_heads * expert.head_dim
        for layer in range(expert.depth):
            crosses = self.crosses(layer)
            seen = before if crosses else before + length
            flops += 2 * length * expert.matrices(crosses) + expert.attention_flops(length, seen)
            if crosses:  # keys and values of the prefix's tokens, not of its own
                flops += 2 * (before - length) * 2 * keys * keys
            weights += expert.matrices(crosses) + expert.norms
        return Cost(flops, 4 * weights, self._cache_bytes() + 8 * self.horizon * self.action)

    def _cache_bytes(self) -> int:
        """Count the bytes of the prefix's keys and values, two a number."""
        language = self.language
        return 4 * language.depth * self.prefix_length * language.kv_heads * language.head_dim


PI0 = Shapes(
    vision=Layers(27, 1152, 4304, 16, 16, 72, gated=False),
    language=Layers(18, 2048, 16384, 8, 1, 256),
    expert=Layers(18, 1024, 4096, 8, 1, 256),
    images=3,
    patches=256,
    patch=3 * 14 * 14,
    joined=1,
    text=48,
    vocabulary=257_152,
    state_in_prefix=False,
    cross_every=0,
)
SMOLVLA = Shapes(
    vision=Layers(12, 768, 3072, 12, 12, 64, gated=False),
    language=Layers(16, 960, 2560, 15, 5, 64),
    expert=Layers(16, 720, 2048, 15, 5, 64),
    images=3,
    patches=1024,
    patch=3 * 16 * 16,
    joined=16,
    text=48,
    vocabulary=49_280,
    state_in_prefix=True,
    cross_every=2,
)
NETWORKS: Mapping[str, Shapes] = {"pi0": PI0, "smolvla": SMOLVLA}


def tiny(shapes: Shapes) -> Shapes:
    """Shrink every size: only the run is tried."""
    return Shapes(
        vision=Layers(1, 24, 32, 2, 2, 12, gated=False),
        language=Layers(2, 32, 48, 4, 1, 8),
        expert=Layers(2, 16, 32, 4, 1, 8),
        images=shapes.images,
        patches=16,
        patch=12,
        joined=4 if shapes.joined > 1 else 1,
        text=6,
        vocabulary=64,
        state_in_prefix=shapes.state_in_prefix,
        cross_every=shapes.cross_every,
        horizon=5,
        action=8,
    )
